"""The one training loop of the book."""

from .fit import fit
from .history import History

__all__ = ["History", "fit"]
