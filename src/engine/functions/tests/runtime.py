# A custom runtime in plain Python: asks for invocations and does what each event says.
import http.client, json, os, subprocess, sys, time

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
ROOT = "/2018-06-01/runtime/"


def ask(method, path, body=None, headers={}):
    api.request(method, ROOT + path, body, headers)
    answer = api.getresponse()
    return answer, answer.read()


def fail_at_start(how):
    if how == "exit":
        print("cannot begin", flush=True)
        sys.exit(3)
    if how == "error":
        body = json.dumps({"errorMessage": "no module", "errorType": "Runtime.ImportModuleError"})
        ask("POST", "init/error", body, {"Lambda-Runtime-Function-Error-Type": "Runtime.Init"})
        sys.exit(1)


def do(event, headers):
    action = event.get("do")
    if action == "sleep":
        time.sleep(event["seconds"])
    if action == "exit":
        print("going", flush=True)
        os._exit(event["code"])
    if action == "signal":
        os.kill(os.getpid(), event["number"])
        time.sleep(60)
    if action == "write":
        for number in range(event["lines"]):
            sys.stdout.write("x" * event["width"] + "\n")
        sys.stdout.flush()
        print("and the last to stderr", file=sys.stderr, flush=True)
    if action == "take":
        taken = bytearray(event["megabytes"] << 20)
        time.sleep(event.get("seconds", 0))
        return len(taken)
    if action == "environment":
        return dict(os.environ)
    if action == "headers":
        return {name.lower(): value for name, value in headers.items()}
    if action == "child":
        return subprocess.Popen(["sleep", "600"]).pid
    if action == "large":
        return "x" * event["bytes"]
    if action == "meet":
        # Comes back once so many instances are here.
        open(os.path.join(event["folder"], str(os.getpid())), "w").close()
        while len(os.listdir(event["folder"])) < event["instances"]:
            time.sleep(0.01)
    return {"pid": os.getpid(), "event": event}


fail_at_start(os.environ.get("FAIL_AT_START"))
while True:
    answer, body = ask("GET", "invocation/next")
    headers = dict(answer.getheaders())
    request = headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(body)
    if event.get("do") == "raise":
        error = {"errorMessage": event["text"], "errorType": "ValueError", "stackTrace": ["  line 1"], "requestId": request}
        ask("POST", f"invocation/{request}/error", json.dumps(error), {"Lambda-Runtime-Function-Error-Type": "Function.Error"})
    elif event.get("do") == "text":
        ask("POST", f"invocation/{request}/response", event["text"])
    else:
        ask("POST", f"invocation/{request}/response", json.dumps(do(event, headers)))
    if event.get("leave"):
        sys.exit(0)
