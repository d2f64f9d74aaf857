"""A real coordinator on the loopback, as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import unittest


def binary() -> str:
    """The program under test; skips what needs it where none is named."""
    path = os.environ.get("BRAID_BIN")
    if not path:
        raise unittest.SkipTest("BRAID_BIN names no braid")
    return os.path.abspath(path)


class Coordinator:
    """Runs from `with` to the end of it; `restart` brings it back at the same address."""

    def __init__(self, protected: bool = False) -> None:
        self._protected = protected

    @property
    def credentials(self) -> str:
        """The file of a protected one for its own user, which it writes when it has begun to listen."""
        path, last = os.path.join(self._folder.name, "admin.json"), time.monotonic() + 30
        while not os.path.exists(path):
            assert time.monotonic() < last, f"the coordinator wrote no {path}"
            time.sleep(0.02)
        return path

    def __enter__(self) -> Coordinator:
        self._folder = tempfile.TemporaryDirectory()
        self._start("127.0.0.1:0")
        return self

    def _start(self, listen: str) -> None:
        command = [binary(), "--quiet", "coordinator", "--listen", listen, "--data-dir", self._folder.name]
        if not self._protected:
            command.append("--insecure")
        # It writes credentials where its user has them.
        environment = {**os.environ, "XDG_CONFIG_HOME": os.path.join(self._folder.name, "config")}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self._process.stdout.readline()
        said, _, self.address = line.rstrip().rpartition(" ")
        assert said == "listening on", f"the coordinator said {line!r}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def freeze(self) -> None:
        """It keeps its connections and says nothing, like a machine that vanished."""
        self._process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        self._start(self.address)

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()
