"""One step of the covariances of many series at once."""

import torch
from torch import Tensor

from helpers.statespace.gaussian.arrays import add_product, product, solve
from helpers.statespace.gaussian.recursion import Advance, Parts
from helpers.statespace.gaussian.step import (
    observed_pairs,
    observed_rows,
    predict_covariance,
    update_covariance,
)


def riccati_steps(A: Tensor, Q: Tensor, C: Tensor, R: Tensor, seen: Tensor) -> Advance:
    """What `step.predict_covariance` and `step.update_covariance` do, for M sets side by side.

    ::

        P⁻ = A P Aᵀ + Q,   S = C P⁻ Cᵀ + R,   K = P⁻ Cᵀ S⁻¹
        L = P⁻ − K (C P⁻),   P' = L + (K R − L Cᵀ) Kᵀ

    That is Joseph's form, multiplied out: (I − K C) P⁻ (I − K C)ᵀ + K R Kᵀ for any K, so that rounding in K
    does not spoil P'. C and R may be shared by all series: of a missing entry, K has a column of zeros.

    Parameters
    ----------
    A, Q, C, R : Tensor (T, M or 1, H, H), (T, M or 1, H, H), (T, M or 1, D, H) and (T, M or 1, D, D)
    seen : Tensor (T, M, D), bool
        True where observed.

    Returns
    -------
    function (step, (P, ...)) -> P', P⁻, K and S
    """
    if seen.shape[1] == 1:
        return _steps_of_one(A, Q, C, R, seen)
    A, Q, C, R = (matrix.unbind(0) for matrix in (A, Q, C, R))
    rows = seen.unsqueeze(-1).to(A[0].dtype)
    pairs = seen.unsqueeze(-1) & seen.unsqueeze(-2)
    identity = torch.eye(seen.shape[-1], dtype=A[0].dtype, device=seen.device)

    def advance(step: int, before: Parts) -> Parts:
        predicted = product(product(A[step], before[0]), A[step].mT) + Q[step]
        cross = product(C[step], predicted) * rows[step]
        S = torch.where(pairs[step], product(cross, C[step].mT) + R[step], identity)
        gain = solve(S, cross).mT
        kept = add_product(predicted, gain, cross, -1)
        slope = product(gain, R[step]) - product(kept, C[step].mT)
        return add_product(kept, slope, gain.mT), predicted, gain, S

    return advance


def _steps_of_one(A: Tensor, Q: Tensor, C: Tensor, R: Tensor, seen: Tensor) -> Advance:
    """The equations themselves, where all series share one set of covariances."""
    C, R = observed_rows(C, seen), observed_pairs(R, seen)
    A, Q, C, R = (matrix[:, 0].unbind(0) for matrix in (A, Q, C, R))

    def advance(step: int, before: Parts) -> Parts:
        predicted = predict_covariance(before[0][0], A[step], Q[step])
        filtered, gain, S = update_covariance(predicted, C[step], R[step])
        return tuple(part.unsqueeze(0) for part in (filtered, predicted, gain, S))

    return advance
