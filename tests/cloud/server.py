"""S3 servers on loopback, and `braid` beside them."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "braid", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server of S3, and what a process must know to speak to it."""

    def __init__(self, **environment: str):
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
        )
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = KEYS | {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true"}
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"the S3 server ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            self.stop()
            sys.exit("the S3 server does not answer")
        keys = {"aws_access_key_id": "braid", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.endpoint, **keys)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def below(self, bucket: str, folder: str) -> dict[str, bytes]:
        """The objects below a folder, by the rest of their names."""
        found = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/"):
            for entry in page.get("Contents", []):
                name = entry["Key"].removeprefix(f"{folder}/")
                found[name] = self.client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        return found


class Braid:
    """The program, run in a folder."""

    def __init__(self, program: str, folder: pathlib.Path):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = folder

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BRAID_"))}
        return subprocess.Popen(
            [self.program, *words],
            cwd=self.folder,
            env=clean | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        process = self.start(*words, **environment)
        try:
            output, errors = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            process.kill()
            sys.exit(f"{words} does not end: {process.communicate()}")
        return subprocess.CompletedProcess(words, process.returncode, output, errors)


def done(run: subprocess.CompletedProcess, *expected: str) -> None:
    missing = [text for text in expected if text not in run.stdout]
    if run.returncode or missing:
        sys.exit(f"{run.args}: {run.returncode}, without {missing}:\n{run.stdout}{run.stderr}")


def refused(run: subprocess.CompletedProcess, *expected: str) -> None:
    missing = [text for text in expected if text not in run.stderr]
    if run.returncode == 0 or missing:
        sys.exit(f"expected an error with {missing or expected}, got {run.returncode}:\n{run.stdout}{run.stderr}")


def eventually(what: str, look) -> object:
    """What `look` finds, as soon as it finds something."""
    for _ in range(6000):
        found = look()
        if found:
            return found
        time.sleep(0.01)
    sys.exit(f"in vain: {what}")
