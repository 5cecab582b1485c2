"""The template and the definition, as others read them."""

import json
import os
import re
import shutil
import subprocess
import zipfile

import cfnlint.decode
import pytest

from conftest import KEYS, REGION, ROOT

TEMPLATE = ROOT / "assets/template.yaml"
DEFINITION = ROOT / "assets/workflow.asl.json"

# IAM's names where they are not the operation's own (IAM: actions, resources and condition keys
# for Amazon S3), and what needs no permission.
PERMISSIONS = {
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListBuckets": ["s3:ListAllMyBuckets"],
    "s3:DeleteObjects": ["s3:DeleteObject"],
    "s3:CreateMultipartUpload": ["s3:PutObject"],
    "s3:UploadPart": ["s3:PutObject"],
    "s3:CompleteMultipartUpload": ["s3:PutObject"],
    "s3:ListParts": ["s3:ListMultipartUploadParts"],
    "sts:GetCallerIdentity": [],
}
# The embedded engine is set up by the same client; on AWS the template does this.
SET_UP = {
    "s3:CreateBucket",
    "states:CreateStateMachine",
    "states:UpdateStateMachine",
}
SERVICES = {"sfn": "states", "s3": "s3", "logs": "logs", "sts": "sts"}
# How the client calls what is done to one object.
ON_OBJECT = r"\bon!\(\s*[^,]+,\s*([a-z_0-9]+),"
CHANGES = re.compile(r":(Start(?!LiveTail)|Stop|Redrive|Update|Put|Delete|Abort|Create)")


def operations():
    """Every AWS operation that the client calls, read from its source."""
    found = set()
    for path in (ROOT / "src/client").rglob("*.rs"):
        if "tests" in path.parts or path.name == "tests.rs":
            continue
        text = path.read_text()
        calls = re.findall(r"\.(sfn|s3|logs|sts)\s*\.\s*([a-z_0-9]+)\(\)", text)
        calls += [("s3", call) for call in re.findall(ON_OBJECT, text)]
        for service, call in calls:
            name = "".join(part.capitalize() for part in call.split("_"))
            found.add(f"{SERVICES[service]}:{name}")
    return found


