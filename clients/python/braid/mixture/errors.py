"""What can go wrong with a mixture, beside what ``braid.errors`` has.

    BraidError
    ├── MixtureError   Braid refuses a call: a loss that is no number, other domains, a step too early; the text is its reason
    ├── StateError     what a checkpoint holds of the mixture is missing, or is of another run
    ├── Unavailable    nobody steers: this program was not started by `braid mix`, or its worker is gone
    └── TimedOut       the answer took longer than the call's timeout
"""

from __future__ import annotations

import grpc

from braid.errors import BraidError, TimedOut, Unavailable


class MixtureError(BraidError):
    """Braid refuses a call, and ends the run: the text is its reason."""


class StateError(BraidError):
    """What a checkpoint holds of the mixture is missing, or is of another run."""


class Passing(BraidError):
    """Braid cannot take a call now. Nothing is wrong with it, and every rank is told the same."""


def from_grpc(error: grpc.RpcError) -> BraidError:
    """The failure of a call."""
    code = error.code()
    details, _, hint = (error.details() or "no reason given").partition("\nhint: ")
    if code is grpc.StatusCode.ABORTED:
        return Passing(details)
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"nobody answers who steers this trainer: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut("no answer came within the call's timeout", "timeout= allows more")
    return MixtureError(details, hint or None)
