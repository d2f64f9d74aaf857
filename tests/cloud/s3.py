"""Merges of checkpoints in a bucket of a real S3 server on loopback, against merges of the same folders."""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import boto3

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests/data/goldens"
KEYS = {"AWS_ACCESS_KEY_ID": "braid", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(port: int) -> subprocess.Popen:
    """Starts the server and waits until it answers."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"the S3 server ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.1)
    server.kill()
    sys.exit("the S3 server does not answer")


def fill(endpoint: str, bucket: str) -> None:
    """Puts the models of the conformance cases into a bucket."""
    keys = {"aws_access_key_id": "braid", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=bucket)
    for path in sorted((GOLDENS / "models").rglob("*")):
        if path.is_file():
            client.upload_file(str(path), bucket, path.relative_to(GOLDENS).as_posix())


def merge(braid: str, recipe: str, out: pathlib.Path, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    file = out.parent / f"{out.name}.yml"
    file.write_text(recipe)
    command = [braid, "merge", str(file), str(out), "--threads", "2"]
    return subprocess.run(command, cwd=GOLDENS, env=clean | environment, capture_output=True, text=True, timeout=300)


def files(out: pathlib.Path) -> dict[str, bytes]:
    """All files but those that say where the inputs were."""
    named = {"README.md", "braid.json", "braid-inputs.json"}
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name not in named}


def refused(run: subprocess.CompletedProcess, *expected: str) -> None:
    missing = [text for text in expected if text not in run.stderr]
    if run.returncode == 0 or missing:
        sys.exit(f"expected an error with {missing or expected}, got {run.returncode}:\n{run.stderr}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--braid", required=True)
    braid = str(pathlib.Path(arguments.parse_args().braid).resolve())
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    server = serve(port)
    try:
        fill(endpoint, "bucket")
        reachable = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            for name in ("linear", "ties", "slerp"):
                recipe = (GOLDENS / f"recipes/{name}.yml").read_text()
                remote = recipe.replace("./models/", "s3://bucket/models/")
                assert remote != recipe, name
                for run in (
                    merge(braid, recipe, place / f"{name}-local"),
                    merge(braid, remote, place / f"{name}-s3", **KEYS, **reachable),
                ):
                    if run.returncode:
                        sys.exit(f"{name}: {run.stderr}")
                if files(place / f"{name}-local") != files(place / f"{name}-s3"):
                    sys.exit(f"{name}: the result of s3:// is another one")
                manifest = json.loads((place / f"{name}-s3/braid.json").read_text())
                print(f"{name}: {len(manifest['tensors'])} tensors from s3://bucket, the same bytes")
            recipe = (GOLDENS / "recipes/linear.yml").read_text().replace("./models/", "s3://bucket/models/")
            wrong = recipe.replace("s3://bucket/models/", "s3://no-such-bucket/models/")
            refused(merge(braid, wrong, place / "wrong", **KEYS, **reachable), "s3://no-such-bucket/", "no such bucket")
            absent = recipe.replace("models/ft0", "models/absent")
            refused(merge(braid, absent, place / "absent", **KEYS, **reachable), "s3://bucket/models/absent: has no config.json")
            silent = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ALLOW_HTTP": "true"}
            refused(merge(braid, recipe, place / "silent", **KEYS, **silent), "cannot open s3://bucket/models/ft0/config.json")
            print("wrong buckets, missing models and a server that is not there are told")
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
