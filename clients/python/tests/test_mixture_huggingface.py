"""The callback, driven as transformers' Trainer drives it: by the names of its calls, in their order."""

import json
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from steered import Law, Steered

from braid.mixture import Mixture, StateError
from braid.mixture.huggingface import MixtureCallback, last_checkpoint, last_state


def train(callback, model, args, start, stop=None):
    """A Trainer's loop, as far as callbacks see it."""
    state, control = SimpleNamespace(global_step=start, is_world_process_zero=True), SimpleNamespace()
    callback.on_train_begin(args, state, control, model=model)
    while state.global_step < args.max_steps and state.global_step != stop:
        callback.on_step_begin(args, state, control)
        losses, tokens = model.train(callback.mixture.batch(state.global_step))
        for name, loss in losses.items():
            callback.saw([name], [loss], [tokens[name]])
        state.global_step += 1
        callback.on_step_end(args, state, control)
        if state.global_step % args.save_steps == 0:
            Path(args.output_dir, f"checkpoint-{state.global_step}").mkdir()
            callback.on_save(args, state, control)
    callback.on_train_end(args, state, control)


class Callback(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.args = SimpleNamespace(output_dir=folder.name, max_steps=20, save_steps=3)

    def test_it_goes_on_from_the_trainers_checkpoint(self):
        with Steered() as whole, Mixture(address=whole.address, evaluate=Law().losses) as mixture:
            train(MixtureCallback(mixture), Law(), SimpleNamespace(**{**vars(self.args), "save_steps": 99}), 0)
        self.assertIsNone(last_state(self.args.output_dir))
        model = Law()
        with Steered() as steered:
            with Mixture(address=steered.address, evaluate=model.losses) as mixture:
                train(MixtureCallback(mixture), model, self.args, 0, stop=12)
            state = last_state(self.args.output_dir)
            self.assertEqual(state["step"], 12)
            with Mixture(address=steered.address, evaluate=model.losses, state=state) as mixture:
                train(MixtureCallback(mixture), model, self.args, 12)
        self.assertEqual(steered.reports, whole.reports)
        self.assertEqual(steered.test, model.losses())

    def test_a_trainer_that_goes_on_from_elsewhere_is_refused(self):
        with Steered() as steered, Mixture(address=steered.address, evaluate=Law().losses) as mixture:
            callback = MixtureCallback(mixture)
            with self.assertRaisesRegex(StateError, "the Trainer goes on from step 6, and the mixture from step 0"):
                train(callback, Law(), self.args, 6)
            with self.assertRaisesRegex(StateError, "the Trainer has 30 steps, and the mixture 20"):
                train(callback, Law(), SimpleNamespace(**{**vars(self.args), "max_steps": 30}), 0)

    def test_a_checkpoint_that_was_cut_short_is_none(self):
        folder = Path(self.args.output_dir)
        for step in (3, 9, 12):
            (folder / f"checkpoint-{step}").mkdir()
        self.assertIsNone(last_checkpoint(folder))
        self.assertIsNone(last_state(folder))
        # The Trainer was killed while it saved step 12.
        for step in (3, 9):
            (folder / f"checkpoint-{step}/braid_mixture.json").write_text(json.dumps({"step": step}))
        self.assertEqual(last_checkpoint(folder), str(folder / "checkpoint-9"))
        self.assertEqual(last_state(folder), {"step": 9})
        (folder / "checkpoint-9/braid_mixture.json").write_text("{")
        with self.assertRaisesRegex(StateError, "checkpoint-9/braid_mixture.json: "):
            last_state(folder)


if __name__ == "__main__":
    unittest.main()
