"""A planner in this process that does as it is told."""

from __future__ import annotations

import threading
from concurrent import futures

import grpc

from braid._proto import plan_pb2 as pb
from braid._proto import plan_pb2_grpc


class Refusal(Exception):
    """Makes a call end with this status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def reply(request: pb.PlanRequest) -> pb.PlanReply:
    """A plan of one group, told apart from others by its predicted time: the first length."""
    group = pb.PlanReply.Group(first_rank=0, degree=4, sequences=range(len(request.lengths)))
    micro_batch = pb.PlanReply.MicroBatch(groups=[group])
    return pb.PlanReply(tag=request.tag, predicted_s=request.lengths[0], world=4, micro_batches=[micro_batch])


class FakePlanner(plan_pb2_grpc.PlannerServicer):
    """`answer(request)` returns a reply or raises a Refusal. `on_stream(requests, context)`, where given, is the stream."""

    def __init__(self, answer=reply, on_stream=None, port: int = 0) -> None:
        self.answer, self.on_stream = answer, on_stream
        self.asked: list[pb.PlanRequest] = []
        self.streams = 0
        self.stream_ended = threading.Event()
        # SO_REUSEPORT would let two servers share a port.
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        plan_pb2_grpc.add_PlannerServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> FakePlanner:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def Plan(self, request, context):
        self.asked.append(request)
        return self._answer(request, context)

    def Plans(self, requests, context):
        self.streams += 1
        context.add_callback(self.stream_ended.set)
        if self.on_stream is not None:
            yield from self.on_stream(requests, context)
            return
        for request in requests:
            self.asked.append(request)
            yield self._answer(request, context)

    def _answer(self, request, context):
        try:
            return self.answer(request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
