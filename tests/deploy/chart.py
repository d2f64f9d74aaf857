#!/usr/bin/env python3
"""Renders the Helm chart in each of its shapes, validates every object against Kubernetes' own schemas, and sees to it that values
which cannot work are refused. Needs helm and kubernetes-validate (tests/deploy/requirements.txt).

    tests/deploy/chart.py [--keep FOLDER]
"""

import argparse
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy/helm/braid"
# Kinds that operators define and Kubernetes does not.
FOREIGN = {"PodMonitor"}
# Releases of Kubernetes: the oldest that the chart admits, and a new one.
KUBERNETES = ["1.27", "1.33"]

VOLUME = '{"worker": {"volumes": [{"name": "models", "mountPath": "/models", "source": {"nfs": {"server": "nas", "path": "/m"}}}]}}'
SHAPES = {
    "defaults": [],
    "three coordinators on an etcd of the chart": ["--set", "coordinator.replicas=3,etcd.enabled=true"],
    "another etcd": ["--set", "coordinator.replicas=3,etcd.endpoints={etcd-a:2379,etcd-b:2379}"],
    "no workers": ["--set", "worker.enabled=false"],
    "everything": [
        "--set",
        "coordinator.replicas=5,etcd.enabled=true,worker.gpus=8,worker.runtimeClassName=nvidia,metrics.podMonitor=true,"
        "networkPolicy.enabled=true,joinSecret=mine,worker.hostPath=,image.tag=1.2.3",
    ],
    "volumes": ["--set-json", f"worker={yaml.safe_load(VOLUME)['worker']}".replace("'", '"')],
}
REFUSED = {
    "several coordinators without etcd": (["--set", "coordinator.replicas=3"], "needs etcd"),
    "a value that is not known": (["--set", "coordinator.replica=3"], "replica"),
    "an etcd of two": (["--set", "etcd.enabled=true,etcd.replicas=2"], "etcd.replicas"),
}


def render(name: str, flags: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["helm", "template", "fleet", str(CHART), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def check_objects(name: str, text: str) -> list[str]:
    """What is wrong with the objects of a rendered chart."""
    wrong = []
    objects = [thing for thing in yaml.safe_load_all(text) if thing]
    named = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
    if len(set(named)) != len(named):
        wrong.append(f"{name}: two objects of one kind and name")
    for thing in objects:
        if thing["kind"] in FOREIGN:
            continue
        for release in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{name}: {thing['kind']} {thing['metadata']['name']} on {release}: {error.message}")
        wrong += [f"{name}: {problem}" for problem in check_selectors(thing)]
    return wrong


def check_selectors(thing: dict) -> list[str]:
    """A set of pods must select the pods that it makes."""
    spec = thing.get("spec", {})
    if "template" not in spec:
        return []
    labels = spec["template"]["metadata"]["labels"]
    selector = spec["selector"]["matchLabels"]
    if any(labels.get(key) != value for key, value in selector.items()):
        return [f"{thing['kind']} {thing['metadata']['name']} does not select its own pods"]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=pathlib.Path, help="write what was rendered there")
    keep = parser.parse_args().keep
    wrong = []
    lint = subprocess.run(["helm", "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False, timeout=60)
    if lint.returncode:
        wrong.append(lint.stdout + lint.stderr)
    for name, flags in SHAPES.items():
        made = render(name, flags)
        if made.returncode:
            wrong.append(f"{name}: {made.stderr.strip()}")
            continue
        wrong += check_objects(name, made.stdout)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name.replace(' ', '-')}.yaml").write_text(made.stdout)
    for name, (flags, word) in REFUSED.items():
        made = render(name, flags)
        if made.returncode == 0 or word not in made.stderr:
            wrong.append(f"{name}: expected a refusal that names {word!r}, got {made.stderr.strip() or 'none'!r}")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"chart: {len(SHAPES)} shapes rendered, {len(REFUSED)} refused, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
