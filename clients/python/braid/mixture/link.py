"""The calls of ``braid.v1.Mixture``, tried again where that can help."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Optional

import grpc

from braid._proto import mixture_pb2 as pb
from braid._proto import mixture_pb2_grpc
from braid.errors import BraidError, Unavailable
from braid.mixture.errors import Passing, from_grpc

VARIABLE = "BRAID_MIXTURE"
_FOLDER = "BRAID_MIXTURE_FOLDER"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


def folder() -> str:
    """Where this trainer may keep its checkpoints: the same for all of its lives, and for all of its ranks."""
    try:
        return os.environ[_FOLDER]
    except KeyError:
        raise _nobody(_FOLDER) from None


def _nobody(variable: str) -> Unavailable:
    return Unavailable(f"nobody steers this trainer: {variable} is not set", "start it by `braid mix`, with `trainer: external`")


class Link:
    """One connection. In a gang a call lasts until all ranks have made it."""

    def __init__(self, address: Optional[str], timeout: float, retry_for: float) -> None:
        address = address or os.environ.get(VARIABLE)
        if not address:
            raise _nobody(VARIABLE)
        self._timeout, self._retry_for = timeout, retry_for
        # A proxy for the web is none for a socket; and the name of a socket is no authority.
        options = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", "localhost")]
        self._channel = grpc.insecure_channel(address, options=options)
        self._stub: Any = mixture_pb2_grpc.MixtureStub(self._channel)  # type: ignore[no-untyped-call]

    def begin(self, request: pb.BeginRequest) -> pb.BeginReply:
        answer: pb.BeginReply = self._call(self._stub.Begin, request, True)
        return answer

    def weights(self, request: pb.WeightsRequest, patient: bool = True) -> pb.WeightsReply:
        answer: pb.WeightsReply = self._call(self._stub.Weights, request, patient)
        return answer

    def report(self, request: pb.ReportRequest, patient: bool = True) -> pb.Recorded:
        answer: pb.Recorded = self._call(self._stub.Report, request, patient)
        return answer

    def probed(self, request: pb.ProbedRequest) -> pb.Recorded:
        answer: pb.Recorded = self._call(self._stub.Probed, request, True)
        return answer

    def close(self) -> None:
        self._channel.close()

    def _call(self, call: Any, request: object, patient: bool) -> Any:
        """Not patient: once, for whoever has something else to go on with."""
        last_try = time.monotonic() + (self._retry_for if patient else 0.0)
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return call(request, timeout=self._timeout)
            except grpc.RpcError as error:
                failure: BraidError = from_grpc(error)
            if not isinstance(failure, (Passing, Unavailable)) or time.monotonic() + pause >= last_try:
                raise failure
            # Ranks that are told the same try again together: their calls wait for each other.
            time.sleep(pause * random.uniform(0.9, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
