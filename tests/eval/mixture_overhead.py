"""What a round of a mixture costs beside its training: in processor time, and in time on the clock of a fleet."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

# What a trainer of the kind `command` is here: its training is a sleep. When that began and ended is written down, and what processor
# time the interpreter took of each call.
TRAINER = """
import json, sys, time
asked = json.load(open(sys.argv[1]))
if asked["call"] == "train":
    began = time.monotonic()
    time.sleep(ROUND)
    with open("rounds", "a") as file:
        file.write(f"{began} {time.monotonic()}\\n")
losses = dict.fromkeys(asked.get("proportions") or ["a", "b"], 1.5)
json.dump({"losses": losses}, open(sys.argv[2], "w"))
with open("own", "a") as file:
    file.write(f"{time.process_time()}\\n")
"""


def spent():
    """Seconds of processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of_rounds(mix, made, out):
    """Processor time of a round: one run of the built-in trainer in two rounds, and in a hundred. `mix` runs a spec into a folder."""
    took = {}
    for number, rounds in enumerate((2, 100, 2, 100)):
        before = spent()
        mix({**made, "steps": 1000, "checkpoint_every": 1000 // rounds}, out / "overhead.yml", out / f"overhead-{number}")
        took[rounds] = min(spent() - before, took.get(rounds, float("inf")))
    each = (took[100] - took[2]) / 98
    return f"1000 steps: {took[2]:.2f} s of processor time in 2 rounds, {took[100]:.2f} s in 100: {each * 1e3:.1f} ms a round"


def of_a_fleet(braid, out, rounds, seconds):
    """What a round costs on a fleet, on the clock and in processor time: a run of so many rounds, and one of two."""
    (_, few), (gap, many) = fleet(braid, out / "few", 2, seconds), fleet(braid, out / "many", rounds, seconds)
    each = (many - few) / (rounds - 2)
    return (
        f"{rounds} rounds of {seconds} s on a fleet: {gap:.3f} s from the end of a round to the beginning of the next, "
        f"{100 * gap / seconds:.2f} % of it; coordinator, worker and client take {each:.3f} s of processor time a round, "
        f"{100 * each / seconds:.2f} % (load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors)"
    )


def fleet(braid, out, rounds, seconds):
    """A coordinator, a worker and a client, and a run whose rounds are sleeps, decided anew before each of them. Mean seconds between
    two rounds; and processor time from start to end, but that of the trainer's interpreters."""
    out.mkdir(parents=True)
    for name, text in (("a", "lorem ipsum "), ("b", "0123456789")):
        (out / f"{name}.txt").write_text(text * 9000)
    (out / "trainer.py").write_text(TRAINER.replace("ROUND", str(seconds)))
    spec = {
        "domains": {"a": "a.txt", "b": "b.txt"},
        "split": {"block": 4096},
        "context": 32,
        "batch": 8,
        "steps": 10 * rounds,
        "evaluate": 8,
        "trainer": {"command": {"run": [sys.executable, "trainer.py"]}},
        "methods": [{"method": "odm", "every": 10}],
        "checkpoint_every": 10,
    }
    (out / "mix.yml").write_text(json.dumps(spec))
    environment = {**os.environ, "XDG_CONFIG_HOME": str(out / "config")}
    before = spent()
    serve = [braid, "--quiet", "coordinator", "--insecure", "--listen", "127.0.0.1:0", "--data-dir", out / "coordinator"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment) as coordinator:
        address = coordinator.stdout.readline().rstrip().rpartition(" ")[2]
        join = [braid, "--quiet", "worker", "--insecure", "--join", address, "--data-dir", out / "worker", "--threads", "1"]
        with subprocess.Popen(join, env=environment) as worker:
            mix = [braid, "-q", "mix", out / "mix.yml", out / "out", "--insecure", "--coordinator", address]
            ended = subprocess.run(mix, stdout=subprocess.DEVNULL, env=environment)
            worker.send_signal(signal.SIGTERM)
        coordinator.send_signal(signal.SIGTERM)
    ended.check_returncode()
    moments = [tuple(map(float, line.split())) for line in pathlib.Path(out / "rounds").read_text().splitlines()]
    if len(moments) != rounds:
        raise SystemExit(f"{len(moments)} rounds were trained, not {rounds}")
    gaps = [later[0] - earlier[1] for earlier, later in zip(moments, moments[1:])]
    own = sum(map(float, (out / "own").read_text().split()))
    return sum(gaps) / len(gaps), spent() - before - own
