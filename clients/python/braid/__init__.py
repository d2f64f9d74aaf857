"""Braid's plans for a training loop: which ranks take which sequences of a step.

``PlanClient`` asks a coordinator; ``braid.torch`` turns plans into process groups. Nothing here computes a plan or trains.
"""

from braid.client import PlanClient
from braid.errors import BraidError, PlanError, TimedOut, Unavailable
from braid.plan import Baselines, Group, MicroBatch, Plan

__all__ = ["Baselines", "BraidError", "Group", "MicroBatch", "Plan", "PlanClient", "PlanError", "TimedOut", "Unavailable"]
