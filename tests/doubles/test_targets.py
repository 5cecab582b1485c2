"""The verbs against services that others wrote."""

import json

import pytest

ROLE = "arn:aws:iam::{account}:role/machine-of-the-test"
LINES = 50


def machine_of(double, name, definition):
    return double.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE.format(account=double.account)
    )["stateMachineArn"]


@pytest.fixture(scope="session")
def waiting(moto):
    """On moto, an execution that nothing runs; its machine's ARN."""
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Pass", "End": True}}}
    return machine_of(moto, "waiting", definition)


@pytest.fixture(scope="session")
def mapped(ministack):
    """On ministack, a Distributed Map over 50 lines, every fifth of which fails; its bucket."""
    store = ministack.client("s3")
    store.create_bucket(Bucket="data")
    child = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "Which",
        "States": {
            "Which": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.line", "StringMatches": "*bad*", "Next": "Bad"}],
                "Default": "Good",
            },
            "Bad": {"Type": "Fail", "Error": "Line.Bad", "Cause": "line of 10.0.0.7 is bad"},
            "Good": {"Type": "Pass", "End": True},
        },
    }
    lines = {
        "Type": "Map",
        "Label": "Lines",
        "End": True,
        "ToleratedFailurePercentage": 50,
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket.$": "$.source.bucket", "Key.$": "$.source.key"},
        },
        "ItemProcessor": child,
    }
    machine_of(ministack, "lines", {"StartAt": "Lines", "States": {"Lines": lines}})
    return "data"


def line(n):
    return json.dumps({"n": n, "line": f"{'bad' if n % 5 == 0 else 'good'} {n}"})


def test_an_execution_is_started_listed_and_stopped(moto, waiting):
    moto.client("s3").create_bucket(Bucket="files")
    file = moto.home / "lines.txt"
    file.write_text("one\ntwo\n")
    moto.client("s3").upload_file(str(file), "files", "lines.txt")
    code, answer, said = moto.fanout(
        "start", "s3://files/lines.txt", "--name", "first", "--yes", machine=waiting
    )
    assert code == 0, said
    assert [it["name"] for it in answer["started"]] == ["first"]

    code, answer, said = moto.fanout("runs", machine=waiting)
    assert code == 0, said
    [run] = answer["runs"]
    assert (run["name"], run["status"]) == ("first", "RUNNING")

    code, _, said = moto.fanout("stop", "first", "--yes", "--cause", "enough", machine=waiting)
    assert code == 0, said
    code, answer, _ = moto.fanout("wait", "first", machine=waiting)
    assert (code, answer["runs"][0]["status"]) == (1, "ABORTED")


def test_a_name_taken_is_no_second_start(moto, waiting):
    file = moto.home / "again.txt"
    file.write_text("one\n")
    moto.client("s3").create_bucket(Bucket="again")
    moto.client("s3").upload_file(str(file), "again", "lines.txt")
    start = ["start", "s3://again/lines.txt", "--yes"]
    names = {moto.fanout(*start, machine=waiting)[1]["started"][0]["name"] for _ in range(2)}
    assert len(names) == 1
    runs = moto.fanout("runs", machine=waiting)[1]["runs"]
    assert len([run for run in runs if run["name"] in names]) == 1


def test_what_is_not_there_is_told_with_what_to_do(double):
    code, _, said = double.fanout("runs", machine="nobody")
    assert code != 0 and "nobody" in said, said
    assert "panicked" not in said
    code, _, said = double.fanout("start", "s3://no-such-bucket/a.txt", "--yes", machine="nobody")
    assert code != 0 and "error" in said, said


def test_map_runs_of_others_are_counted_grouped_and_read(ministack, mapped):
    text = "".join(line(n) + "\n" for n in range(1, LINES + 1))
    store = ministack.client("s3")
    store.put_object(Bucket=mapped, Key="in.jsonl", Body=text.encode())
    code, answer, said = ministack.fanout(
        "start", f"s3://{mapped}/in.jsonl", "--name", "run", "--yes", "--wait", machine="lines"
    )
    assert code == 3, said
    [run] = answer["runs"]
    assert run["state"] == "PART" or run["state"] == "part", run
    items = run["map_run"]["items"]
    assert (items["total"], items["succeeded"], items["failed"]) == (LINES, 40, 10)

    code, answer, said = ministack.fanout("failures", "run", "--group", machine="lines")
    assert code in (0, 3), said
    [group] = answer["groups"]
    assert (group["error"], group["message"]) == ("Line.Bad", "line of <ip> is bad")
    assert group["count"] == 10

    code, answer, said = ministack.fanout("failures", "run", machine="lines")
    assert sorted(it["line"] for it in answer["failures"]) == list(range(5, LINES + 1, 5)), said

    code, answer, said = ministack.fanout("outputs", "ls", "run", machine="lines")
    assert code == 0, said
    keys = [it["object"]["address"]["key"] for it in answer["outputs"]]
    assert "in.jsonl" in keys

    # AWS redrives nothing that succeeded, and neither do we ask it to.
    code, _, said = ministack.fanout("redrive", "run", "--yes", machine="lines")
    assert code == 4, said
    # ministack 1.5 keeps no history of Map Runs: MapRunStarted is missing, which AWS writes.
    arn = run["arn"]
    history = ministack.client("stepfunctions").get_execution_history(executionArn=arn)
    kinds = [event["type"] for event in history["events"]]
    assert kinds[0] == "ExecutionStarted" and kinds[-1] == "ExecutionSucceeded"


def test_objects_come_back_as_they_went(ministack, mapped):
    store = ministack.client("s3")
    text = "".join(f"{n}\n" for n in range(1_000))
    source = {"bucket": mapped, "key": "whole.jsonl"}
    store.put_object(Bucket=mapped, Key="whole.jsonl", Body=(line(1) + "\n").encode())
    store.put_object(Bucket=mapped, Key="out/result.txt", Body=text.encode())
    value = {"source": source, "output": {"bucket": mapped, "key": "out/result.txt"}}
    steps = ministack.client("stepfunctions")
    machines = steps.list_state_machines()["stateMachines"]
    [machine] = [it["stateMachineArn"] for it in machines if it["name"] == "lines"]
    steps.start_execution(stateMachineArn=machine, name="whole", input=json.dumps(value))
    assert ministack.fanout("wait", "whole", machine="lines")[0] == 0
    folder = ministack.home / "got"
    folder.mkdir()
    code, answer, said = ministack.fanout(
        "outputs", "get", "whole", "result.txt", "--to", str(folder), machine="lines"
    )
    assert code == 0, said
    assert (folder / "result.txt").read_text() == text
    assert len(answer["downloaded"]) == 1