def granted(template, *names):
    """The actions that these policies or roles allow."""
    actions = set()
    for name in names:
        properties = template["Resources"][name]["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for statement in (it for document in documents for it in document["Statement"]):
            named = statement["Action"]
            actions.update([named] if isinstance(named, str) else named)
    return actions


@pytest.fixture(scope="module")
def template():
    decoded, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert not problems
    return decoded


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """What `fanout deploy --print` writes."""
    folder = tmp_path_factory.mktemp("packaged")
    command = [os.environ["FANOUT"], "deploy", "--print", "--region", REGION, "--out", "out"]
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
    return folder / "out"


VARIATIONS = [
    [],
    ["Architecture=arm64", "DefaultUrl=https://example.com/{line}"],
    ["AlarmTopic=arn:aws:sns:us-east-1:123456789012:alarms", "LogRetentionDays=1"],
]


@pytest.mark.parametrize("values", VARIATIONS)
@pytest.mark.parametrize("which", ["source", "packaged"])
def test_the_template_has_no_fault_that_cfn_lint_knows(packaged, which, values):
    path = TEMPLATE if which == "source" else packaged / "template.yaml"
    command = [shutil.which("cfn-lint"), "--template", str(path), "--regions", "ALL_REGIONS"]
    command += ["--parameters", "CodeBucket=code", "CodePrefix=v1", *values]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_definition_has_no_fault_that_statelint_knows():
    done = subprocess.run(
        [shutil.which("statelint"), str(DEFINITION)], capture_output=True, text=True, check=False
    )
    # statelint 3.1 is older than both fields (Amazon States Language: Map state, ItemReader).
    known = ['"Label" not allowed', '"InputType" not allowed']
    faults = [line for line in done.stdout.splitlines() if line.startswith(" ")]
    unknown = [fault for fault in faults if not any(it in fault for it in known)]
    assert not unknown, done.stdout


def test_people_may_do_what_the_client_does_and_nothing_else(template):
    used = operations() - SET_UP
    assert {"states:RedriveExecution", "s3:GetObject", "logs:FilterLogEvents"} <= used
    needed = {action for name in used for action in PERMISSIONS.get(name, [name])}
    # Reading one version of an object is GetObject too.
    needed.add("s3:GetObjectVersion")
    allowed = granted(template, "ReadOnlyPolicy", "OperatorPolicy")
    assert needed - allowed == set(), "the client calls what no policy allows"
    assert allowed - needed - {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"} == set(), (
        "a policy allows what the client never calls"
    )


def test_who_only_looks_may_change_nothing(template):
    changes = [name for name in granted(template, "ReadOnlyPolicy") if CHANGES.search(name)]
    assert changes == []


def calls_of_methods():
    """What each method of the client for objects calls."""
    found = {}
    for path in (ROOT / "src/client/s3.rs", *(ROOT / "src/client/s3").glob("*.rs")):
        parts = re.split(r"pub async fn (\w+)", path.read_text().split("#[cfg(test)]")[0])
        for name, body in zip(parts[1::2], parts[2::2]):
            calls = re.findall(r"\.s3\s*\.\s*([a-z_0-9]+)\(\)", body)
            calls += re.findall(ON_OBJECT, body)
            # A writer's parts are sent by what `write` returns.
            name = "write" if path.name == "writer.rs" else name
            names = {"s3:" + "".join(map(str.capitalize, call.split("_"))) for call in calls}
            found.setdefault(name, set()).update(names)
    return found


def test_the_functions_may_do_what_their_handlers_do_and_nothing_else(template):
    methods, used = calls_of_methods(), set()
    files = [*(ROOT / "src/workflow").glob("*.rs"), *(ROOT / "src/lines").glob("*.rs")]
    for path in files:
        text = path.read_text().split("#[cfg(test)]")[0]
        if re.search(r"use crate::client::(\{[^}]*)?\bClient\b", text):
            for name in re.findall(r"\.(\w+)\(", text):
                used |= methods.get(name, set())
    assert {"s3:GetObject", "s3:CompleteMultipartUpload", "s3:DeleteObjects"} <= used
    needed = {action for name in used for action in PERMISSIONS.get(name, [name])}
    needed.add("s3:GetObjectVersion")
    # Both are asked through helpers that this does not look into.
    needed |= {"s3:AbortMultipartUpload", "s3:ListBucket"}
    assert needed == granted(template, "FilesRole")
    # A worker asks its service and nobody else.
    assert granted(template, "WorkerRole") == set()


def values_of(document, key):
    """Every value of a key, at any depth."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from values_of(value, key)


# What each resource of a definition takes (Step Functions guide: IAM policies for integrated
# services, and for Map states in Distributed mode).
TAKES = {
    "arn:aws:states:::lambda:invoke": {"lambda:InvokeFunction"},
    "arn:aws:states:::s3:getObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "arn:aws:states:::s3:putObject": {
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:AbortMultipartUpload",
    },
}
CHILDREN = {
    "states:StartExecution",
    "states:DescribeExecution",
    "states:StopExecution",
    "states:RedriveExecution",
}


def test_the_machine_may_do_what_its_definition_says_and_nothing_else(template):
    definition = json.loads(DEFINITION.read_text())
    needed = set().union(*(TAKES[name] for name in values_of(definition, "Resource")))
    assert "DISTRIBUTED" in values_of(definition, "Mode")
    needed |= CHILDREN
    role = template["Resources"]["StateMachineRole"]["Properties"]
    log = [it for it in role["Policies"] if it["PolicyName"] == "logs"]
    allowed = granted(template, "StateMachineRole")
    logs = set(log[0]["PolicyDocument"]["Statement"][0]["Action"])
    assert all(action.startswith("logs:") for action in logs)
    assert allowed - logs == needed

    # Each function that it names is one of the template's, and one that it may call.
    named = {
        name: function["Properties"]["FunctionName"]
        for name, function in template["Resources"].items()
        if function["Type"] == "AWS::Lambda::Function"
    }
    assert set(values_of(definition, "FunctionName")) == set(named.values())
    [invoke] = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    ]
    functions = {it["Fn::GetAtt"][0] for it in invoke["Resource"] if "Fn::GetAtt" in it}
    assert functions == set(named)


def test_the_machine_may_redrive_its_children(template):
    role = template["Resources"]["StateMachineRole"]["Properties"]
    children = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "states:RedriveExecution" in statement["Action"]
    ]
    assert len(children) == 1
    assert children[0]["Resource"]["Fn::Sub"].endswith(":execution:fanout/*:*")


def test_the_printed_script_brings_the_workflow_into_an_account(double):
    with zipfile.ZipFile(double.home / "program.zip", "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    flags = ["--print", "--region", REGION, "--bootstrap", "program.zip", "--out", "stack"]
    environment = {
        **KEYS,
        "HOME": str(double.home),
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": double.url,
    }
    made = subprocess.run(
        [os.environ["FANOUT"], "deploy", *flags],
        env=environment,
        cwd=double.home,
        capture_output=True,
        text=True,
        check=True,
    )
    def brought():
        return subprocess.run(
            ["sh"],
            input=made.stdout,
            env=environment,
            cwd=double.home,
            capture_output=True,
            text=True,
            check=False,
        )

    done = brought()
    assert done.returncode == 0, done.stdout + done.stderr
    again = brought()
    # moto 5.2 refuses a change set without changes; AWS makes one that fails, which the CLI knows.
    if double.name != "moto" or "No updates are to be performed" not in again.stderr:
        assert again.returncode == 0, again.stdout + again.stderr
    # moto 5.2 has neither outputs nor resources for a stack that a change set made.
    if double.name != "moto":
        [stack] = double.client("cloudformation").describe_stacks(StackName="fanout")["Stacks"]
        outputs = {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}
        assert outputs["StateMachineArn"].endswith(":stateMachine:fanout")
        assert done.stdout == f"{outputs['BucketName']}\n"

    code, answer, said = double.fanout("machines")
    assert code == 0, said
    [arn] = [it["arn"] for it in answer["machines"] if it["name"] == "fanout"]
    machine = double.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    assert json.loads(machine["definition"]) == json.loads(DEFINITION.read_text())
