"""What steers a trainer, in this process, doing as it is told; and a trainer whose losses follow a law."""

from __future__ import annotations

import tempfile
from concurrent import futures
from pathlib import Path

import grpc

from braid._proto import mixture_pb2 as pb
from braid._proto import mixture_pb2_grpc


class Steered(mixture_pb2_grpc.MixtureServicer):
    """Legs of ``every`` steps over two domains; ``proportions(from)`` are a leg's. ``refuse`` ends every report with a status."""

    def __init__(self, steps=20, every=5, slots=8, proportions=lambda since: (0.5, 0.5), needs=None, rule=pb.Leg.EXACT):
        self.steps, self.every, self.slots, self.proportions = steps, every, slots, proportions
        self.needs, self.rule = needs or pb.Needs(train=True), rule
        self.reports, self.test, self.refuse, self.probes, self.probed = {}, None, None, {}, {}
        self.begun, self.asked = [], []
        self._folder = tempfile.TemporaryDirectory()
        self.address = f"unix:{Path(self._folder.name, 's')}"
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        mixture_pb2_grpc.add_MixtureServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.address)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()
        self._folder.cleanup()

    def Begin(self, request, context):
        self.begun.append(request)
        domains = [pb.BeginReply.Domain(name="web", paths=["/w"], tokens=9000), pb.BeginReply.Domain(name="code")]
        return pb.BeginReply(
            domains=domains, steps=self.steps, slots=self.slots, seed=7, checkpoint_every=10, folder="/f", method="even", context=16
        )

    def Weights(self, request, context):
        step = request.step
        self.asked.append(step)
        if step in self.probes and step not in self.probed:
            return pb.WeightsReply(probe=self.probes[step])
        if step >= self.steps:
            return pb.WeightsReply(over=pb.Nothing()) if self.test else pb.WeightsReply(test=pb.Nothing())
        since = step // self.every * self.every
        until = min(since + self.every, self.steps)
        leg = pb.Leg(since_step=since, until=until, proportions=self.proportions(since), rule=self.rule, needs=self.needs)
        return pb.WeightsReply(train=leg)

    def Report(self, request, context):
        if self.refuse is not None:
            context.abort(*self.refuse)
        if request.test:
            self.test = dict(request.test)
            return pb.Recorded(new=True)
        new = request.step not in self.reports
        self.reports.setdefault(request.step, request)
        return pb.Recorded(new=new)

    def Probed(self, request, context):
        self.probed[request.step] = request
        return pb.Recorded(new=True)


SCALE = {"web": 500, "code": 900}


class Law:
    """A model: what it has seen of each domain. Its losses are a function of that."""

    def __init__(self, seen=None):
        self.seen = dict(seen or {"web": 0, "code": 0})

    def losses(self):
        return {name: 1.0 + 3.0 / (1 + seen / SCALE[name]) for name, seen in self.seen.items()}

    def train(self, batch):
        tokens = {name: 16 * len(draws) for name, draws in batch.items()}
        losses = {name: loss for name, loss in self.losses().items() if tokens[name]}
        for name, count in tokens.items():
            self.seen[name] += count
        return losses, tokens
