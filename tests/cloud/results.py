"""Results in a bucket are those in folders, whatever interrupts the merge."""

import json
import pathlib
import random
import struct
import subprocess
import sys

from server import Braid, Server, done, eventually, free_port, refused

BUCKET = "results"
# Elements of the tensors, each in a shard of its own. The first is larger than a part of an object.
SIZES = [10_000_001] + [2_000_000] * 12
SHARD = "4MB"
RECIPE = """merge_method: linear
models:
- {model: MODELSa, parameters: {weight: 3}}
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

    def __init__(self, program: str, server: Server, place: pathlib.Path):
        self.braid, self.server, self.place = Braid(program, place), server, place
        server.client.create_bucket(Bucket=BUCKET)
        versioning = {"Status": "Enabled"}
        server.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioning)
        for seed, name in enumerate("ab"):
            write_model(place / name, seed)
            for path in (place / name).iterdir():
                server.client.upload_file(str(path), BUCKET, f"models/{name}/{path.name}")
        (place / "local.yml").write_text(RECIPE.replace("MODELS", ""))
        (place / "remote.yml").write_text(RECIPE.replace("MODELS", f"s3://{BUCKET}/models/"))
        (place / "other.yml").write_text(RECIPE.replace("MODELS", "").replace("3}", "2}"))
        done(self.merge("local.yml", "local"))
        self.local = {path.name: path.read_bytes() for path in (place / "local").iterdir()}
        self.inputs = {"README.md", "braid.json", "braid-inputs.json"}

    def words(self, recipe: str, out: str) -> list[str]:
        return ["merge", recipe, out, "--threads", "2", "--max-shard-size", SHARD]

    def merge(self, recipe: str, out: str, *more: str, **other: str) -> subprocess.CompletedProcess:
        return self.braid.run(*self.words(recipe, out), *more, **(self.server.environment | other))

    def is_there(self, out: str, but: set[str]) -> None:
        """Requires that the result is the one in the folder, but for these files, and that nothing else is left."""
        found = self.server.below(BUCKET, out)
        expect(found.keys() == self.local.keys(), f"{out} has {sorted(found)}, not {sorted(self.local)}")
        wrong = [name for name in found if name not in but and found[name] != self.local[name]]
        expect(not wrong, f"{out}: other bytes in {wrong}")
        parent, _, name = out.rpartition("/")
        staging = "/".join(filter(None, [parent, f".{name}.braid"]))
        expect(not self.server.below(BUCKET, staging), f"{staging} is left")
        uploads = self.server.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        expect(not uploads, f"uploads are left: {uploads}")


def check(program: str, server: Server, place: pathlib.Path) -> None:
    case = Case(program, server, place)
    same_bytes(case)
    refusals(case)
    wrong_credentials(case)
    interrupted(case)
    fleet(case)


def same_bytes(case: Case) -> None:
    done(case.merge("local.yml", f"s3://{BUCKET}/merged/local/"), f"into s3://{BUCKET}/merged/local ({len(SIZES)} tensors")
    case.is_there("merged/local", but=set())
    done(case.merge("remote.yml", f"s3://{BUCKET}/merged/remote"))
    case.is_there("merged/remote", but=case.inputs)
    done(case.merge("remote.yml", f"s3://{BUCKET}/merged/remote"), "already holds this merge")
    print(f"{len(case.local)} files into s3://{BUCKET}, from folders and from the bucket: the same bytes")


def refusals(case: Case) -> None:
    taken = f"output s3://{BUCKET}/merged/local: is not empty: it holds the result of another merge"
    refused(case.merge("other.yml", f"s3://{BUCKET}/merged/local"), taken, "choose another folder")
    refused(case.merge("other.yml", f"s3://{BUCKET}/merged/local", "--dry-run"), taken)
    refused(case.merge("local.yml", f"s3://{BUCKET}/models/a"), 'is not empty: it holds "config.json"')
    # What consoles make to show a folder, and what is in another one below it, is no checkpoint.
    for key in ("empty/", "empty/below/x"):
        case.server.client.put_object(Bucket=BUCKET, Key=key, Body=b"")
    done(case.merge("local.yml", f"s3://{BUCKET}/empty", "--dry-run"), "linear")
    expect(sorted(case.server.below(BUCKET, "empty")) == ["", "below/x"], "a dry run writes")
    refused(case.merge("local.yml", "s3://no-such-bucket/out"), "s3://no-such-bucket/", "there is no such bucket")
    print("places that are taken and buckets that are not there are told")


def wrong_credentials(case: Case) -> None:
    # The first request makes the bucket; from then on keys are looked at.
    locked = Server(INITIAL_NO_AUTH_ACTION_COUNT="1")
    try:
        locked.client.create_bucket(Bucket=BUCKET)
        run = case.merge("local.yml", f"s3://{BUCKET}/out", **locked.environment)
        refused(run, f"s3://{BUCKET}/", "access is refused, with status 403", "AWS_ACCESS_KEY_ID")
    finally:
        locked.stop()
    print("wrong credentials are told")


def versions(case: Case, folder: str) -> dict[str, int]:
    """How often each object below a folder was written."""
    counts: dict[str, int] = {}
    for entry in case.server.client.list_object_versions(Bucket=BUCKET, Prefix=f"{folder}/").get("Versions", []):
        name = entry["Key"].removeprefix(f"{folder}/")
        counts[name] = counts.get(name, 0) + 1
    return counts


def interrupted(case: Case) -> None:
    out, state = "killed", ".killed.braid/done"
    process = case.braid.start(*case.words("local.yml", f"s3://{BUCKET}/{out}"), **case.server.environment)
    eventually("a shard that is done", lambda: case.server.below(BUCKET, state))
    process.kill()
    process.communicate()
    before = case.server.below(BUCKET, out)
    expect("braid.json" not in before, "it ended before it was killed")
    finished = [name.removesuffix(".json") for name in case.server.below(BUCKET, state)]
    refused(case.merge("other.yml", f"s3://{BUCKET}/{out}"), "another merge was begun there and has not ended")
    # What a killed process leaves of an upload, the store's own rules remove.
    for upload in case.server.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        case.server.client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    done(case.merge("local.yml", f"s3://{BUCKET}/{out}"), "of an interrupted run")
    case.is_there(out, but=set())
    written = versions(case, out)
    twice = [name for name in finished if written[name] != 1]
    expect(not twice, f"uploaded again: {twice}")
    print(f"killed with {len(finished)} of {len(SIZES)} shards there, and run again: the same bytes, no finished shard sent twice")


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
        words = ["merge", "remote.yml", f"s3://{BUCKET}/fleet/out", "--max-shard-size", SHARD, *plain]
        done(case.braid.run(*words), f"into s3://{BUCKET}/fleet/out")
        case.is_there("fleet/out", but=case.inputs)
    finally:
        for process in reversed(started):
            process.terminate()
            process.communicate()
    print("the same bytes from a fleet of two workers")
