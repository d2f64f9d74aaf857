"""Plans ahead of the steps that need them, over one streaming call. It knows nothing of what is asked.

The call's errors name no request, and may overtake replies that were on their way. So whenever the call ends early, the
request at the head is asked again by itself: its own error is raised, or its own plan comes, and a new call takes the rest.
A coordinator keeps nothing between calls and answers the same request with the same plan, so nothing is lost by that.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from itertools import islice
from typing import Callable, Deque, Generator, Iterable, Iterator, Optional, Protocol, Tuple

import grpc

from braid._proto import plan_pb2 as pb
from braid.errors import InvalidPlan, timed_out


class Replies(Protocol):
    """What gRPC's streaming call is to this file."""

    def __iter__(self) -> Iterator[pb.PlanReply]: ...

    def cancel(self) -> object: ...


Open = Callable[[Iterator[pb.PlanRequest]], Replies]
Ask = Callable[[pb.PlanRequest], pb.PlanReply]
Answered = Tuple[pb.PlanRequest, pb.PlanReply]


def in_order(
    requests: Iterable[pb.PlanRequest], ahead: int, open_call: Open, ask: Ask, timeout: float
) -> Generator[Answered, None, None]:
    """Each request with its reply; ``ahead`` more are asked for while the caller works on one.

    ``requests`` is drawn from in the caller's thread. An error of drawing is raised at the step whose request it is.
    """
    source = iter(requests)
    waiting: Deque[pb.PlanRequest] = deque()
    failure: Optional[Exception] = None
    call: Optional[_Call] = None
    step = 0
    try:
        while True:
            if failure is None:
                try:
                    for request in islice(source, ahead + 1 - len(waiting)):
                        request.tag = step + len(waiting)
                        waiting.append(request)
                        if call is not None:
                            call.send(request)
                except Exception as error:
                    failure = error
            if not waiting:
                if failure is not None:
                    raise failure
                return
            if call is None:
                call = _Call(open_call)
                for request in waiting:
                    call.send(request)
            reply = call.receive(timeout)
            if reply is None:
                call.close()
                call = None
                reply = ask(waiting[0])
            if reply.tag != step:
                raise InvalidPlan(f"the coordinator answered step {step} with the plan of step {reply.tag}")
            step += 1
            yield waiting.popleft(), reply
    finally:
        if call is not None:
            call.close()


class _Call:
    """One streaming call. Its queues hold no more than its user has sent."""

    def __init__(self, open_call: Open) -> None:
        self._requests: queue.SimpleQueue[Optional[pb.PlanRequest]] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Optional[pb.PlanReply]] = queue.SimpleQueue()
        # gRPC draws from this in a thread of its own, until the None of `close`.
        self._call = open_call(iter(self._requests.get, None))
        # A wait for the next reply has no timeout in gRPC; one for a queue has.
        self._reader = threading.Thread(target=self._read, name="braid-plans", daemon=True)
        self._reader.start()

    def send(self, request: pb.PlanRequest) -> None:
        self._requests.put(request)

    def receive(self, timeout: float) -> Optional[pb.PlanReply]:
        """The next reply; None once the call has ended, for whatever reason."""
        try:
            return self._replies.get(timeout=timeout)
        except queue.Empty:
            raise timed_out(f"no plan came within {timeout:g} s") from None

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        try:
            for reply in self._call:
                self._replies.put(reply)
        except grpc.RpcError:
            pass  # the head's own call says what it was
        finally:
            self._replies.put(None)
