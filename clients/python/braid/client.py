"""The client of a coordinator's planner."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Generator, Iterable, List, Optional, Sequence, Tuple, Union

import grpc

from braid import stream, trust, wire
from braid._proto import plan_pb2 as pb
from braid._proto import plan_pb2_grpc
from braid.errors import from_grpc
from braid.plan import Plan

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The first pause before a retry, and the longest; each is twice the one before.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
# A connection that takes longer to make is given up, and the call on it tried again.
_CONNECT_S = 2.0
# While a call is open the coordinator is asked for a sign of life so often, and has so long to give it: a machine that
# vanished says nothing.
_PING_S, _PONG_S = 10.0, 5.0


class PlanClient:
    """Asks the coordinator at ``address`` (``HOST:PORT``) for plans. May be used from several threads.

    It is known, and knows who asks, by ``token`` (what ``braid token create --role operator`` prints) or a ``credentials`` file (as
    the coordinator writes one); without either by ``BRAID_TOKEN``, ``BRAID_CREDENTIALS`` or the user's own file, as for the
    command ``braid``. ``insecure`` says aloud that this is plaintext. Every plan is waited for ``timeout`` seconds at the
    most. A coordinator that cannot be reached is tried again for ``retry_for`` seconds, so that its restart ends no
    training; no other error is retried.
    """

    def __init__(
        self,
        address: Optional[str] = None,
        *,
        token: Optional[str] = None,
        credentials: Optional[trust.File] = None,
        insecure: bool = False,
        timeout: float = 30.0,
        retry_for: float = 10.0,
    ) -> None:
        if not timeout > 0 or not retry_for >= 0:
            raise ValueError(f"timeout is {timeout} and retry_for is {retry_for}; expected seconds")
        if insecure:
            if address is None or token is not None or credentials is not None:
                raise ValueError("insecure=True goes with an address, and with neither token nor credentials")
            self._channel = grpc.insecure_channel(address, options=_options())
        else:
            address, who = trust.resolve(address, token, credentials)
            secured = trust.channel_credentials(address, who, retry_for)
            name = ("grpc.ssl_target_name_override", trust.COORDINATOR_NAME)
            self._channel = grpc.secure_channel(address, secured, options=[*_options(), name])
        self._address, self._timeout, self._retry_for = address, timeout, retry_for
        self._stub: Any = plan_pb2_grpc.PlannerStub(self._channel)  # type: ignore[no-untyped-call]

    def plan(self, lengths: Sequence[int], cluster: wire.Profile, model: wire.Profile, **options: Unpack[wire.Options]) -> Plan:
        """Plans one step over sequences of these lengths, in tokens.

        ``cluster`` and ``model`` are built-in names (``a100x64``, ``gpt-7b``), YAML texts, or paths of YAML files; ``options``
        are those of ``braid.wire.Options``.

        Raises PlanError (with the coordinator's reason), InvalidPlan, Refused, Unavailable or TimedOut.
        """
        request = wire.request(lengths, cluster, model, **options)
        return wire.plan(request, self._ask(request))

    def plans(
        self,
        batches: Iterable[Sequence[int]],
        cluster: wire.Profile,
        model: wire.Profile,
        *,
        ahead: int = 2,
        **options: Unpack[wire.Options],
    ) -> Generator[Plan, None, None]:
        """Plans a step for each batch of lengths, in order, and asks for ``ahead`` more while the caller works on one.

        ``batches`` may be endless. It is drawn from in the caller's thread, when a plan is taken. An error is raised at the
        step it belongs to, after the plans of all steps before, and ends the iterator. So does ``close()``, or leaving it.
        """
        if ahead < 0:
            raise ValueError(f"ahead is {ahead}; expected 0 or more")
        requests = (wire.request(lengths, cluster, model, **options) for lengths in batches)
        replies = stream.in_order(requests, ahead, self._stub.Plans, self._ask, self._timeout)
        return _read(replies)

    def close(self) -> None:
        """Ends the connection, and every call on it."""
        self._channel.close()

    def __enter__(self) -> PlanClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: pb.PlanRequest) -> pb.PlanReply:
        began = time.monotonic()
        deadline, last_try = began + self._timeout, began + min(self._retry_for, self._timeout)
        pause = _FIRST_PAUSE_S
        while True:
            try:
                reply: pb.PlanReply = self._stub.Plan(request, timeout=deadline - time.monotonic())
                return reply
            except grpc.RpcError as error:
                # Ranks that lost one coordinator must not all come back at once.
                wait = pause * random.uniform(0.5, 1.0)
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() + wait >= last_try:
                    raise from_grpc(error, self._address) from None
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def _options() -> List[Tuple[str, Union[int, str]]]:
    """Of the channel. It connects again no later than the next retry."""
    seconds = {
        "grpc.initial_reconnect_backoff_ms": _FIRST_PAUSE_S,
        "grpc.max_reconnect_backoff_ms": _LONGEST_PAUSE_S,
        # The name misleads: it bounds one attempt to connect.
        "grpc.min_reconnect_backoff_ms": _CONNECT_S,
        "grpc.keepalive_time_ms": _PING_S,
        "grpc.keepalive_timeout_ms": _PONG_S,
        "grpc.http2.ping_timeout_ms": _PONG_S,  # what versions of today go by
    }
    return [*((name, round(value * 1e3)) for name, value in seconds.items()), ("grpc.http2.max_pings_without_data", 0)]


def _read(replies: Generator[stream.Answered, None, None]) -> Generator[Plan, None, None]:
    try:
        for request, reply in replies:
            yield wire.plan(request, reply)
    finally:
        replies.close()
