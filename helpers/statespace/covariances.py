"""The half of the Kalman filter that needs no data: covariances and gains, shared by all who may.

How uncertain the state is depends on what is observed, never on the values. So series with the same model
and the same missing entries have the same covariances and gains, computed once.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from helpers.arguments import refuse_where
from helpers.statespace.diffuse import diffuse_directions
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import is_positive_definite, symmetric
from helpers.statespace.recursion import Advance, Moments, recurse


def predict_covariance(covariance: Tensor, A: Tensor, Q: Tensor) -> Tensor:
    r"""Uncertainty one step ahead, :math:`P^- = A P A^\top + Q`."""
    return A @ covariance @ A.mT + Q


def update_covariance(covariance: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Uncertainty after an observation, in Joseph's form: a sum of two positive semi-definite matrices.

    .. math::
        S = C P^- C^\top + R, \quad K = P^- C^\top S^{-1}, \quad
        P = (I - K C) P^- (I - K C)^\top + K R K^\top

    Returns P, the gain K and S. The shorter P⁻ - K C P⁻ is a difference, and loses its sign to rounding.

    Source: Bucy and Joseph (1968), Filtering for stochastic processes with applications to guidance, p. 141.
    """
    cross = C @ covariance
    innovation_covariance = cross @ C.mT + R
    gain = torch.linalg.solve_ex(innovation_covariance, cross).result.mT
    kept = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device) - gain @ C
    return kept @ covariance @ kept.mT + gain @ R @ gain.mT, gain, innovation_covariance


@dataclass(frozen=True, eq=False)
class CovarianceRecursion:
    """Covariances and gains of G groups of series, over time.

    Parameters
    ----------
    transition, observation : Tensor (T, G, H, H) and (T, G, D, H)
        A_t and C_t; a row of C_t that belongs to a missing entry is 0.
    predicted, filtered : Tensor (T, G, H, H)
        Covariance of h_t before and after y_t.
    gain : Tensor (T, G, H, D)
        K_t; a column that belongs to a missing entry is 0.
    innovation_covariance : Tensor (T, G, D, D)
        S_t; the rows and columns of missing entries are those of the identity.
    group : Tensor (B,), integers
        Which group each series belongs to.
    """

    transition: Tensor
    observation: Tensor
    predicted: Tensor
    filtered: Tensor
    gain: Tensor
    innovation_covariance: Tensor
    group: Tensor

    @property
    def groups(self) -> int:
        """G, how many recursions there are."""
        return self.filtered.shape[1]

    def by_series(self, stack: Tensor) -> Tensor:
        """A stack (T, G, ...) as one entry per series, (B, T, ...); a view where one group has all series."""
        return spread(stack, self.group).transpose(0, 1)

    def separated(self) -> "CovarianceRecursion":
        """The same with one group for all series, or else one for each."""
        if self.groups == 1:
            return self
        names = ("transition", "observation", "predicted", "filtered", "gain", "innovation_covariance")
        each = {name: spread(getattr(self, name), self.group) for name in names}
        return replace(self, **each, group=torch.arange(len(self.group), device=self.group.device))


def spread(stack: Tensor, group: Tensor) -> Tensor:
    """One entry per series, (T, B, ...), of what groups share, (T, G, ...)."""
    if stack.shape[1] == 1:
        return stack.expand(-1, len(group), *stack.shape[2:])
    if stack.shape[1] == len(group):
        return stack
    return stack[:, group]


def covariance_recursion(
    model: LinearGaussian, mask: Tensor, *, parallel: bool = False
) -> CovarianceRecursion:
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
    from helpers.statespace.parallel import parallel_covariances  # which updates covariances itself

    representative, group = share(model, mask)
    seen = mask[representative].transpose(0, 1)  # (T, G, D)
    initial = initial_covariance(model).expand(len(representative), -1, -1)
    if parallel:
        predicted, filtered, gain, S = parallel_covariances(initial, *model_matrices(model, seen))
    else:
        filtered, predicted, gain, S = _step_by_step(model, initial, seen)
    check_innovations(S, representative)
    A, C = (time_first(matrix, len(seen)) for matrix in (model.transition, model.observation))
    return CovarianceRecursion(
        A, visible_rows(C, seen), symmetric(predicted), symmetric(filtered), gain, S, group
    )


