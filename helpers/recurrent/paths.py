"""A gradient as a sum over paths: how many there are, and which of them matter."""

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.recurrent.arguments import check_size


@dataclass(frozen=True, eq=False)
class PathDecomposition:
    """The derivative ∂h_T/∂h_0 of a scalar recurrence, sorted by how its paths go.

    Parameters
    ----------
    counts : tuple of int, T + 1 entries
        Number of paths that take the branch n times, n = 0 … T: T over n, exact.
    contributions : Tensor (..., T + 1)
        What those paths add to the derivative together.
    """

    counts: tuple[int, ...]
    contributions: Tensor

    @property
    def total(self) -> Tensor:
        """∂h_T/∂h_0, the sum over all 2^T paths, shape (...)."""
        return self.contributions.sum(-1)


def path_count(T: int, routes: int = 2) -> int:
    """Return how many paths a gradient has through T steps that each offer `routes` ways.

    Two ways, past the non-linearity or through it, make 2^T paths through a leaky or residual unit; in a
    vanilla network of H units a path chooses among H units at each step, which makes H^T from a unit of h_T
    to all units of h_0.

    Parameters
    ----------
    T : int
        Number of steps.
    routes : int
        Ways per step.

    Raises
    ------
    ValueError
        If either is not a whole number, or T < 0, or routes < 1.
    """
    check_size("T", T, least=0)
    check_size("routes", routes)
    return routes**T


def path_decomposition(skip: Tensor, branch: Tensor) -> PathDecomposition:
    """Sort the 2^T paths of a scalar recurrence's derivative by how often they take the branch.

    ::

        h_t = s_t h_{t-1} + f_t(h_{t-1})
        ∂h_T/∂h_0 = Π_t (s_t + f_t') = Σ_{A ⊆ {1…T}} Π_{t∈A} f_t' Π_{t∉A} s_t

    Each step a path either skips, by the factor s, or takes the branch, by f'. A `LeakyRNN` of one unit has
    s = 1 - α and f' = α w φ'(z_t); a residual network has s = 1; a vanilla one has s = 0, and of its paths
    only one is left. The sums over all A of one size are the coefficients of the polynomial
    Π_t (s_t + f_t' ξ), multiplied out factor by factor: T² operations instead of 2^T.

    Parameters
    ----------
    skip : Tensor () or (..., T)
        s_t.
    branch : Tensor (..., T)
        f_t'(h_{t-1}).

    Raises
    ------
    ValueError
        If `branch` has no time axis, or the shapes do not broadcast to that of `branch`.

    Source: Veit, Wilber and Belongie (2016), Residual networks behave like ensembles of relatively shallow
    networks, NeurIPS.
    """
    skip = _like(skip, branch)
    coefficients = torch.ones_like(branch[..., :0].sum(-1)).unsqueeze(-1)  # the empty product: (..., 1)
    for skip_t, branch_t in zip(skip.unbind(-1), branch.unbind(-1), strict=True):
        skipped, branched = (coefficients * factor.unsqueeze(-1) for factor in (skip_t, branch_t))
        coefficients = pad(skipped, (0, 1)) + pad(branched, (1, 0))
    steps = branch.shape[-1]
    return PathDecomposition(tuple(comb(steps, n) for n in range(steps + 1)), coefficients)


def _like(skip: Tensor, branch: Tensor) -> Tensor:
    """`skip` for every entry of `branch`."""
    if branch.ndim == 0:
        raise ValueError("branch must have shape (..., T): got a scalar")
    try:
        return skip.expand_as(branch)
    except RuntimeError:
        shapes = f"{tuple(skip.shape)} and {tuple(branch.shape)}"
        raise ValueError(f"skip must broadcast to the shape of branch: got {shapes}") from None
