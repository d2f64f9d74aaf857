"""Models in a bucket are merged as those in folders are."""

import json
import pathlib
import sys

from server import Braid, Server, done, free_port, refused

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "tests/data/goldens"


def fill(server: Server) -> None:
    """Puts the models of the conformance cases into a bucket."""
    server.client.create_bucket(Bucket="bucket")
    for path in sorted((GOLDENS / "models").rglob("*")):
        if path.is_file():
            server.client.upload_file(str(path), "bucket", path.relative_to(GOLDENS).as_posix())


def files(out: pathlib.Path) -> dict[str, bytes]:
    """All files but those that say where the inputs were."""
    named = {"README.md", "braid.json", "braid-inputs.json"}
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name not in named}


def check(program: str, server: Server, place: pathlib.Path) -> None:
    braid = Braid(program, GOLDENS)

    def merge(recipe: str, name: str, **environment: str):
        file = place / f"{name}.yml"
        file.write_text(recipe)
        return braid.run("merge", str(file), str(place / name), "--threads", "2", **environment)

    fill(server)
    for name in ("linear", "ties", "slerp"):
        recipe = (GOLDENS / f"recipes/{name}.yml").read_text()
        remote = recipe.replace("./models/", "s3://bucket/models/")
        assert remote != recipe, name
        done(merge(recipe, f"{name}-local"))
        done(merge(remote, f"{name}-s3", **server.environment))
        if files(place / f"{name}-local") != files(place / f"{name}-s3"):
            sys.exit(f"{name}: the result of s3:// is another one")
        manifest = json.loads((place / f"{name}-s3/braid.json").read_text())
        print(f"{name}: {len(manifest['tensors'])} tensors from s3://bucket, the same bytes")
    recipe = (GOLDENS / "recipes/linear.yml").read_text().replace("./models/", "s3://bucket/models/")
    wrong = recipe.replace("s3://bucket/models/", "s3://no-such-bucket/models/")
    refused(merge(wrong, "wrong", **server.environment), "s3://no-such-bucket/", "no such bucket")
    absent = recipe.replace("models/ft0", "models/absent")
    refused(merge(absent, "absent", **server.environment), "s3://bucket/models/absent: has no config.json")
    silent = server.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    refused(merge(recipe, "silent", **silent), "cannot open s3://bucket/models/ft0/config.json")
    print("wrong buckets, missing models and a server that is not there are told")
