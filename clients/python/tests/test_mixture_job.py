"""Trainers that `braid mix` starts and steers, as processes over the real client."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from coordinator import binary

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE / "../../../examples"

JOB = """
domains: { web: { tokens: 9000 }, code: { tokens: 3000 } }
batch: 8
steps: 40
trainer:
  external:
    command: [%s, %s]
    patience: 60s
    retries: 20
    offers: [branches, gradients]
    env: { %s }
%s
"""

SPEC = (
    JOB
    + """
methods:
  - { method: fixed, proportions: [0.7, 0.3] }
  - { method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5 }
  - { method: aioli, name: forked, round: 20, sweeps: 1, interval: 3, rate: 0.5, probing: forked }
  - { method: pike, every: 5, norm_rate: 1 }
seeds: [3]
"""
)

SWARM = JOB + "methods: [{ method: swarm, runs: 4, steps: 10, law: { kind: linear, repetitions: 99 } }]\nseeds: [3]\n"


class Job(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def mix(self, spec, out):
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        command = [binary(), "mix", str(spec), str(self.folder / out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def law(self, out, env="PACE: 0", more="", spec=SPEC):
        text, spec = spec, self.folder / f"{out}.yml"
        spec.write_text(text % (sys.executable, HERE / "law_trainer.py", env, more))
        self.mix(spec, out)
        return self.folder / out / "runs"

    def figures(self, runs):
        names = ("history.jsonl", "result.json")
        return {str(path.relative_to(runs)): path.read_text() for name in names for path in sorted(runs.rglob(name))}

    def trajectories(self, runs, rank=0):
        found = {}
        for trace in sorted(runs.rglob(f"rank-{rank}.trace")):
            steps = found[trace.parts[-5]] = {}
            for line in trace.read_text().splitlines():
                step, shares = line.split(" ", 1)
                self.assertEqual(steps.setdefault(int(step), shares), shares, f"{trace}, step {step}")
            self.assertEqual(sorted(steps), list(range(40)), trace)
        return found

    def test_a_killed_trainer_goes_on_with_the_same_trajectory(self):
        whole = self.law("whole")
        killed = self.law("killed", "KILL: 9, KILLS: 4")
        deaths = {path.parts[-4]: len(path.read_text()) for path in killed.rglob("deaths")}
        self.assertEqual(set(deaths.values()), {4}, deaths)
        self.assertEqual(self.trajectories(killed), self.trajectories(whole))
        self.assertEqual(self.figures(killed), self.figures(whole))
        self.assertEqual(len(self.figures(whole)), 8)
        for method, least in (("aioli", 4), ("forked", 2), ("pike", 8)):
            self.assertGreaterEqual(len(set(self.trajectories(whole)[method].values())), least, method)

    def test_ranks_of_a_gang_switch_at_one_step(self):
        runs = self.law("gang", "KILL: 16, KILLS: 1", "    gang: 2")
        self.assertEqual(self.trajectories(runs), self.trajectories(runs, rank=1))
        result = json.loads((runs / "fixed/seed-3/main/result.json").read_text())
        self.assertEqual(sum(result["tokens"]), 40 * 8 * 16)

    def test_runs_of_a_swarm_end_with_validation_losses(self):
        # Of each run the first life is killed.
        runs = self.law("swarm", "KILL: 7, KILLS: 1", spec=SWARM) / "swarm/seed-3"
        fit = json.loads((runs / "fit.json").read_text())
        results = [json.loads((runs / f"run-{number}/result.json").read_text()) for number in range(4)]
        self.assertEqual([result["validation"] for result in results], [point["real"] for point in fit["points"]])
        self.assertEqual([result["cost"]["steps"] for result in results], [10] * 4)
        self.assertEqual(len(json.loads((runs / "main/result.json").read_text())["test"]), 2)

    def test_the_example_trains(self):
        done = self.mix(EXAMPLES / "own_trainer.yml", "example")
        self.assertIn("mixed 2 domains by 3 methods with 2 seeds", done.stdout)
        report = json.loads((self.folder / "example/report.json").read_text())
        for method in report["methods"]:
            self.assertLess(method["perplexity"], 40, "128 is what knows nothing")
            for run in method["runs"]:
                self.assertEqual(sum(run["tokens"]), 60 * 8 * 64)


if __name__ == "__main__":
    unittest.main()
