"""The example trains, on the documentation of this repository. It checks its losses itself."""

import re
import subprocess
import sys
import unittest
from importlib.util import find_spec
from pathlib import Path

from coordinator import Coordinator

HERE = Path(__file__).resolve().parent.parent
TEXTS = sorted((HERE / "../../docs").glob("*.md"))


@unittest.skipUnless(find_spec("torch"), "needs the extra braid-client[torch]")
class Example(unittest.TestCase):
    def test_it_trains_by_plans_of_unequal_groups(self):
        with Coordinator() as coordinator:
            command = [sys.executable, HERE / "examples/train_tiny.py", "--coordinator", coordinator.address, *TEXTS]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(re.findall("^step", done.stdout, re.M)), 12)
        # Else nothing was shared: groups of one degree alone would not show that plans are followed.
        self.assertGreater(len(set(re.findall(r"(\d)×", done.stdout))), 1, done.stdout)


if __name__ == "__main__":
    unittest.main()
