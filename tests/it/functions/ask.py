# Asks the engine's Lambda as any program would: with the AWS SDK.
import base64, json, os, sys

import boto3
from botocore.exceptions import ClientError

client = boto3.client("lambda")
seen = {}

answer = client.invoke(FunctionName="lines", Payload=json.dumps({"n": 1}), LogType="Tail")
seen["status"] = answer["StatusCode"]
seen["version"] = answer["ExecutedVersion"]
seen["payload"] = json.loads(answer["Payload"].read())
seen["log"] = base64.b64decode(answer["LogResult"]).decode()

answer = client.invoke(FunctionName=client.get_function(FunctionName="lines")["Configuration"]["FunctionArn"], Payload=json.dumps({"n": 2, "bad": True}))
seen["error"] = answer["FunctionError"]
seen["cause"] = json.loads(answer["Payload"].read())
seen["request"] = answer["ResponseMetadata"]["RequestId"]

seen["event"] = client.invoke(FunctionName="lines", InvocationType="Event", Payload=b"{}")["StatusCode"]
seen["dry"] = client.invoke(FunctionName="lines", InvocationType="DryRun")["StatusCode"]
seen["listed"] = [it["FunctionName"] for page in client.get_paginator("list_functions").paginate() for it in page["Functions"]]
seen["memory"] = client.get_function_configuration(FunctionName="lines", Qualifier="$LATEST")["MemorySize"]
for name, call in [
    ("missing", lambda: client.invoke(FunctionName="none")),
    ("unsupported", lambda: client.delete_function(FunctionName="lines")),
    ("not json", lambda: client.invoke(FunctionName="lines", Payload=b"{")),
]:
    try:
        call()
    except ClientError as error:
        seen[name] = error.response["Error"]["Code"]
json.dump(seen, sys.stdout)
