"""The callback in a Trainer of transformers, which trains: the example, undisturbed and killed. Needs the extra `transformers`."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

from coordinator import binary

EXAMPLES = Path(__file__).resolve().parent.parent.parent.parent / "examples"

SPEC = """
domains: { docs: %(root)s/docs, code: %(root)s/kernels/src/attention }
batch: 8
context: 64
steps: 40
trainer:
  external: { command: [%(python)s, %(program)s], patience: 10m, retries: 3 }
methods:
  - { method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5 }
seeds: [3]
checkpoint_every: 5
"""

# The example, in a process that its first life ends like one that is killed: within a leg, steps after its last checkpoint, and with
# a later one begun.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, %(examples)r)
import hf_trainer
from braid.mixture import folder
from transformers import TrainerCallback

class Killer(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        mark = Path(folder(), "killed")
        if state.global_step == 28 and not mark.exists():
            mark.touch()
            Path(folder(), "checkpoint-28").mkdir()
            os.kill(os.getpid(), signal.SIGKILL)

hf_trainer.main([Killer()])
"""


@unittest.skipUnless(find_spec("torch") and find_spec("transformers"), "needs the extra braid-client[transformers]")
class Transformers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def mix(self, out, program):
        spec = self.folder / f"{out}.yml"
        spec.write_text(SPEC % {"root": EXAMPLES.parent, "python": sys.executable, "program": program})
        command = [binary(), "mix", str(spec), str(self.folder / out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=dict(os.environ), cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return self.folder / out

    def test_a_trainer_follows_the_weights_and_goes_on_when_it_was_killed(self):
        whole = self.mix("whole", EXAMPLES / "hf_trainer.py")
        run = whole / "runs/aioli/seed-3/main"
        result = json.loads((run / "result.json").read_text())
        self.assertEqual(sum(result["tokens"]), 40 * 8 * 64)
        self.assertLess(max(result["test"]), 4.5, "5.5 nats is what knows nothing")
        with (whole / "proportions.csv").open() as table:
            shares = [(row["docs"], row["code"]) for row in csv.DictReader(table)]
        self.assertGreaterEqual(len(set(shares)), 4, f"two trials and two decisions: {shares}")
        program = self.folder / "killed.py"
        program.write_text(KILLED % {"examples": str(EXAMPLES)})
        killed = self.mix("killed", program)
        self.assertTrue((killed / "runs/aioli/seed-3/main/trainer/killed").exists())
        for figures in ("runs/aioli/seed-3/main/history.jsonl", "proportions.csv", "runs/aioli/seed-3/main/result.json"):
            self.assertEqual((killed / figures).read_text(), (whole / figures).read_text(), figures)


if __name__ == "__main__":
    unittest.main()
