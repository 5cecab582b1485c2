"""The template and the definition, as others read them."""

import io
import re
import shutil
import subprocess
import time
import zipfile

import cfnlint.decode
import pytest

from conftest import ROOT

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
CHANGES = re.compile(r":(Start(?!LiveTail)|Stop|Redrive|Update|Put|Delete|Abort|Create)")


def operations():
    """Every AWS operation that the client calls, read from its source."""
    found = set()
    for path in (ROOT / "src/client").rglob("*.rs"):
        if "tests" in path.parts or path.name == "tests.rs":
            continue
        for service, call in re.findall(
            r"\.(sfn|s3|logs|sts)\s*\.\s*([a-z_0-9]+)\(\)", path.read_text()
        ):
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


def test_the_template_has_no_fault_that_cfn_lint_knows():
    done = subprocess.run(
        [shutil.which("cfn-lint"), str(TEMPLATE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


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


def test_a_stack_comes_up_where_cloudformation_is_doubled(double):
    store, stacks = double.client("s3"), double.client("cloudformation")
    store.create_bucket(Bucket="code")
    program = io.BytesIO()
    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    store.put_object(Bucket="code", Key="v1/bootstrap.zip", Body=program.getvalue())
    store.put_object(Bucket="code", Key="v1/workflow.asl.json", Body=DEFINITION.read_bytes())
    values = {"CodeBucket": "code", "CodePrefix": "v1"}
    stacks.create_stack(
        StackName="fanout",
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    until = time.monotonic() + 60
    while True:
        [stack] = stacks.describe_stacks(StackName="fanout")["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        assert time.monotonic() < until, stack
        time.sleep(0.05)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    outputs = {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}
    assert outputs["StateMachineArn"].endswith(":stateMachine:fanout")

    code, answer, said = double.fanout("machines")
    assert code == 0, said
    assert "fanout" in [machine["name"] for machine in answer["machines"]]
    # The definition that arrived is the one that was packaged.
    machine = double.client("stepfunctions").describe_state_machine(
        stateMachineArn=outputs["StateMachineArn"]
    )
    if double.name == "moto":
        # moto 5.2 does not read DefinitionS3Location, and stores no definition.
        assert machine["definition"] == ""
    else:
        assert "Preprocess" in machine["definition"]
