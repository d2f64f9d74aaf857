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
        expected = {f"{wire}_pb2{end}" for wire in ("plan", "mixture") for end in (".py", ".pyi", "_grpc.py")}
        self.assertEqual(set(fresh), expected)
        for name, text in fresh.items():
            self.assertEqual(text, (HERE / "braid/_proto" / name).read_text(), f"{name} is old: run generate.sh")


if __name__ == "__main__":
    unittest.main()
