"""Irregular time series: one container, its time gaps, its grid, and its units."""

from helpers.series.assembly import collate, one_series
from helpers.series.batch import IrregularBatch, check_series
from helpers.series.standardiser import Standardiser

__all__ = ["IrregularBatch", "Standardiser", "check_series", "collate", "one_series"]
