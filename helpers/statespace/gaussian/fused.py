"""The covariance recursion of a small constant model, in few operations per step.

With 4 states a step's arithmetic is nothing; what costs is the number of tensor operations.
"""

import torch
from torch import Tensor

from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.recursion import Advance, Parts
from helpers.statespace.gaussian.step import predict_covariance

LARGEST_FUSED = 8  # states: the table below has H² rows and more than H² columns


def is_fusible(model: LinearGaussian) -> bool:
    """Whether the model is constant, shared by all series, and small."""
    return model.steps is None and not model.has_own_covariances and model.state_size <= LARGEST_FUSED


def fused_steps(model: LinearGaussian, seen: Tensor) -> Advance:
    """What `step.predict_covariance` and `step.update_covariance` do, with all that is affine as one product.

    ::

        vec P ↦ (P⁻, C P⁻, S),   K = P⁻ Cᵀ S⁻¹,   P' = (I − K C) P⁻ (I − K C)ᵀ + K R Kᵀ

    Joseph's form, with C and R shared by all series: of a missing entry, K has a column of zeros.

    Parameters
    ----------
    seen : Tensor (T, G, D), bool
        True where observed.

    Returns
    -------
    function (step, (P, ...)) -> P', P⁻, K and S
    """
    names = ("transition", "transition_covariance", "observation", "observation_covariance")
    A, Q, C, R = (getattr(model, name).reshape(getattr(model, name).shape[-2:]) for name in names)
    H, D = model.state_size, model.observation_size
    sizes = [H * H, D * H, D * D]
    table, constant = _affine_table(A, Q, C, R)
    identity = torch.eye(H, dtype=A.dtype, device=A.device).repeat(seen.shape[1], 1)
    rows, pairs, missing = _masks(seen, A.dtype)

    def advance(step: int, before: Parts) -> Parts:
        moments = torch.addmm(constant, before[0].view(-1, H * H), table)
        predicted, cross, S = torch.split_with_sizes(moments, sizes, 1)
        predicted = predicted.view(-1, H, H)
        S = torch.addcmul(missing[step], S.view(-1, D, D), pairs[step])
        gain = _gain(cross.view(-1, D, H) * rows[step], S)
        flat = gain.reshape(-1, D)
        kept = torch.addmm(identity, flat, C, alpha=-1).view(-1, H, H)
        noise = torch.bmm((flat @ R).view(-1, H, D), gain.mT)
        filtered = torch.baddbmm(noise, torch.bmm(kept, predicted.mT), kept.mT)
        return filtered, predicted, gain, S

    return advance


def _gain(cross: Tensor, S: Tensor) -> Tensor:
    """K = (C P⁻)ᵀ S⁻¹, written out for one or two observations: LAPACK would take many small calls."""
    match len(S[0]):
        case 1:
            return (cross / S).mT
        case 2:
            first, second = cross.unbind(1)
            variance, covariance, _, other = S.flatten(1).unsqueeze(-1).unbind(1)
            slope = covariance / variance
            second = (second - slope * first) / (other - slope * covariance)
            return torch.stack([(first - covariance * second) / variance, second], -1)
        case _:
            return torch.linalg.solve_ex(S, cross).result.mT


def _affine_table(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of vec P as a table, one row per entry of P, and a constant."""
    H = len(A)
    basis = torch.eye(H * H, dtype=A.dtype, device=A.device).unflatten(1, (H, H))
    table = _affine_part(basis, A, torch.zeros_like(Q), C, torch.zeros_like(R))
    return table, _affine_part(torch.zeros_like(Q), A, Q, C, R)


def _affine_part(covariance: Tensor, A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Tensor:
    """P⁻, C P⁻ and S of matrices P (..., H, H), flattened and side by side."""
    predicted = predict_covariance(covariance, A, Q)
    cross = C @ predicted
    return torch.cat([part.flatten(-2) for part in (predicted, cross, cross @ C.mT + R)], -1)


def _masks(seen: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """1 in observed rows, 1 in observed pairs, 1 on the diagonal where not observed: (T, G, D, 1 or D)."""
    rows = seen.unsqueeze(-1).to(dtype)
    return rows, rows * rows.mT, torch.diag_embed((~seen).to(dtype))
