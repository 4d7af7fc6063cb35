"""Checks of the exercises of chapter 01, biological data: one module per exercise."""

from helpers.checks.chapter_01.e01_dispersion import dispersion
from helpers.checks.chapter_01.e02_deltas import deltas
from helpers.checks.chapter_01.e03_carry_forward import carry_forward
from helpers.checks.chapter_01.e04_censored_log_likelihood import censored_log_likelihood
from helpers.checks.chapter_01.e05_mean_variance_figure import mean_variance_figure, three_assays
from helpers.checks.chapter_01.e06_detection_limit import detection_limit
from helpers.checks.chapter_01.e07_standardise import standardise
from helpers.checks.chapter_01.e08_coverage import coverage
from helpers.checks.chapter_01.e09_weighted_mean import weighted_mean

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
