"""Eigenvalues of fixed points, and what they are called."""

import torch
from torch import Tensor

from helpers.dynamics.systems import System

MARGINAL = "marginal"
STABLE = "stable"
SADDLE = "saddle"
UNSTABLE = "unstable"


def eigenvalues_by_growth(system: System, jacobian: Tensor) -> Tensor:
    """Complex eigenvalues (B, D) of Jacobians (B, D, D), the fastest growing first."""
    eigenvalues = torch.linalg.eigvals(jacobian)
    order = system.growth(eigenvalues).argsort(dim=-1, descending=True, stable=True)
    return eigenvalues.gather(-1, order)


def stability_labels(growth: Tensor) -> tuple[str, ...]:
    """Name each fixed point by the growth of its eigenvectors (B, D).

    `stable` where all decay, `unstable` where all grow, `saddle` where some do; `marginal` where one
    does neither (|growth| < √ε, which round-off could turn either way) and none grows.
    """
    tolerance = torch.finfo(growth.dtype).eps ** 0.5
    grows, decays = growth > tolerance, growth < -tolerance
    return tuple(map(_label, grows.any(-1).tolist(), grows.all(-1).tolist(), decays.all(-1).tolist()))


def _label(any_grows: bool, all_grow: bool, all_decay: bool) -> str:
    if all_decay:
        return STABLE
    if all_grow:
        return UNSTABLE
    return SADDLE if any_grows else MARGINAL
