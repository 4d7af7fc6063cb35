"""The filter in two halves: covariances, once for all series that may share them; then every series' means.

How uncertain the state is depends on what is observed, never on the values. So series with the same model
and the same missing entries have the same covariances and gains.
"""

import torch
from torch import Tensor

from helpers.statespace.gaussian.arrays import sets_first, sets_last
from helpers.statespace.gaussian.data import Observations, input_effect
from helpers.statespace.gaussian.diffuse import initial_covariance
from helpers.statespace.gaussian.digits import check_digits
from helpers.statespace.gaussian.means import Covariances, Moments, affine_loop, filter_means
from helpers.statespace.gaussian.model import LinearGaussian, matrices_over_time
from helpers.statespace.gaussian.recursion import Parts, recurse
from helpers.statespace.gaussian.riccati import riccati_steps
from helpers.statespace.gaussian.scan import affine_scan, scan_covariances
from helpers.statespace.gaussian.step import (
    observed_pairs,
    observed_rows,
    update_covariance,
)
from helpers.statespace.matrices import symmetric


def filter_in_halves(model: LinearGaussian, data: Observations, parallel: bool = False) -> Moments:
    """Covariances first, then means; `parallel` uses associative scans for both."""
    covariances = shared_covariances(model, data.mask, parallel)
    effect = input_effect(model, data.inputs)
    recursion = affine_scan if parallel else affine_loop
    means = filter_means(model, covariances, data.y, effect, recursion)
    return Moments(*means, covariances.predicted, covariances.filtered, covariances.innovation)


def shared_covariances(
    model: LinearGaussian, mask: Tensor, parallel: bool = False, gains_only: bool = False
) -> Covariances:
    """Predict and update the covariances of every group of series that share them.

    Parameters
    ----------
    mask : Tensor (B, T, D), bool
        True where observed.
    parallel : bool
        Use an associative scan instead of a loop.
    gains_only : bool
        Keep K and S alone.

    Raises
    ------
    ValueError
        Naming series, step and smallest eigenvalue of an innovation covariance that is not positive definite.
    """
    first_of_group, group = _group(model, mask)
    seen = mask[first_of_group].permute(1, 2, 0).contiguous().movedim(-1, 1)  # (T, G, D)
    matrices = tuple(_lay_out(matrix) for matrix in matrices_over_time(model, len(seen)))
    initial = initial_covariance(model).expand(len(first_of_group), -1, -1)
    if parallel:
        A, Q, C, R = matrices
        parts = scan_covariances(initial, A, Q, observed_rows(C, seen), observed_pairs(R, seen))
    else:
        parts = _loop(model, initial, matrices, seen, slice(1, 4) if gains_only else slice(4))
    predicted, gain, innovation = parts[-3:]
    innovation = observed_pairs(innovation, seen)
    check_digits(matrices[0], observed_rows(matrices[2], seen), predicted, innovation, first_of_group)
    states = [None, None] if gains_only else [symmetric(_spread(part, group)) for part in parts[:2]]
    spread = (_spread(part, group) for part in (seen.unsqueeze(-1), gain, innovation))
    return Covariances(matrices[0], matrices[2], *spread, *states)


def _group(model: LinearGaussian, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The first series of each group that shares its covariances (G,), and the group of each series (B,)."""
    each = torch.arange(len(mask), device=mask.device)
    if model.has_own_covariances:
        return each, each
    if bool((mask == mask[:1]).all()):
        return each[:1], torch.zeros_like(each)
    patterns, group = torch.unique(mask.flatten(1), dim=0, return_inverse=True)
    if len(patterns) == len(mask):
        return each, each
    first = torch.zeros(len(patterns), dtype=torch.int64, device=mask.device)
    return first.scatter_reduce(0, group, each, "amin", include_self=False), group


def _spread(stack: Tensor, group: Tensor) -> Tensor:
    """What G groups share (T, G, ...), unless one group has all series or each its own: (T, B, ...)."""
    return stack if stack.shape[1] in (1, len(group)) else stack.movedim(1, -1)[..., group].movedim(-1, 1)


def _lay_out(matrix: Tensor) -> Tensor:
    """A sequence (T, M or 1, ·, ·) with the sets of each step side by side."""
    if matrix.stride(0) == 0:
        return sets_first(sets_last(matrix[:1])).expand(len(matrix), -1, -1, -1)
    return sets_first(sets_last(matrix))


def _loop(
    model: LinearGaussian, initial: Tensor, matrices: tuple[Tensor, ...], seen: Tensor, kept: slice
) -> Parts:
    """Filtered and predicted covariances, gains and innovation covariances, each (T, G, ·, ·)."""
    _, _, C, R = matrices
    filtered, *rest = update_covariance(initial, observed_rows(C[0], seen[0]), observed_pairs(R[0], seen[0]))
    first = tuple(sets_last(part) for part in (filtered, initial, *rest))
    maps = tuple(part.movedim(1, -1) for part in (*matrices, seen))
    changed, differentiable = _map_changes(model, seen), _wants_gradient(model)
    parts = recurse(first, riccati_steps, maps, changed, differentiable, kept)
    return tuple(sets_first(part) for part in parts)


def _map_changes(model: LinearGaussian, seen: Tensor) -> Tensor:
    """Whether each step after the first has another map than the one before, (T - 1,)."""
    if model.steps is not None:
        return torch.ones(len(seen) - 1, dtype=torch.bool, device=seen.device)
    return (seen[1:] != seen[:-1]).flatten(1).any(-1)


def _wants_gradient(model: LinearGaussian) -> bool:
    matrices = (
        model.transition,
        model.observation,
        model.transition_covariance,
        model.observation_covariance,
        model.initial_covariance,
    )
    return torch.is_grad_enabled() and any(matrix.requires_grad for matrix in matrices)
