#!/usr/bin/env python3
"""A Trainer of Hugging Face's transformers that Braid steers: `braid mix examples/hf_trainer.yml mixed/`.

Needs torch, transformers and accelerate beside the client. The model is a small Llama over bytes. Killed at any moment and started
again, it goes on from the Trainer's last whole checkpoint, on the proportions that it would have had.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from braid.mixture import BatchSampler, Mixture, folder
from braid.mixture.huggingface import MixtureCallback, last_checkpoint, last_state

HELD_OUT = 16


def sequences(paths: Tuple[str, ...], context: int) -> List[bytes]:
    """All files of a domain, cut into sequences: their order is decided by their content alone."""
    files = sorted(file for path in paths for file in Path(path).rglob("*") if file.suffix in (".md", ".rs"))
    text = b"\0".join(file.read_bytes() for file in files)
    return [text[start : start + context + 1] for start in range(0, len(text) - context, context)]


def losses_of(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Mean loss of each sequence, in nats a token."""
    logits = model(input_ids=tokens[:, :-1]).logits
    return cross_entropy(logits.float().transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)


class MixedTrainer(Trainer):
    """Takes its batches from a sampler of Braid's, and tells the callback what each sequence came to."""

    def __init__(self, sampler: BatchSampler, told: MixtureCallback, **options: Any) -> None:
        super().__init__(callbacks=[told, *options.pop("callbacks", ())], **options)
        self._sampler, self._told = sampler, told

    def get_train_dataloader(self) -> DataLoader[Any]:
        # An epoch of this loader is a leg. It is divided among ranks already: accelerate need not.
        return DataLoader(self.train_dataset, batch_sampler=self._sampler, collate_fn=self.data_collator)

    def compute_loss(self, model: Any, inputs: Dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        losses = losses_of(model, inputs["tokens"])
        count = inputs["tokens"].shape[1] - 1
        self._told.saw(inputs["domains"], losses.tolist(), [count] * len(losses))
        return losses.mean()


def collate(rows: Sequence[Tuple[str, bytes]]) -> Dict[str, Any]:
    return {"domains": [name for name, _ in rows], "tokens": torch.tensor([list(text) for _, text in rows])}


def main(callbacks: Sequence[Any] = ()) -> None:
    torch.set_num_threads(1)  # so that sums are the same in every life
    held_out: Dict[str, torch.Tensor] = {}

    def evaluate() -> Dict[str, float]:
        model = trainer.model.eval()
        with torch.no_grad():
            found = {name: losses_of(model, tokens.to(model.device)).mean().item() for name, tokens in held_out.items()}
        model.train()
        return found

    with Mixture(evaluate=evaluate, state=last_state(folder())) as mixture:
        every: List[Tuple[str, bytes]] = []
        sizes: Dict[str, int] = {}
        for domain in mixture.domains:
            data = sequences(domain.paths, mixture.context)
            random.Random(domain.name).shuffle(data)
            held_out[domain.name] = torch.tensor([list(text) for text in data[:HELD_OUT]])
            every += [(domain.name, text) for text in data[HELD_OUT:]]
            sizes[domain.name] = len(data) - HELD_OUT
        torch.manual_seed(mixture.seed)
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=256, max_position_embeddings=mixture.context, **shape))
        args = TrainingArguments(
            output_dir=folder(),
            max_steps=mixture.steps,
            per_device_train_batch_size=mixture.slots,
            learning_rate=1e-2,
            seed=mixture.seed,
            save_steps=mixture.checkpoint_every,
            save_total_limit=2,
            ignore_data_skip=True,  # the sampler goes on by itself
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
        )
        sampler = BatchSampler(mixture, sizes)
        trainer = MixedTrainer(
            sampler, MixtureCallback(mixture), model=model, args=args, train_dataset=every, data_collator=collate, callbacks=callbacks
        )
        trainer.train(resume_from_checkpoint=last_checkpoint(folder()))


if __name__ == "__main__":
    main()
