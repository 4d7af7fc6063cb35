"""One language for maps and flows: where they rest, where that changes, and how fast nearby states part."""

from helpers.dynamics.bifurcations import Bifurcation
from helpers.dynamics.continuation import Branch, continuation
from helpers.dynamics.embedding import (
    DelayEmbedding,
    delay_embedding,
    delay_vectors,
    false_neighbours,
    first_minimum,
    mutual_information,
)
from helpers.dynamics.fixed_points import MARGINAL, SADDLE, STABLE, UNSTABLE, FixedPoints, fixed_points
from helpers.dynamics.lyapunov import LyapunovSpectrum, ftle, lyapunov_spectrum
from helpers.dynamics.manifolds import stable_manifold
from helpers.dynamics.random_networks import circular_law_exponents, mean_field_exponent
from helpers.dynamics.systems import Flow, Map, jacobian, semigroup_defect

__all__ = [
    "MARGINAL",
    "SADDLE",
    "STABLE",
    "UNSTABLE",
    "Bifurcation",
    "Branch",
    "DelayEmbedding",
    "FixedPoints",
    "Flow",
    "LyapunovSpectrum",
    "Map",
    "circular_law_exponents",
    "continuation",
    "delay_embedding",
    "delay_vectors",
    "false_neighbours",
    "first_minimum",
    "fixed_points",
    "ftle",
    "jacobian",
    "lyapunov_spectrum",
    "mean_field_exponent",
    "mutual_information",
    "semigroup_defect",
    "stable_manifold",
]
