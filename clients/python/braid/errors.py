"""What can go wrong, and what gRPC calls it. The text of an error says what was wrong; its hint, what to do about it.

    BraidError
    ├── PlanError         there is no plan, and asking again will not help
    │   ├── BadQuestion   the question cannot be read: a length of 0, an unknown name, a broken file
    │   └── DoesNotFit    no plan exists: a sequence or the model is too large for the cluster
    ├── InvalidPlan       what came is no plan of what was asked
    ├── BadCredentials    there is no token or file that says who asks, or it is none
    ├── Refused           the coordinator does not let this caller ask, or is not of the token's fleet
    ├── Unavailable       it cannot be reached, and did not come back while it was waited for
    └── TimedOut          the answer took longer than the call's timeout
"""

from __future__ import annotations

from typing import Optional

import grpc


class BraidError(Exception):
    """Any failure of this package."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.hint = hint
        """What a person can do about it, where there is something."""

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.hint is None else f"{message}\nhint: {self.hint}"


class PlanError(BraidError):
    """There is no plan, and asking again will not help. The text is the coordinator's."""


class BadQuestion(PlanError):
    """The coordinator cannot read the question."""


class DoesNotFit(PlanError):
    """Every plan would need more memory than the cluster has."""


class InvalidPlan(BraidError):
    """What the coordinator sent is no plan of what was asked, and must not be trained by."""


class BadCredentials(BraidError):
    """There is no token or file that says who asks, or it is none."""


class Refused(BraidError):
    """The coordinator does not let this caller ask, or is not of the fleet that the token is for."""


class Unavailable(BraidError):
    """The coordinator cannot be reached, and has not come back while it was waited for."""


class TimedOut(BraidError, TimeoutError):
    """The answer took longer than the call's timeout."""


def from_grpc(error: grpc.RpcError, address: str) -> BraidError:
    """The failure of a call to the coordinator at ``address``."""
    code, details = error.code(), error.details() or "no reason given"
    if code is grpc.StatusCode.UNAVAILABLE:
        hint = "is `braid coordinator` running there? retry_for= waits longer for one that restarts"
        return Unavailable(f"no coordinator answers at {address}: {details}", hint)
    # A server whose clock is ahead by a little ends the call first, and says so in this way.
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or (code is grpc.StatusCode.CANCELLED and "Timeout expired" in details):
        return timed_out(f"the coordinator at {address} took longer than the call's timeout")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return PlanError(f"what answers at {address} does not plan", "is it a coordinator, and of this version?")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Refused(f"the coordinator at {address} refuses to plan for this caller: {details}")
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return BadQuestion(details)
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        return DoesNotFit(details, "context= drops longer sequences; more memory or more GPUs hold them")
    return PlanError(details)


def timed_out(message: str) -> TimedOut:
    """A wait that has been given up."""
    return TimedOut(message, 'timeout= allows more; effort="fast" or budget_s= need less')
