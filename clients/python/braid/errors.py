"""What can go wrong, and what gRPC calls it."""

from __future__ import annotations

import grpc


class BraidError(Exception):
    """Any failure of this package."""


class PlanError(BraidError):
    """There is no plan, and asking again will not help. The text is the coordinator's."""


class Unavailable(BraidError):
    """The coordinator cannot be reached, and has not come back while it was waited for."""


class TimedOut(BraidError, TimeoutError):
    """The answer took longer than the call's timeout."""


def from_grpc(error: grpc.RpcError, address: str) -> BraidError:
    """The failure of a call to the coordinator at ``address``."""
    assert isinstance(error, grpc.Call), "what a stub raises is both"
    code, details = error.code(), error.details() or "no reason given"
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"no coordinator answers at {address}: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut(f"the coordinator at {address} took longer than the call's timeout")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return PlanError(f"what answers at {address} does not plan; is it a coordinator of this version?")
    return PlanError(details)
