"""Makes a family of checkpoints to measure merges on: a Llama-shaped base and its fine-tunes, in bf16, sharded.

The weights are random but shaped like real ones: the base is Gaussian (sigma 0.02), a fine-tune moves each tensor by a
heavy-tailed step of its own size (sigma 1e-4 to 1e-3), so that many elements end on the same bf16 number as in the base,
as they do after real fine-tuning. Not a model that anyone would run. Needs numpy.
"""

import argparse
import json
import pathlib
import shutil
import zlib

import numpy

SHARD_BYTES = 200_000_000
TOKENIZER = pathlib.Path(__file__).resolve().parents[2] / "examples" / "experts" / "base"


class Shape:
    """The sizes of a Llama."""

    def __init__(self, hidden, intermediate, layers, heads, kv_heads, vocabulary):
        self.hidden, self.intermediate, self.layers = hidden, intermediate, layers
        self.heads, self.kv_heads, self.vocabulary = heads, kv_heads, vocabulary

    def tensors(self):
        """Name and shape of every tensor, in the order in which they are stored."""
        kv = self.hidden // self.heads * self.kv_heads
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            yield at + "input_layernorm.weight", (self.hidden,)
            yield at + "mlp.down_proj.weight", (self.hidden, self.intermediate)
            yield at + "mlp.gate_proj.weight", (self.intermediate, self.hidden)
            yield at + "mlp.up_proj.weight", (self.intermediate, self.hidden)
            yield at + "post_attention_layernorm.weight", (self.hidden,)
            yield at + "self_attn.k_proj.weight", (kv, self.hidden)
            yield at + "self_attn.o_proj.weight", (self.hidden, self.hidden)
            yield at + "self_attn.q_proj.weight", (self.hidden, self.hidden)
            yield at + "self_attn.v_proj.weight", (kv, self.hidden)
        yield "model.norm.weight", (self.hidden,)
        yield "lm_head.weight", (self.vocabulary, self.hidden)

    def parameters(self):
        return sum(int(numpy.prod(shape)) for _, shape in self.tensors())

    def config(self):
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "torch_dtype": "bfloat16",
        }


QUARTER_BILLION = Shape(hidden=1024, intermediate=2944, layers=16, heads=16, kv_heads=4, vocabulary=32000)


def bf16(values):
    """f32 to the bits of bf16, to nearest even."""
    bits = values.view(numpy.uint32)
    odd = (bits >> numpy.uint32(16)) & numpy.uint32(1)
    return ((bits + numpy.uint32(0x7FFF) + odd) >> numpy.uint32(16)).astype(numpy.uint16)


def stream(model, tensor):
    """The random numbers of one tensor of one model: the same in every run."""
    return numpy.random.default_rng([zlib.crc32(model.encode()), zlib.crc32(tensor.encode())])


def base_values(name, shape):
    if len(shape) == 1:
        return numpy.float32(1) + stream("base", name).standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)
    return stream("base", name).standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)


def values(model, name, shape):
    base = base_values(name, shape)
    if model == "base":
        return base
    random = stream(model, name)
    sigma = numpy.float32(10 ** random.uniform(-4, -3))
    step = random.standard_normal(shape, dtype=numpy.float32)
    # The cube of a Gaussian has the long tail of real task vectors; the mixture keeps the middle filled.
    step = numpy.float32(0.7) * step + numpy.float32(0.2) * step**3
    exact = (bf16(base).astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return exact + sigma * step


def shards(shape, shard_bytes):
    """The tensors split into files of at most `shard_bytes` each, one tensor at least."""
    file, size = [], 0
    for name, dims in shape.tensors():
        length = int(numpy.prod(dims)) * 2
        if file and size + length > shard_bytes:
            yield file
            file, size = [], 0
        file.append((name, dims, length))
        size += length
    yield file


def write_shard(path, model, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims, length in tensors:
        header[name] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, dims, _ in tensors:
            file.write(bf16(values(model, name, dims)).tobytes())


def make_model(folder, model, shape, shard_bytes):
    folder.mkdir(parents=True)
    files = list(shards(shape, shard_bytes))
    index, total = {}, 0
    for number, tensors in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        write_shard(folder / name, model, tensors)
        index.update((tensor, name) for tensor, _, _ in tensors)
        total += sum(length for _, _, length in tensors)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=1)
    )
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)


def make(folder, shape=QUARTER_BILLION, experts=3, shard_bytes=SHARD_BYTES):
    """Makes `folder`/base and `folder`/ft0 … unless an earlier run did, and returns their paths."""
    folder = pathlib.Path(folder)
    models = ["base"] + [f"ft{number}" for number in range(experts)]
    for model in models:
        if not (folder / model).exists():
            unfinished = folder / f".{model}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            make_model(unfinished, model, shape, shard_bytes)
            unfinished.rename(folder / model)
    return [folder / model for model in models]


def main():
    # A process of its own makes the family: what it held would count as the peak of every process started after it.
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=QUARTER_BILLION.layers)
    parser.add_argument("--experts", type=int, default=3)
    parser.add_argument("--shard-bytes", type=int, default=SHARD_BYTES)
    arguments = parser.parse_args()
    QUARTER_BILLION.layers = arguments.layers
    for path in make(arguments.folder, QUARTER_BILLION, arguments.experts, arguments.shard_bytes):
        print(path)


if __name__ == "__main__":
    main()
