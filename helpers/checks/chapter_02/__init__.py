"""Checks of the exercises of chapter 02, the state-space view: one module per exercise."""

from helpers.checks.chapter_02.e01_gain import gain
from helpers.checks.chapter_02.e02_update import update
from helpers.checks.chapter_02.e03_posterior_covariance import posterior_covariance
from helpers.checks.chapter_02.e04_contributions import contributions
from helpers.checks.chapter_02.e05_hmm_rnn import hmm_rnn
from helpers.checks.chapter_02.e06_discretise import discretise
from helpers.checks.chapter_02.e07_innovation_figure import four_filters, innovation_figure
from helpers.checks.chapter_02.e08_steady_gain import steady_gain

__all__ = [
    "contributions",
    "discretise",
    "four_filters",
    "gain",
    "hmm_rnn",
    "innovation_figure",
    "posterior_covariance",
    "steady_gain",
    "update",
]
