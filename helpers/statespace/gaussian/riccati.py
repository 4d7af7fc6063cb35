"""One step of the covariances of many sets at once, in few operations."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.statespace.gaussian.arrays import add_product, multiply, solve_observed
from helpers.statespace.gaussian.recursion import Advance, Parts, per_step
from helpers.statespace.gaussian.step import (
    observed_pairs,
    observed_rows,
    predict_covariance,
    update_covariance,
)

LARGEST_TABLE = 8  # states: the table of what is affine in P has H² columns and more than H² rows

Moments = Callable[[int, Tensor], tuple[Tensor, ...]]


def riccati_steps(A: Tensor, Q: Tensor, C: Tensor, R: Tensor, seen: Tensor) -> Advance:
    """What `step.predict_covariance` and `step.update_covariance` do, for M sets side by side.

    ::

        P⁻ = A P Aᵀ + Q,   S = C P⁻ Cᵀ + R,   K = P⁻ Cᵀ S⁻¹
        L = P⁻ − K (C P⁻),   P' = L + (K R − L Cᵀ) Kᵀ

    That is Joseph's form, multiplied out: (I − K C) P⁻ (I − K C)ᵀ + K R Kᵀ for any K, so that rounding in K
    does not spoil P'. Of a missing entry, K has a column of zeros; in S it counts as if observed.

    Parameters
    ----------
    A, Q, C, R : Tensor (T, H, H, M or 1), (T, H, H, M or 1), (T, D, H, M or 1) and (T, D, D, M or 1)
    seen : Tensor (T, D, M), bool
        True where observed.

    Returns
    -------
    function (step, (P, ...)) -> P', P⁻, K and S, each (·, ·, M)
    """
    if seen.shape[-1] == 1:
        return _steps_of_one(A, Q, C, R, seen)
    constant = all(part.stride(0) == 0 and part.shape[-1] == 1 for part in (A, Q, C, R))
    moments = _table(A, Q, C, R) if constant and len(A[0]) <= LARGEST_TABLE else _products(A, Q, C, R)
    reads, seen = _readings(C, R, constant), seen.unsqueeze(2).to(A.dtype)
    weights, unseen = ([row.unbind(0) for row in part.unbind(0)] for part in (seen, 1 - seen))

    def advance(step: int, before: Parts) -> Parts:
        predicted, cross, S = moments(step, before[0])
        gain = solve_observed(S, cross, weights[step], unseen[step])
        kept = add_product(predicted, gain, cross, -1)
        return add_product(kept, reads(step, gain, kept), gain.transpose(0, 1)), predicted, gain, S

    return advance


def _steps_of_one(A: Tensor, Q: Tensor, C: Tensor, R: Tensor, seen: Tensor) -> Advance:
    """The equations themselves, where all series share one set of covariances."""
    if bool(seen.all()):
        C, R = C[..., 0], R[..., 0]
    else:
        C, R = observed_rows(C[..., 0], seen[..., 0]), observed_pairs(R[..., 0], seen[..., 0])
    A, Q, C, R = (per_step(matrix) for matrix in (A[..., 0], Q[..., 0], C, R))

    def advance(step: int, before: Parts) -> Parts:
        predicted = predict_covariance(before[0][..., 0], A[step], Q[step])
        filtered, gain, S = update_covariance(predicted, C[step], R[step])
        return tuple(part.unsqueeze(-1) for part in (filtered, predicted, gain, S))

    return advance


def _products(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Moments:
    """P⁻, C P⁻ and S of a step, (·, ·, M) each, from P."""
    A, Q, C, R = (per_step(matrix) for matrix in (A, Q, C, R))

    def moments(step: int, covariance: Tensor) -> tuple[Tensor, ...]:
        predicted = multiply(multiply(A[step], covariance), A[step].transpose(0, 1)) + Q[step]
        cross = multiply(C[step], predicted)
        return predicted, cross, multiply(cross, C[step].transpose(0, 1)) + R[step]

    return moments


def _table(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Moments:
    """The same of a constant model that all sets share: vec P ↦ (P⁻, C P⁻, S) as one product."""
    H, D = A.shape[1], C.shape[1]
    basis = torch.eye(H * H, dtype=A.dtype, device=A.device).view(H, H, H * H)
    of_basis = _products(A[:1], 0 * Q[:1], C[:1], 0 * R[:1])(0, basis)
    of_nothing = _products(A[:1], Q[:1], C[:1], R[:1])(0, 0 * basis[..., :1])
    table, constant = (torch.cat([part.flatten(0, 1) for part in parts]) for parts in (of_basis, of_nothing))
    sizes = [H * H, D * H, D * D]

    def moments(_: int, covariance: Tensor) -> tuple[Tensor, ...]:
        affine = torch.addmm(constant, table, covariance.reshape(H * H, -1))
        predicted, cross, S = torch.split_with_sizes(affine, sizes)
        return predicted.view(H, H, -1), cross.view(D, H, -1), S.view(D, D, -1)

    return moments


def _readings(C: Tensor, R: Tensor, constant: bool) -> Callable[[int, Tensor, Tensor], Tensor]:
    """K R − L Cᵀ of a step, (H, D, M), from K and L: 0, but for rounding."""
    if constant:
        H = C.shape[2]
        C, R = C[0, ..., 0].expand(H, -1, -1), R[0, ..., 0].expand(H, -1, -1)
        return lambda _, gain, kept: torch.baddbmm(torch.bmm(R, gain), C, kept, alpha=-1)
    C, R = per_step(C.transpose(1, 2)), per_step(R)
    return lambda step, gain, kept: add_product(multiply(gain, R[step]), kept, C[step], -1)
