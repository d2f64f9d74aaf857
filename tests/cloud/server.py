"""S3 servers on loopback, and `braid` beside servers of any store."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "braid", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
# What a store's own variables begin with: none of them reaches a program that is not given it.
STORES = ("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "GCE_", "BRAID_")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server that is started, and answers when this is made."""

    def __init__(self, command: list[str], port: int, **environment: str):
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
        )
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"{command[0]} ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        sys.exit(f"{command[0]} does not answer")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Server(Process):
    """A server of S3, and what a process must know to speak to it."""

    scheme = "s3"
    # What a person is told to set where access is refused.
    key_name = "AWS_ACCESS_KEY_ID"
    refusal = "access is refused, with status 403"

    def __init__(self, **environment: str):
        port = free_port()
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, **environment)
        self.environment = KEYS | self.at(port)
        keys = {"aws_access_key_id": "braid", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], **keys)

    @staticmethod
    def at(port: int) -> dict[str, str]:
        """Where the server is."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}

    def make(self, bucket: str) -> None:
        self.client.create_bucket(Bucket=bucket)
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def below(self, bucket: str, folder: str) -> dict[str, bytes]:
        """The objects below a folder, by the rest of their names."""
        found = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/"):
            for entry in page.get("Contents", []):
                name = entry["Key"].removeprefix(f"{folder}/")
                found[name] = self.client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        return found

    def writes(self, bucket: str, folder: str) -> dict[str, list[str]]:
        """For each object below a folder, what is another one after each write."""
        found: dict[str, list[str]] = {}
        for entry in self.client.list_object_versions(Bucket=bucket, Prefix=f"{folder}/").get("Versions", []):
            found.setdefault(entry["Key"].removeprefix(f"{folder}/"), []).append(entry["VersionId"])
        return found

    def uploads(self, bucket: str) -> list[dict[str, str]]:
        """Uploads in parts that have neither been completed nor aborted."""
        return self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def abort_uploads(self, bucket: str) -> None:
        """What a store's own rules do with what a killed process leaves."""
        for upload in self.uploads(bucket):
            self.client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    @contextlib.contextmanager
    def stranger(self, bucket: str) -> Iterator[dict[str, str]]:
        """The environment of somebody who may not use the bucket."""
        # The first request makes the bucket; from then on keys are looked at.
        locked = type(self)(INITIAL_NO_AUTH_ACTION_COUNT="1")
        try:
            locked.client.create_bucket(Bucket=bucket)
            yield locked.environment
        finally:
            locked.stop()


class Braid:
    """The program, run in a folder."""

    def __init__(self, program: str, folder: pathlib.Path):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = folder

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(STORES)}
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