def _step_by_step(model: LinearGaussian, initial: Tensor, seen: Tensor) -> Moments:
    """Filtered and predicted covariances, gains and innovation covariances, each (T, G, ...)."""
    from helpers.statespace.fused import fused_steps, may_fuse  # which predict covariances themselves

    C, R = (time_first(matrix, len(seen))[0] for matrix in (model.observation, model.observation_covariance))
    filtered, *rest = update_covariance(initial, visible_rows(C, seen[0]), visible_pairs(R, seen[0]))
    first = filtered, initial, *rest
    changed, differentiable = _changed(model, seen), _wants_gradient(model)
    if may_fuse(model):
        return recurse(first, partial(fused_steps, model), (seen,), changed, differentiable)
    return recurse(first, plain_steps, model_matrices(model, seen), changed, differentiable)


def model_matrices(model: LinearGaussian, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A, Q, C and R in time, (T, G or 1, ...), where nothing missing is in sight.

    A missing entry has a row of zeros in C, and in R its own unit variance: it says nothing of the state.

    Parameters
    ----------
    seen : Tensor (T, G, D), bool
        True where observed.
    """
    names = ("transition", "transition_covariance", "observation", "observation_covariance")
    A, Q, C, R = (time_first(getattr(model, name), len(seen)) for name in names)
    return A, Q, visible_rows(C, seen), visible_pairs(R, seen)


def visible_rows(C: Tensor, seen: Tensor) -> Tensor:
    """C (..., D, H) with zeros in the rows of missing entries."""
    return torch.where(seen.unsqueeze(-1), C, 0.0)


def visible_pairs(R: Tensor, seen: Tensor) -> Tensor:
    """R (..., D, D) with rows and columns of the identity for missing entries."""
    identity = torch.eye(seen.shape[-1], dtype=R.dtype, device=R.device)
    return torch.where(seen.unsqueeze(-1) & seen.unsqueeze(-2), R, identity)


def plain_steps(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Advance:
    """Predict, then update, with the matrices (T, G or 1, ...) of each step."""
    A, Q, C, R = (matrix.unbind(0) for matrix in (A, Q, C, R))

    def advance(step: int, before: Moments) -> Moments:
        predicted = predict_covariance(before[0], A[step], Q[step])
        filtered, gain, innovation_covariance = update_covariance(predicted, C[step], R[step])
        return filtered, predicted, gain, innovation_covariance

    return advance


def _changed(model: LinearGaussian, seen: Tensor) -> Tensor:
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


def share(model: LinearGaussian, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Which series stands for each group (G,), and the group of each series (B,)."""
    series = len(mask)
    each = torch.arange(series, device=mask.device)
    if model.has_own_covariances:
        return each, each
    if bool((mask == mask[:1]).all()):
        return each[:1], torch.zeros_like(each)
    patterns, group = torch.unique(mask.flatten(1), dim=0, return_inverse=True)
    if len(patterns) == series:
        return each, each
    representative = torch.zeros(len(patterns), dtype=torch.int64, device=mask.device)
    return representative.scatter_reduce(0, group, each, "amin", include_self=False), group


def time_first(matrix: Tensor, steps: int) -> Tensor:
    """A model's matrix (...), (T, ...) or (B, T, ...) as a sequence (T, B or 1, ...)."""
    match matrix.ndim:
        case 2:
            sequence = matrix[None, None]
        case 3:
            sequence = matrix.unsqueeze(1)
        case _:
            sequence = matrix.transpose(0, 1)
    return sequence.expand(steps, -1, -1, -1)


def compact(matrix: Tensor, steps: int) -> Tensor:
    """A model's matrix as one matrix (rows, columns) if it is constant and shared, else (T, B or 1, ...)."""
    is_one = matrix.shape[:-2].numel() == 1
    return matrix.reshape(matrix.shape[-2:]) if is_one else time_first(matrix, steps)


def initial_covariance(model: LinearGaussian) -> Tensor:
    """P_0, shape (B or 1, H, H), with a variance J Jᵀ added in the diffuse directions (see `diffuse`)."""
    covariance = model.known_initial_covariance
    if model.diffuse is not None:
        directions = diffuse_directions(model)
        covariance = covariance + directions @ directions.T
    return covariance if covariance.ndim == 3 else covariance.unsqueeze(0)


def check_innovations(innovation_covariance: Tensor, representative: Tensor) -> None:
    """Refuse an innovation covariance (T, G, D, D) that is not positive definite."""
    failed = ~is_positive_definite(innovation_covariance)
    refuse_where(
        failed.T,
        lambda g, t: (
            "the innovation covariance C P C' + R must be positive definite: "
            f"series {representative[g].item()} at step {t} has smallest eigenvalue "
            f"{torch.linalg.eigvalsh(innovation_covariance.detach()[t, g])[0].item():.3g}"
        ),
    )
