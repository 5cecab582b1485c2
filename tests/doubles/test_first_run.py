"""The README's commands from an account to the first run, word by word, with our Lambda program."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from conftest import KEYS, ROOT

# Of its own, so that nothing is there yet.
REGION = "eu-west-1"
PROGRAM = Path(os.environ["FANOUT"]).with_name("bootstrap")
# What the README's commands make, from what is built already. Lambda wants it small.
STAND_INS = {
    "bin/cargo": "#!/bin/sh\nexit 0\n",
    ".ci/bootstrap": f"""#!{sys.executable}
import os, subprocess, sys, zipfile
os.makedirs("target/lambda")
subprocess.run(["strip", "-o", "stripped", "{PROGRAM}"], check=True)
entry = zipfile.ZipInfo("bootstrap")
entry.external_attr = 0o100755 << 16
with zipfile.ZipFile(f"target/lambda/bootstrap-{{sys.argv[1]}}.zip", "w") as to:
    with open("stripped", "rb") as read:
        to.writestr(entry, read.read())
""",
}


@pytest.fixture
def service():
    """A service that answers each line; its address and the lines that it was asked about."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(unquote(self.path[1:]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def commands(address):
    """The README's block, with a service that is there."""
    readme = (ROOT / "README.md").read_text()
    [block] = re.findall(r"```\n([^`]*sh deploy\.sh[^`]*)```", readme)
    example = "https://api.example.com/"
    assert example in block
    return block.replace(example, f"{address}/")


@pytest.mark.skipif(
    not PROGRAM.exists(), reason="no Lambda program: cargo build --features lambda --bin bootstrap"
)
def test_the_readmes_commands_bring_a_file_through_the_deployed_workflow(ministack, service):
    address, asked = service
    clone = ministack.home / "clone"
    for name, text in STAND_INS.items():
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (clone / "bin/fanout").symlink_to(os.environ["FANOUT"])
    lines = ["one", "two words", "3/4", "Köln"]
    (clone / "words.txt").write_text("".join(f"{line}\n" for line in lines))

    environment = {
        **KEYS,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": ministack.url,
        "HOME": str(clone),
        "PATH": f"{clone}/bin:{os.environ['PATH']}",
    }
    shell = [shutil.which("sh"), "-e", "-c", commands(address)]
    done = subprocess.run(
        shell, env=environment, cwd=clone, capture_output=True, text=True, check=False, timeout=300
    )
    said = done.stdout + done.stderr
    # Preprocess has made an item of each line, and Worker has asked about it.
    assert sorted(asked) == sorted(lines), said

    command = [os.environ["FANOUT"], "runs", "--json"]
    runs = subprocess.run(command, env=environment, cwd=clone, capture_output=True, check=True)
    [run] = json.loads(runs.stdout)["runs"]
    items = run["map_run"]["items"]
    assert (items["total"], items["succeeded"]) == (len(lines), len(lines)), run
    # ministack 1.5 writes no result files: ResultWriter is ignored, so Postprocess is not told
    # where they are, and says so. AWS has them (Step Functions guide: ResultWriter).
    assert (done.returncode, run["error"]) == (1, "Postprocess.InvalidInput"), said
