"""Irregular time series: one container, its time gaps, its grid, and its units."""

from .assembly import collate, one_series
from .batch import IrregularBatch
from .standardiser import Standardiser

__all__ = ["IrregularBatch", "Standardiser", "collate", "one_series"]
