"""The doubles, each on a port of its own, and the program that is held against them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
REGION = "us-east-1"


@dataclass
class Double:
    """One that answers as AWS."""

    name: str
    url: str
    account: str
    home: Path

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}),
        )

    def fanout(self, *arguments, machine=None):
        """Runs a verb; its exit code, its JSON (or None), and what it said."""
        command = [os.environ["FANOUT"], "--json", "--endpoint-url", self.url]
        command += ["--machine", machine] if machine else []
        environment = {
            **KEYS,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            command + list(arguments),
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        answer = json.loads(done.stdout) if done.stdout.strip() else None
        return done.returncode, answer, done.stderr


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url, process):
    """Waits until something answers there, whatever it answers."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the double ended at once"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}")


def serve(name, account, command, environment, folder):
    port = free_port()
    command = [word.format(port=port) for word in command]
    settings = {key: value.format(port=port, folder=folder) for key, value in environment.items()}
    log = open(folder / f"{name}.log", "wb")
    process = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **settings},
        stdout=log,
        stderr=log,
        cwd=folder,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        answers(url, process)
        yield Double(name, url, account, folder)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """moto: the APIs; executions stay RUNNING, as nothing runs them."""
    folder = tmp_path_factory.mktemp("moto")
    command = [shutil.which("moto_server"), "--port", "{port}"]
    yield from serve("moto", "123456789012", command, KEYS, folder)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory):
    """ministack: an interpreter of the language, with Map Runs and their children."""
    folder = tmp_path_factory.mktemp("ministack")
    settings = {
        "GATEWAY_PORT": "{port}",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": "{folder}",
        # For the functions that it runs.
        "AWS_ENDPOINT_URL": "http://127.0.0.1:{port}",
    }
    yield from serve("ministack", "000000000000", [shutil.which("ministack")], settings, folder)


@pytest.fixture(scope="session", params=["moto", "ministack"])
def double(request):
    """Each of the doubles."""
    return request.getfixturevalue(request.param)
