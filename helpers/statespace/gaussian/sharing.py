"""The filter in two halves: covariances, once for all series that may share them; then every series' means.

How uncertain the state is depends on what is observed, never on the values. So series with the same model
and the same missing entries have the same covariances and gains.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from helpers.statespace.gaussian.data import Observations, input_effect
from helpers.statespace.gaussian.diffuse import initial_covariance
from helpers.statespace.gaussian.digits import check_digits
from helpers.statespace.gaussian.fused import fused_steps, is_fusible
from helpers.statespace.gaussian.means import Moments, affine_loop, filter_means
from helpers.statespace.gaussian.model import LinearGaussian, matrices_over_time
from helpers.statespace.gaussian.recursion import Advance, Parts, recurse
from helpers.statespace.gaussian.scan import affine_scan, scan_covariances
from helpers.statespace.gaussian.step import (
    observed_pairs,
    observed_rows,
    predict_covariance,
    update_covariance,
)
from helpers.statespace.matrices import symmetric


@dataclass(frozen=True, eq=False)
class Covariances:
    """Covariances and gains over time: M = 1 set where all series share them, else M = B.

    Attributes
    ----------
    transition, observation : Tensor (T, M or 1, H, H) and (T, M, D, H)
        A_t and C_t; a row of C_t that belongs to a missing entry is 0.
    predicted, filtered : Tensor (T, M, H, H)
        Of h_t before and after y_t.
    gain : Tensor (T, M, H, D)
        K_t; a column that belongs to a missing entry is 0.
    innovation : Tensor (T, M, D, D)
        S_t; the rows and columns of missing entries are those of the identity.
    """

    transition: Tensor
    observation: Tensor
    predicted: Tensor
    filtered: Tensor
    gain: Tensor
    innovation: Tensor

    @property
    def shared(self) -> bool:
        """Whether all series share them."""
        return self.filtered.shape[1] == 1


def filter_in_halves(model: LinearGaussian, data: Observations, parallel: bool = False) -> Moments:
    """Covariances first, then means; `parallel` uses associative scans for both."""
    covariances = shared_covariances(model, data.mask, parallel)
    effect = input_effect(model, data.inputs)
    recursion = affine_scan if parallel else affine_loop
    means = filter_means(model, covariances.observation, covariances.gain, data.y, effect, recursion)
    return Moments(*means, covariances.predicted, covariances.filtered, covariances.innovation)


def shared_covariances(model: LinearGaussian, mask: Tensor, parallel: bool = False) -> Covariances:
    """Predict and update the covariances of every group of series that share them.

    Parameters
    ----------
    mask : Tensor (B, T, D), bool
        True where observed.
    parallel : bool
        Use an associative scan instead of a loop.

    Raises
    ------
    ValueError
        Naming series, step and smallest eigenvalue of an innovation covariance that is not positive definite.
    """
    first_of_group, group = _group(model, mask)
    seen = mask[first_of_group].transpose(0, 1)  # (T, G, D)
    A, Q, C, R = matrices_over_time(model, len(seen))  # (T, G or 1, ·, ·)
    C = observed_rows(C, seen)
    initial = initial_covariance(model).expand(len(first_of_group), -1, -1)
    if parallel:
        recursion = scan_covariances(initial, A, Q, C, observed_pairs(R, seen))
    else:
        recursion = _loop(model, initial, (A, Q, C, R), seen)
    filtered, predicted, gain, innovation = recursion
    check_digits(A, C, predicted, innovation, first_of_group)
    stacks = C, symmetric(predicted), symmetric(filtered), gain, innovation
    return Covariances(A, *(_spread(stack, group) for stack in stacks))


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
    return stack if stack.shape[1] in (1, len(group)) else stack[:, group]


def _loop(model: LinearGaussian, initial: Tensor, matrices: tuple[Tensor, ...], seen: Tensor) -> Parts:
    """Filtered and predicted covariances, gains and innovation covariances, each (T, G, ·, ·)."""
    A, Q, C, R = matrices
    filtered, *rest = update_covariance(initial, C[0], observed_pairs(R[0], seen[0]))
    first = filtered, initial, *rest
    changed, differentiable = _map_changes(model, seen), _wants_gradient(model)
    if is_fusible(model):
        return recurse(first, partial(fused_steps, model), (seen,), changed, differentiable)
    maps = A, Q, C, observed_pairs(R, seen)
    return recurse(first, _predict_and_update, maps, changed, differentiable)


def _predict_and_update(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Advance:
    """The step of every model, with the matrices (T, G or 1, ·, ·)."""
    A, Q, C, R = (matrix.unbind(0) for matrix in (A, Q, C, R))

    def advance(step: int, before: Parts) -> Parts:
        predicted = predict_covariance(before[0], A[step], Q[step])
        filtered, gain, innovation = update_covariance(predicted, C[step], R[step])
        return filtered, predicted, gain, innovation

    return advance


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
