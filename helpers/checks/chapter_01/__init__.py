"""Checks of the exercises of chapter 01, biological data: one module per exercise."""

from helpers.checks.chapter_01.calibration import coverage
from helpers.checks.chapter_01.censoring import censored_log_likelihood
from helpers.checks.chapter_01.elapsed_time import deltas
from helpers.checks.chapter_01.filling import carry_forward
from helpers.checks.chapter_01.limit import detection_limit
from helpers.checks.chapter_01.overdispersion import dispersion
from helpers.checks.chapter_01.reading import mean_variance_figure, three_assays
from helpers.checks.chapter_01.scaling import standardise
from helpers.checks.chapter_01.weighting import weighted_mean

__all__ = [
    "carry_forward",
    "censored_log_likelihood",
    "coverage",
    "deltas",
    "detection_limit",
    "dispersion",
    "mean_variance_figure",
    "standardise",
    "three_assays",
    "weighted_mean",
]
