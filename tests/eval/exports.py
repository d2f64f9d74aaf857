#!/usr/bin/env python3
"""Exported mixtures in the hands of those who are to read them.

    exports.py --braid target/release/braid

Hugging Face `datasets` runs the exported lines, and what it draws is counted. So does MosaicML Streaming on shards that its own writer
has made, with stand-ins for the few names of torch and transformers that it imports. OLMo-core and Megatron-LM are fetched from
PyPI without what they depend on, and not run: the exported keys must be there in the declarations of the configurations, and the
one function that takes Megatron-LM's list of weights and prefixes apart must take ours.
"""

import argparse
import ast
import collections
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import zipfile

import datasets
import yaml

SHARES = {"web": 0.6, "code": 0.25, "prose": 0.15}
DRAWN = 20_000
DOCUMENT = """
version: 1
domains:
{domains}
schedule:
  - {{start_tokens: 0, weights: {weights}}}
caps: {{max_epochs: {epochs}}}
batch: {batch}
tokens: 1000000
seed: 11
"""


def export(braid, folder, trainer, form, batch="exact", epochs=4):
    """What Braid writes for a trainer; files of domains are NAME.FORM."""
    domains = "\n".join(f"  - {{name: {name}, uri: {name}.{form}, format: {form}}}" for name in SHARES)
    text = DOCUMENT.format(domains=domains, weights=json.dumps(SHARES), batch=batch, epochs=epochs)
    (folder / "mixture.yml").write_text(text)
    run = [braid, "mix", "export", "mixture.yml", "--to", trainer, "--sequence", "2048", "--batch", "16"]
    return subprocess.run(run, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(what, holds, said=""):
    print(f"{'ok' if holds else 'WRONG':5}  {what}{said and ': '}{said}", flush=True)
    return holds


def hugging_face(braid, folder, form):
    """Draws from what the exported lines make, and compares with the shares."""
    for name in SHARES:
        rows = [{"text": f"{name} {row}", "domain": name} for row in range(3000)]
        if form == "parquet":
            datasets.Dataset.from_list(rows).to_parquet(folder / f"{name}.parquet")
        else:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scope = {}
    exec(compile(export(braid, folder, "hugging-face", form, batch="multinomial"), "exported", "exec"), scope)
    drawn = collections.Counter(row["domain"] for row in itertools.islice(scope["mixture"], DRAWN))
    total = sum(drawn.values())
    # Five standard errors of a draw.
    off = {name: (drawn[name] / total - share) / math.sqrt(share * (1 - share) / total) for name, share in SHARES.items()}
    shown = ", ".join(f"{name} {drawn[name] / total:.4f} for {share}" for name, share in SHARES.items())
    return check(f"Hugging Face datasets draws {form} as asked, {total} times", total > 3000 and max(map(abs, off.values())) < 5, shown)


def stand_in(name, **names):
    """A module in place of one that is not installed."""
    module = types.ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module


def streaming(braid, folder):
    """Reads an epoch of the exported streams, and compares every batch with the shares."""
    nothing = type("Nothing", (), {"__class_getitem__": classmethod(lambda cls, _: cls)})
    absent = {"is_available": lambda: False, "is_initialized": lambda: False}
    stand_in("torch", Tensor=nothing, cuda=types.SimpleNamespace(is_available=lambda: False))
    stand_in("torch.distributed", **absent)
    stand_in("torch.utils")
    stand_in("torch.utils.data", Dataset=nothing, IterableDataset=nothing, DataLoader=nothing, get_worker_info=lambda: None)
    sys.modules["torch"].distributed = sys.modules["torch.distributed"]
    sys.modules["torch"].utils = sys.modules["torch.utils"]
    stand_in("transformers")
    stand_in("transformers.feature_extraction_utils", BatchFeature=nothing)
    stand_in("transformers.tokenization_utils_base", BatchEncoding=nothing)
    for part in ("text", "multimodal", "vision"):  # data sets of known corpora
        stand_in(f"streaming.{part}")
    from streaming.base import MDSWriter, Stream, StreamingDataset

    for name in SHARES:
        with MDSWriter(out=str(folder / f"{name}.mds"), columns={"domain": "str"}) as writer:
            for _ in range(2000):
                writer.write({"domain": name})
    config = json.loads(export(braid, folder, "streaming", "mds"))
    streams = [Stream(**stream, local=str(folder / "local" / stream["remote"])) for stream in config.pop("streams")]
    batch = 20
    drawn = [row["domain"] for row in StreamingDataset(streams=streams, batch_size=batch, **config)]
    whole = [collections.Counter(drawn[at : at + batch]) for at in range(0, len(drawn) - batch + 1, batch)]
    off = max(abs(counts[name] - share * batch) for counts in whole for name, share in SHARES.items())
    return check(f"MosaicML Streaming composes {len(whole)} batches of {batch} as asked", len(whole) > 100 and off < 1e-9, f"off by {off:.2g} at most")


def package(folder, name):
    """The wheel of a package on PyPI, without what it depends on."""
    target = folder / name
    run = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", target, name]
    subprocess.run(run, check=True)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def declared(text):
    """The fields of each class of a module."""
    fields = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            fields[node.name] = {item.target.id: item.value is None for item in node.body if isinstance(item, ast.AnnAssign)}
    return fields


def fits(what, found, fields):
    """That a mapping has no key that a class lacks, and every one that it needs."""
    unknown = sorted(set(found) - set(fields))
    missing = sorted(name for name, needed in fields.items() if needed and name not in found)
    return check(what, not unknown and not missing, f"unknown {unknown}, missing {missing}" if unknown or missing else "")


def olmo_core(braid, folder):
    wheel = package(folder, "ai2-olmo-core")
    classes = declared(wheel.read("olmo_core/data/source_mixture.py").decode())
    version = pathlib.Path(wheel.filename).name.split("-")[1]
    held = True
    for epochs in (4, 0.5):
        config = yaml.safe_load(export(braid, folder, "olmo-core", "npy", epochs=epochs))
        held &= fits(f"OLMo-core {version}, SourceMixtureDatasetConfig", config, classes["SourceMixtureDatasetConfig"])
        held &= fits("  its source_list", config["source_list"], classes["SourceMixtureList"])
        for source in config["source_list"]["sources"]:
            held &= fits(f"  its source {source['source_name']}", source, classes["SourceMixtureConfig"])
        ratios = sum(source["target_ratio"] for source in config["source_list"]["sources"])
        repeats = [source.get("max_repetition_ratio", 1) for source in config["source_list"]["sources"]]
        held &= check("  ratios sum to 1, and nothing is repeated less than once", abs(ratios - 1) < 1e-8 and min(repeats) >= 1)
    return held


def megatron(braid, folder):
    wheel = package(folder, "megatron-core")
    arguments = export(braid, folder, "megatron", "bin").split()
    version = pathlib.Path(wheel.filename).name.split("-")[1]
    # The function that makes a blend of the list, and nothing else of the package.
    module = ast.parse(wheel.read("megatron/core/datasets/utils.py").decode())
    function = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "get_blend_from_list")
    scope = {}
    code = ast.Module(body=[ast.parse("from typing import *").body[0], function], type_ignores=[])
    exec(compile(code, "megatron", "exec"), scope)
    end = arguments.index("--seq-length")
    prefixes, weights = scope["get_blend_from_list"](arguments[1:end])
    shares = dict(zip(prefixes, weights))
    held = check(f"Megatron-LM {version} makes a blend of --data-path", arguments[0] == "--data-path" and shares == SHARES, str(shares))
    pairs = dict(zip(arguments[end::2], arguments[end + 1 :: 2]))
    return held & check("  its other arguments", set(pairs) == {"--seq-length", "--global-batch-size", "--seed", "--train-samples"}, str(pairs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--braid", required=True, type=pathlib.Path)
    args = parser.parse_args()
    braid = args.braid.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.chdir(folder)  # paths in what is exported begin there
        held = [hugging_face(braid, folder, form) for form in ("jsonl", "parquet")]
        held += [streaming(braid, folder), olmo_core(braid, folder), megatron(braid, folder)]
    if not all(held):
        raise SystemExit("an exported mixture is not what its reader takes")


if __name__ == "__main__":
    main()
