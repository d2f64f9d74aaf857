#!/usr/bin/env python3
"""Composes mixtures of tiny dense models of every kind that a layout takes, and loads them where their users would.

For each: transformers (DeepSeek's, whose code is on the hub alone: a plain form of what that code computes) finds every tensor that it looks
for and none that it does not know, and computes finite logits; and where all experts are one dense model and what is added to them
is nothing, the logits are that model's. Exits with 1 where one of these does not hold.

Run it from the interpreter of a venv that holds torch and transformers; `./x eval` makes one.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENS = torch.tensor([[1, 5, 7, 11, 13, 2, 90, 44, 3, 17, 60, 61]])
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# The dense types that each layout takes, and whether it has a shared expert.
LAYOUTS = [
    ("mixtral", ["llama", "mistral"], False),
    ("deepseek", ["llama", "mistral"], False),
    ("deepseek", ["llama", "mistral"], True),
    ("qwen moe", ["llama", "mistral", "qwen2"], True),
    ("qwen3 moe", ["qwen3"], False),
]
# A tied output layer is left out of a checkpoint; the others are in configs alone.
VARIANTS = [
    {},
    {"tie_word_embeddings": True},
    {"head_dim": 16},
    {"rms_norm_eps": 1e-2, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
]


def dense(kind: str, variant: dict, folder: pathlib.Path, seed: int) -> None:
    """A model of random weights in which no tensor is what it is by default, norms and biases among them."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, **SIZES, **variant)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
    model.save_pretrained(folder)


def compose(braid: str, architecture: str, experts: list[pathlib.Path], shared: dict | None, out: pathlib.Path, scale: float = 1.0) -> None:
    recipe = {
        "base_model": str(experts[0]),
        "architecture": architecture,
        "gate_mode": "random",
        "experts_per_token": 2,
        "experts": [{"source_model": str(expert), "positive_prompts": [], "residual_scale": scale} for expert in experts],
    }
    if shared:
        recipe["shared_experts"] = [shared]
    file = out.with_suffix(".yml")
    file.write_text(json.dumps(recipe))
    done = subprocess.run([braid, "merge", file, out, "--quiet"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{architecture}: exit code {done.returncode}\n{done.stderr.strip()}")


class DeepSeekMlp(nn.Module):
    """What DeepSeek's first mixture has in the place of an MLP: gated experts, and one that every token goes through."""

    def __init__(self, dense_config, config: dict):
        super().__init__()
        expert = type(dense_config)(**dense_config.to_dict() | {"intermediate_size": config["moe_intermediate_size"]})
        mlp = lambda: MLP[dense_config.model_type](expert)  # noqa: E731
        self.gate = nn.Linear(config["hidden_size"], config["n_routed_experts"], bias=False)
        self.experts = nn.ModuleList(mlp() for _ in range(config["n_routed_experts"]))
        if config["n_shared_experts"] is not None:
            assert config["n_shared_experts"] == 1
            self.shared_experts = mlp()
        assert config["scoring_func"] == "softmax" and config["norm_topk_prob"]
        self.per_token = config["num_experts_per_tok"]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        scores, chosen = self.gate(states).softmax(-1).topk(self.per_token, dim=-1)
        scores = scores / scores.sum(-1, keepdim=True)
        every = torch.stack([expert(states) for expert in self.experts], -2)
        picked = every.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, states.shape[-1]))
        routed = (scores.unsqueeze(-1) * picked).sum(-2)
        return routed + self.shared_experts(states) if hasattr(self, "shared_experts") else routed


MLP = {
    "llama": transformers.models.llama.modeling_llama.LlamaMLP,
    "mistral": transformers.models.mistral.modeling_mistral.MistralMLP,
}


def load_deepseek(folder: pathlib.Path, kind: str) -> nn.Module:
    """The dense model with mixtures for MLPs; every tensor must be there and have a place."""
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "deepseek" and config["first_k_dense_replace"] == 0 and config["moe_layer_freq"] == 1
    # Its code reads these, and no more of what is said of a dense model; the base of positions by its older name alone.
    own = {key: config[key] for key in [*SIZES, "rms_norm_eps", "tie_word_embeddings", "rope_theta"] if key in config}
    window = {"sliding_window": None} if kind == "mistral" else {}
    dense_config = transformers.AutoConfig.for_model(kind, **own, **window)
    model = transformers.AutoModelForCausalLM.from_config(dense_config, dtype=torch.float32)
    for layer in model.model.layers:
        layer.mlp = DeepSeekMlp(model.config, config)
    tensors = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    found = model.load_state_dict(tensors, strict=False)
    tied = {"lm_head.weight"} if config.get("tie_word_embeddings") else set()
    expect(not found.unexpected_keys and set(found.missing_keys) <= tied, f"{folder.name}: {found}")
    model.tie_weights()
    return model


def load(folder: pathlib.Path, architecture: str, kind: str) -> nn.Module:
    if architecture == "deepseek":
        return load_deepseek(folder, kind)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        expect(not info.get(problem), f"{folder.name}: {problem}: {info.get(problem)}")
    return model


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def expect(condition: bool, problem: str) -> None:
    if not condition:
        sys.exit(problem)


def check(braid: str, architecture: str, kind: str, shared: bool, variant: dict, place: pathlib.Path) -> float:
    """How far the logits of copies of one model are from that model's."""
    models = [place / f"dense-{index}" for index in range(4)]
    for seed, folder in enumerate(models):
        dense(kind, variant, folder, seed)
    common = {"source_model": str(models[0]), "positive_prompts": []} if shared else None
    compose(braid, architecture, models, common, place / "mixed")
    found = logits(load(place / "mixed", architecture, kind))
    expect(bool(found.isfinite().all()), f"{architecture} of {kind}: logits that are not finite")
    own = logits(transformers.AutoModelForCausalLM.from_pretrained(models[0], dtype=torch.float32))
    expect(not torch.allclose(found, own, atol=1e-2), f"{architecture} of {kind}: the other experts add nothing")
    # A gate of its own weighs Qwen's shared expert, which therefore is to add nothing; DeepSeek's is half of the sum.
    scale = 0.5 if shared and architecture == "deepseek" else 1.0
    if common:
        common["residual_scale"] = 0.5 if architecture == "deepseek" else 0.0
    compose(braid, architecture, [models[0]] * 4, common, place / "copies", scale)
    copies = logits(load(place / "copies", architecture, kind))
    difference = float((copies - own).abs().max() / own.abs().max())
    expect(difference < 1e-5, f"{architecture} of {kind} {variant}: copies of one model differ from it by {difference:.1e}")
    return difference


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--braid", default=str(ROOT / "target/release/braid"))
    braid = str(pathlib.Path(arguments.parse_args().braid).resolve())
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for architecture, kinds, shared in LAYOUTS:
        for kind in kinds:
            # DeepSeek's code knows no other heads, and a mixture of models that have some is refused.
            for variant in (variant for variant in VARIANTS if architecture != "deepseek" or "head_dim" not in variant):
                with tempfile.TemporaryDirectory() as folder:
                    difference = check(braid, architecture, kind, shared, variant, pathlib.Path(folder))
                of = f"{architecture}{' with a shared expert' if shared else ''} of {kind}"
                print(f"{of} {variant or ''}: loads whole, finite logits; copies of one model are it to {difference:.0e}", flush=True)


if __name__ == "__main__":
    main()
