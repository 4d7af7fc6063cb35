"""Irregular time series: one container, its time gaps, its grid, and its units."""

from helpers.series.assembly import collate, one_series
from helpers.series.batch import IrregularBatch, as_padded
from helpers.series.standardiser import Standardiser

__all__ = ["IrregularBatch", "Standardiser", "as_padded", "collate", "one_series"]
