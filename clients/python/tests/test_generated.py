"""The committed code is what the wire's definition says."""

import os
import subprocess
import sys
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


@unittest.skipUnless(find_spec("grpc_tools"), "needs the extra braid-client[dev]")
class Generated(unittest.TestCase):
    def test_it_is_what_generate_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([HERE / "generate.sh", folder], check=True, env={**os.environ, "PYTHON": sys.executable})
            fresh = {path.name: path.read_text() for path in Path(folder, "braid/_proto").iterdir()}
        self.assertEqual(set(fresh), {"plan_pb2.py", "plan_pb2.pyi", "plan_pb2_grpc.py"})
        for name, text in fresh.items():
            self.assertEqual(text, (HERE / "braid/_proto" / name).read_text(), f"{name} is old: run generate.sh")


if __name__ == "__main__":
    unittest.main()
