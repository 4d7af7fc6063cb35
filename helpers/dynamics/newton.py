"""Damped Newton steps for a whole batch of starts: each sample has its own damping and its own fate."""

from collections.abc import Callable

import torch
from torch import Tensor

POLL_EVERY = 8
"""Steps between two looks at which samples have come to rest."""

LARGEST_DAMPING = 1e12
"""A sample that takes no step with less damping than this lies at a minimum of ‖F‖, up to round-off."""


def least_norm(
    function: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], Tensor],
    starts: Tensor,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """From each start (B, D), descend to a nearby zero of F, or else minimum of ‖F‖.

    Returns where each sample is after at most `max_steps` (rounded up to a multiple of eight), and whether
    it came to rest there, (B,).
    """
    states, damping = starts.clone(), torch.ones_like(starts[:, 0])
    moving = torch.arange(len(starts), device=starts.device)
    for _ in range(0, max_steps, POLL_EVERY):
        states[moving], damping[moving] = descend(function, jacobian, states[moving], damping[moving])
        at_rest = is_zero(states, function(states), tolerance) | (damping > LARGEST_DAMPING)
        moving = (~at_rest).nonzero().squeeze(-1)
        if not len(moving):
            break
    return states, at_rest


def descend(
    function: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], Tensor],
    states: Tensor,
    damping: Tensor,
) -> tuple[Tensor, Tensor]:
    """Take eight damped steps towards a zero of F, and adapt each sample's damping μ (B,).

    ::

        (JᵀJ + μ ‖F‖ 1) d = -Jᵀ F,   h ← h + d   where that lowers ‖F‖; if so μ ← μ/4, else μ ← 4μ
    """
    values = function(states)
    for _ in range(POLL_EVERY):
        candidates = states + _damped_newton_step(values, jacobian(states), damping)
        candidate_values = function(candidates)
        better = norm(candidate_values) < norm(values)  # False for NaN
        states = torch.where(better[:, None], candidates, states)
        values = torch.where(better[:, None], candidate_values, values)
        damping = torch.where(better, damping / 4, damping * 4)
    return states, damping


def norm(values: Tensor) -> Tensor:
    """Euclidean norm (B,) of the rows of (B, D)."""
    return torch.linalg.vector_norm(values, dim=-1)


def scale(states: Tensor) -> Tensor:
    """1 + max |h| (B,): what an absolute error is measured against."""
    return 1 + states.abs().amax(-1)


def is_zero(states: Tensor, values: Tensor, tolerance: float) -> Tensor:
    """Where ‖F‖ ≤ tolerance · (1 + max |h|), as a mask (B,)."""
    return norm(values) <= tolerance * scale(states)


def _damped_newton_step(values: Tensor, matrices: Tensor, damping: Tensor) -> Tensor:
    """d of (JᵀJ + μ ‖F‖ 1) d = -Jᵀ F, (B, D)."""
    transposed = matrices.mT
    ridge = (damping * norm(values))[:, None, None] * torch.eye(values.shape[-1]).to(values)
    factor, _ = torch.linalg.cholesky_ex(transposed @ matrices + ridge)
    return torch.cholesky_solve(-transposed @ values[..., None], factor).squeeze(-1)
