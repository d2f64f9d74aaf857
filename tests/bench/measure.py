"""Runs a program and says what it cost: wall time, CPU time of all its threads, largest resident set.

Standard library only.
"""

import os
import pathlib
import shutil
import statistics
import sys
import time


class Cost:
    """What one run of a process took."""

    def __init__(self, wall, user, system, resident):
        self.wall, self.cpu, self.resident = wall, user + system, resident

    def as_json(self):
        return {"wall_s": self.wall, "cpu_s": self.cpu, "peak_rss_bytes": self.resident, "load_1m": os.getloadavg()[0]}


def run(command, log, environment=None):
    """Runs `command` to its end with its output in the file `log`; stops the script when it fails."""
    command = [os.fspath(part) for part in command]
    with open(log, "wb") as sink:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, sink.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, sink.fileno(), 2),
        ]
        began = time.perf_counter()
        process = os.posix_spawn(command[0], command, {**os.environ, **(environment or {})}, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
        wall = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}\n{pathlib.Path(log).read_text(errors='replace')}")
    # ru_maxrss is in KiB on Linux and is VmHWM at the end of the process.
    return Cost(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)


def settle(output):
    """Removes an earlier output and lets the disk finish, so that no run pays for the one before it."""
    shutil.rmtree(output, ignore_errors=True)
    os.sync()


def warm(files):
    """Reads files once: they are in the page cache afterwards."""
    buffer = memoryview(bytearray(1 << 22))
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def checkpoint_files(models):
    return [path for model in models for path in sorted(pathlib.Path(model).glob("*.safetensors"))]


def median(values):
    return statistics.median(values)


def machine():
    """The processor, its cores and how busy they are, for the head of a report."""
    model = "unknown processor"
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "cores": os.cpu_count(), "load_1m": os.getloadavg()[0]}


def executable(path, what, hint):
    """The program at `path`, or a message that says how to get it."""
    found = shutil.which(os.fspath(path))
    if found is None:
        sys.exit(f"{what}: no program at {path}; {hint}")
    return os.path.abspath(found)
