"""Models in a store are merged as those in folders are."""

import json
import pathlib
import sys

from server import Braid, done, free_port, refused

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "tests/data/goldens"
BUCKET = "bucket"


def fill(server) -> None:
    """Puts the models of the conformance cases into a bucket."""
    server.make(BUCKET)
    for path in sorted((GOLDENS / "models").rglob("*")):
        if path.is_file():
            server.put(BUCKET, path.relative_to(GOLDENS).as_posix(), path.read_bytes())


def files(out: pathlib.Path) -> dict[str, bytes]:
    """All files but those that say where the inputs were."""
    named = {"README.md", "braid.json", "braid-inputs.json"}
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name not in named}


class Merging:
    """Merges of recipes that are written for it."""

    def __init__(self, program: str, server, place: pathlib.Path):
        self.braid, self.place, self.models = Braid(program, GOLDENS), place, f"{server.scheme}://{BUCKET}/models/"

    def recipe(self, name: str) -> str:
        return (GOLDENS / f"recipes/{name}.yml").read_text()

    def remote(self, name: str) -> str:
        """The recipe with its models in the bucket."""
        local = self.recipe(name)
        remote = local.replace("./models/", self.models)
        assert remote != local, name
        return remote

    def merge(self, recipe: str, name: str, **environment: str):
        file = self.place / f"{name}.yml"
        file.write_text(recipe)
        return self.braid.run("merge", str(file), str(self.place / name), "--threads", "2", **environment)


def check(program: str, server, place: pathlib.Path) -> None:
    merging = Merging(program, server, place)
    fill(server)
    same_bytes(merging, server)
    models = merging.models
    recipe = merging.remote("linear")
    nowhere = f"{server.scheme}://no-such-bucket/"
    refused(merging.merge(recipe.replace(models, f"{nowhere}models/"), "wrong", **server.environment), nowhere, "no such bucket")
    no_model(merging, server)
    silent = server.environment | server.at(free_port())
    refused(merging.merge(recipe, "silent", **silent), f"cannot open {models}ft0/config.json")
    print("wrong buckets, missing models and a server that is not there are told")


def same_bytes(merging: Merging, server) -> None:
    for name in ("linear", "ties", "slerp"):
        done(merging.merge(merging.recipe(name), f"{name}-local"))
        done(merging.merge(merging.remote(name), f"{name}-remote", **server.environment))
        if files(merging.place / f"{name}-local") != files(merging.place / f"{name}-remote"):
            sys.exit(f"{name}: the result of {merging.models} is another one")
        manifest = json.loads((merging.place / f"{name}-remote/braid.json").read_text())
        print(f"{name}: {len(manifest['tensors'])} tensors from {merging.models}, the same bytes")


def no_model(merging: Merging, server) -> None:
    absent = merging.remote("linear").replace("models/ft0", "models/absent")
    refused(merging.merge(absent, "absent", **server.environment), f"{merging.models}absent: has no config.json")
