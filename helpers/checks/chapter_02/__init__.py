"""Checks of the exercises of chapter 02, the state-space view: one module per exercise."""

from helpers.checks.chapter_02.discretisation import discretise
from helpers.checks.chapter_02.exploring import steady_gain
from helpers.checks.chapter_02.gain import gain
from helpers.checks.chapter_02.hidden_markov import hmm_rnn
from helpers.checks.chapter_02.joseph import posterior_covariance
from helpers.checks.chapter_02.missing_entries import update
from helpers.checks.chapter_02.reading import four_filters, innovation_figure
from helpers.checks.chapter_02.unrolling import contributions

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
