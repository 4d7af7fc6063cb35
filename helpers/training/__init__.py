"""The one training loop of the book."""

from helpers.training.fit import fit
from helpers.training.history import History

__all__ = ["History", "fit"]
