"""Checks of the exercises of chapter 04, recurrent networks as dynamical systems: one module per exercise."""

from helpers.checks.chapter_04.embedding import census, delay_vectors
from helpers.checks.chapter_04.euler import euler_rnn
from helpers.checks.chapter_04.exploring import edge_of_chaos, largest_exponent
from helpers.checks.chapter_04.exponent import lyapunov_exponent
from helpers.checks.chapter_04.folding import fold
from helpers.checks.chapter_04.newton import newton
from helpers.checks.chapter_04.reading import cobweb_figure, four_maps
from helpers.checks.chapter_04.slow_points import outcomes
from helpers.checks.chapter_04.spectrum import lyapunov_spectrum
from helpers.checks.chapter_04.stability import stability

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
