"""The covariance recursion of a small constant model, in few operations per step.

With 4 states a step's arithmetic is nothing; what costs is the number of tensor operations.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.covariances import predict_covariance
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.recursion import Moments

LARGEST = 8  # states: the table below has H² rows and more than H² columns


def may_fuse(model: LinearGaussian) -> bool:
    """Whether the model is constant, shared by all series, and small."""
    return model.steps is None and not model.has_own_covariances and model.state_size <= LARGEST


def fused_steps(model: LinearGaussian, seen: Tensor) -> Callable:
    r"""Predict, then update, as one affine map of P, one solve, and one product.

    .. math::
        \mathrm{vec}\, P \mapsto \left( \mathrm{diag}(P^-, R),\; C P^-,\; S \right), \qquad
        K = P^- C^\top S^{-1}, \qquad J = (I - K C,\; K), \qquad P' = J\, \mathrm{diag}(P^-, R)\, J^\top

    Joseph's form, with C and R shared by all series: of a missing entry, K has a column of zeros.

    Parameters
    ----------
    seen : Tensor of bool, shape (T, G, D)
        True where observed.
    """
    names = ("transition", "transition_covariance", "observation", "observation_covariance")
    A, Q, C, R = (getattr(model, name).reshape(getattr(model, name).shape[-2:]) for name in names)
    H, D = model.state_size, model.observation_size
    sizes = [(H + D) ** 2, D * H, D * D]
    table, constant = _affine(A, Q, C, R)
    identity = torch.eye(H + D, dtype=A.dtype, device=A.device)
    subtract = torch.cat([-C, identity[H:, H:]], 1)  # K ↦ (-K C, K)
    keep = identity[:H].repeat(seen.shape[1], 1)
    rows, pairs, missing = (part.unbind(0) for part in _masks(seen, A.dtype))

    def advance(step: int, before: Moments) -> Moments:
        moments = torch.addmm(constant, before[0].view(-1, H * H), table)
        noises, cross, S = torch.split_with_sizes(moments, sizes, 1)
        noises = noises.view(-1, H + D, H + D)
        cross = cross.view(-1, D, H) * rows[step]
        S = torch.addcmul(missing[step], S.view(-1, D, D), pairs[step])
        gain = torch.linalg.solve_ex(S, cross).result.mT
        joseph = torch.addmm(keep, gain.reshape(-1, D), subtract).view(-1, H, H + D)
        filtered = torch.bmm(torch.bmm(joseph, noises), joseph.mT)
        return filtered, noises[:, :H, :H], gain, S

    return advance


def _affine(A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of vec P as a table, one row per entry of P, and a constant."""
    H = len(A)
    basis = torch.eye(H * H, dtype=A.dtype, device=A.device).unflatten(1, (H, H))
    table = _moments(basis, A, torch.zeros_like(Q), C, torch.zeros_like(R))
    return table, _moments(torch.zeros_like(Q), A, Q, C, R)


def _moments(covariance: Tensor, A: Tensor, Q: Tensor, C: Tensor, R: Tensor) -> Tensor:
    """diag(P⁻, R), C P⁻ and S of matrices P (..., H, H), flattened and side by side."""
    H, D = len(Q), len(R)
    predicted = predict_covariance(covariance, A, Q)
    cross = C @ predicted
    noises = pad(predicted, (0, D, 0, D)) + pad(R, (H, 0, H, 0))
    return torch.cat([part.flatten(-2) for part in (noises, cross, cross @ C.mT + R)], -1)


def _masks(seen: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """1 in observed rows, 1 in observed pairs, 1 on the diagonal where not observed: (T, G, D, 1 or D)."""
    rows = seen.unsqueeze(-1).to(dtype)
    return rows, rows * rows.mT, torch.diag_embed((~seen).to(dtype))
