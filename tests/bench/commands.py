#!/usr/bin/env python3
"""Measures many short programs as one job: Braid beside HyperQueue, which was made for this.

    commands.py --braid target/release/braid [--tasks 2000] [--threads 2] [--turns 5] [--program /bin/true] [--json FILE] [--check]

Both have a server and one worker on this machine, up before the clock starts; it runs from submitting an array of tasks to
knowing that all are done. CPU time is that of server, worker and the programs themselves. HyperQueue is measured twice: with
the output of each task in files, which is how it comes, and with all output thrown away; Braid keeps it. Its Python interface
takes tasks one by one, not as an array, and looks once a second whether they are done. The sides take turns, figures are medians
over turns. A loop that starts the same programs one after the other shows what starting them costs alone.

Run it with an interpreter that has hyperqueue (tests/peer-requirements.txt says where versions are). `--check` exits with 1
when Braid takes longer than the quicker of HyperQueue's two.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def cpu(pid):
    """CPU seconds of a process, its threads, and the children that it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class Braid:
    """A coordinator and a worker, as processes of their own."""

    name = "Braid"

    def __init__(self, braid, threads, folder):
        self.braid, self.folder = braid, folder
        self.coordinator = subprocess.Popen(
            [braid, "coordinator", "--insecure", "--listen", "127.0.0.1:0", "--data-dir", folder / "coordinator"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.address = self.coordinator.stdout.readline().split()[-1]
        self.worker = subprocess.Popen(
            [braid, "worker", "--insecure", "--join", self.address, "--data-dir", folder / "worker", "--threads", str(threads)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        while "ready" not in self.call("node", "ls").stdout:
            time.sleep(0.02)

    def call(self, *words, **more):
        environment = {**os.environ, "BRAID_COORDINATOR": self.address, "BRAID_INSECURE": "1"}
        return subprocess.run([self.braid, *words], env=environment, capture_output=True, text=True, check=True, **more)

    def cpu(self):
        return cpu(self.coordinator.pid) + cpu(self.worker.pid)

    def run(self, program, tasks):
        self.call("run", "--quiet", "--array", str(tasks), "--", program, cwd=self.folder)

    def stop(self):
        for process in (self.worker, self.coordinator):
            process.terminate()
            process.wait()


class HyperQueue:
    """Its LocalCluster: server and worker in a process of Python, which is this one."""

    def __init__(self, threads, folder, files):
        from hyperqueue.cluster import LocalCluster, WorkerConfig

        self.name = "HyperQueue, output in files" if files else "HyperQueue, no output"
        self.files, self.folder = files, folder
        self.cluster = LocalCluster(server_dir=str(folder / "server"))
        self.cluster.start_worker(WorkerConfig(cores=threads))
        self.client = self.cluster.client()
        self.run("/bin/true", threads)  # the worker is there when this is done

    def cpu(self):
        return cpu(os.getpid())

    def run(self, program, tasks):
        from hyperqueue import Job

        folder = self.folder / f"out-{time.monotonic_ns()}"
        folder.mkdir()
        job = Job(default_workdir=str(folder))
        more = {} if self.files else {"stdout": None, "stderr": None}
        for _ in range(tasks):
            job.program([program], **more)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            self.client.wait_for_jobs([self.client.submit(job)])

    def stop(self):
        self.cluster.stop()


class Loop:
    """No scheduler at all: one after the other, by posix_spawn."""

    name = "a plain loop, one at a time"

    def cpu(self):
        return cpu(os.getpid())

    def run(self, program, tasks):
        for _ in range(tasks):
            os.waitpid(os.posix_spawn(program, [program], os.environ), 0)

    def stop(self):
        pass


def measure(side, program, tasks):
    before, began = side.cpu(), time.perf_counter()
    side.run(program, tasks)
    return {"wall_s": time.perf_counter() - began, "cpu_s": side.cpu() - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--braid", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--program", default="/bin/true")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="braid-bench-") as folder:
        folder = pathlib.Path(folder)
        for part in ("braid", "files", "none"):
            (folder / part).mkdir()
        sides = [
            Braid(args.braid.resolve(), args.threads, folder / "braid"),
            HyperQueue(args.threads, folder / "files", True),
            HyperQueue(args.threads, folder / "none", False),
            Loop(),
        ]
        turns = {side.name: [] for side in sides}
        for _ in range(args.turns):
            for side in sides:
                turns[side.name].append(measure(side, args.program, args.tasks))
        for side in sides:
            side.stop()
    figures = {}
    for name, runs in turns.items():
        wall, used = (statistics.median(run[key] for run in runs) for key in ("wall_s", "cpu_s"))
        figures[name] = {"wall_s": wall, "cpu_s": used, "turns": runs}
        print(f"{name:30} {wall:7.3f} s   {used:7.3f} s of CPU   {1e3 * wall / args.tasks:6.3f} ms a task")
    if args.json:
        args.json.write_text(json.dumps({"tasks": args.tasks, "threads": args.threads, "figures": figures}, indent=2) + "\n")
    best = min(entry["wall_s"] for name, entry in figures.items() if name.startswith("HyperQueue"))
    if args.check and figures["Braid"]["wall_s"] > best:
        sys.exit("Braid is slower than HyperQueue")


if __name__ == "__main__":
    main()
