"""The one training loop of the book."""

from helpers.training.fit import fit
from helpers.training.global_state import flush_denormals
from helpers.training.history import History

__all__ = ["History", "fit", "flush_denormals"]
