"""Results in a store are those in folders, whatever interrupts the merge."""

import json
import pathlib
import random
import struct
import subprocess
import sys

from server import Braid, done, eventually, free_port, refused

BUCKET = "results"
# Elements of the tensors, each in a shard of its own. The first is larger than a part of an object.
SIZES = [10_000_001] + [2_000_000] * 12
SHARD = "4MB"
RECIPE = """merge_method: linear
models:
- {model: MODELSa, parameters: {weight: 3}}
- {model: MODELSb, parameters: {weight: 1}}
"""

# What the first makes is read row by row and written before the second, which begins with it.
STAGES = """name: first
merge_method: ties
base_model: MODELSa
models:
- {model: MODELSb, parameters: {weight: 1, density: 0.5}}
---
merge_method: linear
models:
- {model: first, parameters: {weight: 3}}
- {model: MODELSb, parameters: {weight: 1}}
"""


def write_model(folder: pathlib.Path, seed: int) -> None:
    """A checkpoint of tensors of random bfloat16."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"torch_dtype": "bfloat16"}))
    (folder / "tokenizer.json").write_text("{}")
    header, end = {}, 0
    for layer, size in enumerate(SIZES):
        header[f"model.layers.{layer}.w"] = {"dtype": "BF16", "shape": [size], "data_offsets": [end, end + 2 * size]}
        end += 2 * size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    chosen = random.Random(seed)
    # Exponents of numbers around one: no infinities, nothing that is not a number.
    block = b"".join(struct.pack("<H", 0x3F00 + chosen.randrange(256)) for _ in range(10_007))
    data = (block * (end // len(block) + 1))[:end]
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def expect(condition: bool, problem: str) -> None:
    if not condition:
        sys.exit(problem)


class Case:
    """Models in a folder and in a bucket, and the result of merging them into a folder."""

    def __init__(self, program: str, server, place: pathlib.Path):
        self.braid, self.server, self.place = Braid(program, place), server, place
        self.store = f"{server.scheme}://{BUCKET}"
        server.make(BUCKET)
        for seed, name in enumerate("ab"):
            write_model(place / name, seed)
            for path in (place / name).iterdir():
                server.put(BUCKET, f"models/{name}/{path.name}", path.read_bytes())
        (place / "local.yml").write_text(RECIPE.replace("MODELS", ""))
        (place / "remote.yml").write_text(RECIPE.replace("MODELS", f"{self.store}/models/"))
        (place / "stages.yml").write_text(STAGES.replace("MODELS", ""))
        (place / "other.yml").write_text(RECIPE.replace("MODELS", "").replace("3}", "2}"))
        self.local = self.in_folder("local.yml", "local")
        self.inputs = {"README.md", "braid.json", "braid-inputs.json"}

    def words(self, recipe: str, out: str) -> list[str]:
        return ["merge", recipe, out, "--threads", "2", "--max-shard-size", SHARD]

    def merge(self, recipe: str, out: str, *more: str, **other: str) -> subprocess.CompletedProcess:
        return self.braid.run(*self.words(recipe, out), *more, **(self.server.environment | other))

    def in_folder(self, recipe: str, out: str) -> dict[str, bytes]:
        """The files of a result in a folder."""
        done(self.merge(recipe, out))
        return {path.name: path.read_bytes() for path in (self.place / out).iterdir()}

    def is_there(self, out: str, but: set[str], local: dict[str, bytes] | None = None) -> None:
        """Requires that the result is the one in the folder, but for these files, and that nothing else is left."""
        local = self.local if local is None else local
        found = self.server.below(BUCKET, out)
        expect(found.keys() == local.keys(), f"{out} has {sorted(found)}, not {sorted(local)}")
        wrong = [name for name in found if name not in but and found[name] != local[name]]
        expect(not wrong, f"{out}: other bytes in {wrong}")
        parent, _, name = out.rpartition("/")
        for ending in ("braid", "stages"):
            beside = "/".join(filter(None, [parent, f".{name}.{ending}"]))
            expect(not self.server.below(BUCKET, beside), f"{beside} is left")
        uploads = self.server.uploads(BUCKET)
        expect(not uploads, f"uploads are left: {uploads}")


def check(program: str, server, place: pathlib.Path) -> None:
    case = Case(program, server, place)
    same_bytes(case)
    refusals(case)
    wrong_credentials(case)
    interrupted(case, "local.yml", "killed", case.local)
    stages(case)
    reused(case)
    fleet(case)


def same_bytes(case: Case) -> None:
    done(case.merge("local.yml", f"{case.store}/merged/local/"), f"into {case.store}/merged/local ({len(SIZES)} tensors")
    case.is_there("merged/local", but=set())
    done(case.merge("remote.yml", f"{case.store}/merged/remote"))
    case.is_there("merged/remote", but=case.inputs)
    done(case.merge("remote.yml", f"{case.store}/merged/remote"), "already holds this merge")
    print(f"{len(case.local)} files into {case.store}, from folders and from the bucket: the same bytes")


def refusals(case: Case) -> None:
    taken = f"output {case.store}/merged/local: is not empty: it holds the result of another merge"
    refused(case.merge("other.yml", f"{case.store}/merged/local"), taken, "choose another folder")
    refused(case.merge("other.yml", f"{case.store}/merged/local", "--dry-run"), taken)
    refused(case.merge("local.yml", f"{case.store}/models/a"), 'is not empty: it holds "config.json"')
    # What consoles make to show a folder, and what is in another one below it, is no checkpoint.
    for key in ("empty/", "empty/below/x"):
        case.server.put(BUCKET, key, b"")
    done(case.merge("local.yml", f"{case.store}/empty", "--dry-run"), "linear")
    expect(sorted(case.server.below(BUCKET, "empty")) == ["", "below/x"], "a dry run writes")
    nowhere = f"{case.server.scheme}://no-such-bucket/"
    refused(case.merge("local.yml", f"{nowhere}out"), nowhere, "there is no such bucket")
    print("places that are taken and buckets that are not there are told")


def wrong_credentials(case: Case) -> None:
    with case.server.stranger(BUCKET) as environment:
        run = case.merge("local.yml", f"{case.store}/out", **environment)
        refused(run, f"{case.store}/", case.server.refusal, case.server.key_name)
    print("wrong credentials are told")


def interrupted(case: Case, recipe: str, out: str, local: dict[str, bytes]) -> None:
    place = f"{case.store}/{out}"
    process = case.braid.start(*case.words(recipe, place), **case.server.environment)
    eventually("a shard that is done", lambda: finished(case, out))
    process.kill()
    process.communicate()
    before = case.server.below(BUCKET, out)
    expect("braid.json" not in before, "it ended before it was killed")
    kept = finished(case, out)
    written = case.server.writes(BUCKET, out)
    refused(case.merge("other.yml", place), "another merge was begun there and has not ended")
    case.server.abort_uploads(BUCKET)
    done(case.merge(recipe, place), "of an interrupted run")
    case.is_there(out, set(), local)
    after = case.server.writes(BUCKET, out)
    twice = [name for name in kept if after[name] != written[name]]
    expect(not twice, f"uploaded again: {twice}")
    print(f"killed with {len(kept)} of {len(SIZES)} shards there, and run again: the same bytes, no finished shard sent twice")


def finished(case: Case, out: str) -> list[str]:
    """The shards that are done."""
    return [name.removesuffix(".json") for name in case.server.below(BUCKET, f".{out}.braid/done")]


def stages(case: Case) -> None:
    local = case.in_folder("stages.yml", "stages")
    done(case.merge("stages.yml", f"{case.store}/stages"), f"by 2 recipes into {case.store}/stages")
    case.is_there("stages", set(), local)
    done(case.merge("stages.yml", f"{case.store}/stages"), "already holds this merge")
    # Until the stage is there, of which the merge that goes on writes nothing again.
    process = case.braid.start(*case.words("stages.yml", f"{case.store}/parted"), **case.server.environment)
    below = lambda: [name for name in case.server.writes(BUCKET, ".parted.stages") if name.endswith("/braid.json")]  # noqa: E731
    eventually("a stage that is there", below)
    process.kill()
    process.communicate()
    expect("braid.json" not in case.server.below(BUCKET, "parted"), "it ended before it was killed")
    case.server.abort_uploads(BUCKET)
    done(case.merge("stages.yml", f"{case.store}/parted"), f"by 2 recipes into {case.store}/parted")
    case.is_there("parted", set(), local)
    print(f"a file of two recipes into {case.store}, at once and interrupted: the same bytes, and no stage left")


def reused(case: Case) -> None:
    local = case.in_folder("other.yml", "other")
    for out in ("s", "local"):
        place = f"{case.store}/reusing" if out == "s" else "reusing"
        earlier = f"{case.store}/merged/local"
        run = case.merge("other.yml", place, "--reuse", earlier)
        done(run, f"taking 0 of {len(SIZES)} tensors (0 B) from {earlier}")
        run = case.merge("local.yml", f"{place}-again", "--reuse", earlier)
        done(run, f"taking {len(SIZES)} of {len(SIZES)} tensors (68.0 MB) from {earlier}")
    case.is_there("reusing", set(), local)
    case.is_there("reusing-again", set())
    refused(case.merge("local.yml", "none", "--reuse", f"{case.store}/models"), "there is nothing to reuse")
    print(f"tensors from a result in {case.store}, into it and into a folder: the same bytes")


def fleet(case: Case) -> None:
    address = f"127.0.0.1:{free_port()}"
    plain = ["--coordinator", address, "--insecure"]
    started = [case.braid.start("coordinator", "--listen", address, "--data-dir", "c", "--insecure")]
    try:
        for name in ("w1", "w2"):
            words = ["worker", "--join", address, "--data-dir", name, "--insecure", "--threads", "1", "--measure", "never"]
            started.append(case.braid.start(*words, **case.server.environment))
        nodes = lambda: case.braid.run("node", "ls", "-o", "name", *plain).stdout.split()  # noqa: E731
        eventually("two workers", lambda: len(nodes()) == 2)
        words = ["merge", "remote.yml", f"{case.store}/fleet/out", "--max-shard-size", SHARD, *plain]
        done(case.braid.run(*words), f"into {case.store}/fleet/out")
        case.is_there("fleet/out", but=case.inputs)
    finally:
        for process in reversed(started):
            process.terminate()
            process.communicate()
    print("the same bytes from a fleet of two workers")
