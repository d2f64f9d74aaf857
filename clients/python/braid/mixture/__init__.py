"""A training loop whose data is mixed by a job of ``braid mix``: on which proportions from which step, and what it saw.

``Mixture`` is the bare loop's; ``BatchSampler`` draws whole batches for a data loader; ``braid.mixture.huggingface`` has a callback for
the Trainer of transformers. Nothing here trains, and nothing decides: the worker that runs this program does.
"""

from braid.mixture.compose import Composer, Rule
from braid.mixture.errors import MixtureError, StateError
from braid.mixture.legs import Branch, Branches, Domain, Gradients, Weights
from braid.mixture.link import folder
from braid.mixture.loop import Mixture
from braid.mixture.sampler import BatchSampler

__all__ = [
    "BatchSampler",
    "Branch",
    "Branches",
    "Composer",
    "Domain",
    "Gradients",
    "Mixture",
    "MixtureError",
    "Rule",
    "StateError",
    "Weights",
    "folder",
]
