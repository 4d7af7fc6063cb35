"""Checks of the exercises of chapter 04, recurrent networks as dynamical systems: one module per exercise."""

from helpers.checks.chapter_04.e01_stability import stability
from helpers.checks.chapter_04.e02_fold import fold
from helpers.checks.chapter_04.e03_newton import newton
from helpers.checks.chapter_04.e04_outcomes import outcomes
from helpers.checks.chapter_04.e05_euler_rnn import euler_rnn
from helpers.checks.chapter_04.e06_lyapunov_exponent import lyapunov_exponent
from helpers.checks.chapter_04.e07_lyapunov_spectrum import lyapunov_spectrum
from helpers.checks.chapter_04.e08_cobweb_figure import cobweb_figure, four_maps
from helpers.checks.chapter_04.e09_delay_vectors import census, delay_vectors
from helpers.checks.chapter_04.e10_edge_of_chaos import edge_of_chaos, largest_exponent

__all__ = [
    "census",
    "cobweb_figure",
    "delay_vectors",
    "edge_of_chaos",
    "euler_rnn",
    "fold",
    "four_maps",
    "largest_exponent",
    "lyapunov_exponent",
    "lyapunov_spectrum",
    "newton",
    "outcomes",
    "stability",
]
