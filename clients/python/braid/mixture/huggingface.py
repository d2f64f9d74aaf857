"""A callback for the Trainer of Hugging Face's transformers, which this package does not need otherwise.

    mixture = Mixture(evaluate=losses_by_domain, state=last_state(output_dir))
    callback = MixtureCallback(mixture)
    args = TrainingArguments(output_dir, max_steps=mixture.steps, ignore_data_skip=True, ...)
    trainer = OwnTrainer(..., args=args, callbacks=[callback])
    trainer.train(resume_from_checkpoint=last_checkpoint(output_dir))

The trainer's own ``compute_loss`` hands what it sees of each sequence to ``callback.saw``, and its ``get_train_dataloader`` takes a
``BatchSampler``; examples/hf_trainer.py is a whole one. The state is what a checkpoint gets last: one without it was cut short.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Union

from braid.mixture.errors import StateError
from braid.mixture.loop import Mixture

if TYPE_CHECKING:
    Base = object
else:
    try:
        from transformers import TrainerCallback as Base
    except ImportError:  # transformers calls by name, and takes whatever has the names
        Base = object

_FILE = "braid_mixture.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
Folder = Union[str, "os.PathLike[str]"]


def last_checkpoint(output_dir: Folder) -> Optional[str]:
    """The newest whole checkpoint of a Trainer; None where there is none. ``resume_from_checkpoint=True`` would take one that was cut
    short, too."""
    folder = Path(output_dir)
    entries = folder.iterdir() if folder.is_dir() else ()
    found = [(int(match[1]), entry) for entry in entries if (match := _CHECKPOINT.fullmatch(entry.name)) and (entry / _FILE).exists()]
    return str(max(found)[1]) if found else None


def last_state(output_dir: Folder) -> Optional[Dict[str, Any]]:
    """What the newest whole checkpoint of a Trainer holds of the mixture; None where there is no such checkpoint."""
    checkpoint = last_checkpoint(output_dir)
    if checkpoint is None:
        return None
    path = Path(checkpoint, _FILE)
    try:
        state: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"{path}: {error}", "remove this checkpoint, or begin anew") from None
    return state


class MixtureCallback(Base):
    """Tells what each step saw, and keeps the state in the Trainer's checkpoints."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        self.mixture = mixture
        self._tokens: Dict[str, int] = {}
        self._nats: Dict[str, float] = {}

    def saw(self, domains: Sequence[str], losses: Sequence[float], tokens: Sequence[int]) -> None:
        """Sequences of a step: the domain of each, its mean loss in nats a token, and its tokens. Called as often as there are batches."""
        for name, loss, count in zip(domains, losses, tokens):
            self._tokens[name] = self._tokens.get(name, 0) + int(count)
            self._nats[name] = self._nats.get(name, 0.0) + float(loss) * int(count)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step != self.mixture.done:
            raise StateError(
                f"the Trainer goes on from step {state.global_step}, and the mixture from step {self.mixture.done}",
                "give Mixture the state of the same checkpoint: last_state(args.output_dir)",
            )
        if args.max_steps != self.mixture.steps:
            raise StateError(f"the Trainer has {args.max_steps} steps, and the mixture {self.mixture.steps}", "max_steps=mixture.steps")

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tokens, self._nats = {}, {}
        self.mixture.weights(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        means: Mapping[str, float] = {name: nats / self._tokens[name] for name, nats in self._nats.items() if self._tokens[name]}
        self.mixture.report(state.global_step, means, self._tokens)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if not getattr(state, "is_world_process_zero", True):
            return
        fresh = folder / f".{_FILE}"
        fresh.write_text(json.dumps(self.mixture.state()), encoding="utf-8")
        fresh.replace(folder / _FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.mixture.done == self.mixture.steps:
            self.mixture.finish()
