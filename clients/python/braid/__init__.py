"""Braid's plans for a training loop: which ranks take which sequences of a step.

``PlanClient`` asks a coordinator; ``braid.torch`` turns plans into process groups; ``braid.mixture`` leads a loop through a job of
``braid mix``. Nothing here computes a plan or trains.
"""

from braid.client import PlanClient
from braid.errors import (
    BadCredentials,
    BadQuestion,
    BraidError,
    DoesNotFit,
    InvalidPlan,
    PlanError,
    Refused,
    TimedOut,
    Unavailable,
)
from braid.plan import Baselines, Group, MicroBatch, Plan

__all__ = [
    "BadCredentials",
    "BadQuestion",
    "Baselines",
    "BraidError",
    "DoesNotFit",
    "Group",
    "InvalidPlan",
    "MicroBatch",
    "Plan",
    "PlanClient",
    "PlanError",
    "Refused",
    "TimedOut",
    "Unavailable",
]
