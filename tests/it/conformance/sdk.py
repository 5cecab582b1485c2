"""Asks the engine at the URL given as boto3 does. Each case is named for its rule."""

import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
CONFIG = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
sfn = boto3.client("stepfunctions", endpoint_url=URL, config=CONFIG)
s3 = boto3.client("s3", endpoint_url=URL)
ROLE = "arn:aws:iam::000000000000:role/engineer"
PATIENCE = 60


def create(name, definition):
    created = sfn.create_state_machine(name=name, roleArn=ROLE, definition=json.dumps(definition))
    return created["stateMachineArn"]


def ended(arn):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        described = sfn.describe_execution(executionArn=arn)
        if described["status"] != "RUNNING":
            return described
    raise AssertionError(f"{arn} does not end")


def refused(call, code, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"{code} was expected")


def history_and_pages():
    """GetExecutionHistory: pages by token, both ways."""
    states = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}
    machine = create("pages", {"StartAt": "A", "States": states})
    arn = sfn.start_execution(stateMachineArn=machine, input='{"x": 1}')["executionArn"]
    assert json.loads(ended(arn)["output"]) == {"x": 1}
    pages = sfn.get_paginator("get_execution_history").paginate
    ids = lambda **more: [
        event["id"]
        for page in pages(executionArn=arn, PaginationConfig={"PageSize": 2}, **more)
        for event in page["events"]
    ]
    assert ids() == [1, 2, 3, 4, 5, 6]
    assert ids(reverseOrder=True) == [6, 5, 4, 3, 2, 1]


def redrive():
    """RedriveExecution: a Map Run past its threshold is redriven under the same ARN."""
    s3.put_object(Bucket="data", Key="items.json", Body=json.dumps([1, 2, 3]))
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "No"}],
        "Default": "Yes",
    }
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Which",
        "States": {"Which": choice, "Yes": {"Type": "Succeed"}, "No": {"Type": "Fail", "Error": "Two"}},
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "data", "Key": "items.json"},
    }
    state = {"Type": "Map", "Label": "Items", "ItemReader": reader, "ItemProcessor": processor, "End": True}
    machine = create("redrive", {"StartAt": "M", "States": {"M": state}})
    arn = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    failed = ended(arn)
    assert failed["error"] == "States.ExceedToleratedFailureThreshold", failed
    assert failed["redriveStatus"] == "REDRIVABLE"
    run = sfn.list_map_runs(executionArn=arn)["mapRuns"][0]["mapRunArn"]
    counts = sfn.describe_map_run(mapRunArn=run)["itemCounts"]
    assert counts["failed"] == 1 and len(counts) == 10, counts
    redriven = sfn.redrive_execution(executionArn=arn, clientToken="t")
    assert ended(arn)["redriveCount"] == 1
    assert sfn.redrive_execution(executionArn=arn, clientToken="t")["redriveDate"] == redriven["redriveDate"]
    child = sfn.list_executions(mapRunArn=run, statusFilter="FAILED")["executions"][0]
    error = refused(sfn.redrive_execution, "ValidationException", executionArn=child["executionArn"])
    assert error["reason"] == "API_DOES_NOT_SUPPORT_LABELED_ARNS", error
    error = refused(sfn.update_map_run, "ValidationException", mapRunArn=run, maxConcurrency=1)
    assert error["reason"] == "CANNOT_UPDATE_COMPLETED_MAP_RUN", error


def stop():
    """StopExecution: error and cause; ExecutionAborted follows nothing."""
    state = {"Type": "Wait", "Seconds": 1000, "End": True}
    machine = create("stop", {"StartAt": "W", "States": {"W": state}})
    arn = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    sfn.stop_execution(executionArn=arn, error="Enough", cause="late")
    stopped = ended(arn)
    assert (stopped["status"], stopped["error"], stopped["cause"]) == ("ABORTED", "Enough", "late")
    last = sfn.get_execution_history(executionArn=arn, reverseOrder=True)["events"][0]
    assert (last["type"], last["previousEventId"]) == ("ExecutionAborted", 0), last
    refused(sfn.describe_execution, "ExecutionDoesNotExist", executionArn=arn + "x")


for case in (history_and_pages, redrive, stop):
    case()
    print("ok:", case.__doc__)
