"""The smoother: what the whole series says about each state."""

from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.gaussian.diffuse import diffuse_covariance, include_diffuse
from helpers.statespace.gaussian.filter import Filtered
from helpers.statespace.gaussian.means import affine_loop, as_rows, by_series
from helpers.statespace.gaussian.model import LinearGaussian, compact
from helpers.statespace.gaussian.recursion import Advance, Parts, recurse
from helpers.statespace.gaussian.scan import adjoint_scan
from helpers.statespace.matrices import symmetric

LONGEST_STRETCH = 64  # steps that are worked on together, so that they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Smoothed:
    """What is known of the state from the whole series.

    Attributes
    ----------
    mean, covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_{T-1}.
    lag_covariance : Tensor (B, T, H, H)
        Of h_t with h_{t-1} given y_0 … y_{T-1}; 0 at step 0.
    """

    mean: Tensor
    covariance: Tensor
    lag_covariance: Tensor


def rts_smoother(model: LinearGaussian, filtered: Filtered, *, parallel: bool = False) -> Smoothed:
    """Let the future correct what the past has said.

    ::

        G_t = P_t A_{t+1}ᵀ (P⁻_{t+1})⁻¹,   m̄_t = m_t + G_t (m̄_{t+1} − m⁻_{t+1})
        P̄_t = (I − G_t A_{t+1}) P_t (I − G_t A_{t+1})ᵀ + G_t Q_{t+1} G_tᵀ + G_t P̄_{t+1} G_tᵀ
        Cov(h_{t+1}, h_t | y) = P̄_{t+1} G_tᵀ

    The covariance is a sum of positive semi-definite matrices, as in Joseph's form of the filter, where the
    usual P_t + G_t (P̄_{t+1} − P⁻_{t+1}) G_tᵀ is a difference.

    Differentiable in all that `filtered` depends on.

    Parameters
    ----------
    filtered : Filtered
        What `kalman_filter` made of the same model.
    parallel : bool
        Use an associative scan instead of a loop over time.

    Source: Rauch, Tung and Striebel (1965), AIAA Journal 3(8); Särkkä and Svensson (2023), Bayesian filtering
    and smoothing, theorem 12.2.
    """
    moments, series = filtered.moments, len(filtered.mean)
    gain, own = _gains(model, moments.filtered_covariance, moments.predicted_covariance)
    shift = moments.filtered - gain @ pad(moments.predicted[1:], (0, 0) * 3 + (0, 1))
    if parallel:
        mean, covariance = adjoint_scan(gain, shift, own)
    else:
        mean = affine_loop(gain.flip(0), shift.flip(0)).flip(0)
        covariance = _covariances(gain.flip(0), own.flip(0)).flip(0)
    covariance = symmetric(covariance)
    lag_covariance = covariance[1:] @ gain[:-1].mT
    if filtered.diffuse is not None:
        final = filtered.diffuse.at_the_end()
        carried = mean[..., final.mean.shape[-1] :]
        lag_covariance = lag_covariance + diffuse_covariance(carried[1:], carried[:-1], final)
        mean, covariance = include_diffuse(mean, covariance, final)
    lag_covariance = pad(lag_covariance, (0, 0) * 3 + (1, 0))
    return Smoothed(as_rows(mean), by_series(covariance, series), by_series(lag_covariance, series))


def _gains(model: LinearGaussian, filtered: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """G_t, 0 at the last step, and how uncertain h_t is when h_{t+1} is known, P_T at the last step.

    A predicted covariance may be singular (VARMA, states without noise); then any generalised inverse serves,
    since the columns of A P lie in its range.
    """
    matrices = (compact(matrix, len(filtered)) for matrix in (model.transition, model.transition_covariance))
    matrices = (
        repeat(matrix) if matrix.ndim == 2 else matrix[1:].split(LONGEST_STRETCH) for matrix in matrices
    )
    covariances = (stack.split(LONGEST_STRETCH) for stack in (filtered[:-1], predicted[1:]))
    stretches = zip(*covariances, *matrices, strict=False)
    gain, own = zip(*(_look_back(*stretch) for stretch in stretches), strict=True)
    return torch.cat([*gain, torch.zeros_like(filtered[-1:])]), torch.cat([*own, filtered[-1:]])


def _look_back(P: Tensor, predicted: Tensor, A: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Joseph's form with the next state for an observation: G, and (I − G A) P (I − G A)ᵀ + G Q Gᵀ."""
    gain = _divide(P @ A.mT, predicted)
    kept = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - gain @ A
    return gain, kept @ P.mT @ kept.mT + gain @ Q @ gain.mT


def _divide(rows: Tensor, covariance: Tensor) -> Tensor:
    """X with X P = B, for B (..., H, H) whose rows lie in the range of P, which may be singular.

    ::

        X ← X + (B − X P) (P + ε D)⁻¹

    with D the diagonal of P and ε 32 units in the last place: what the ridge spoils, two corrections restore.
    """
    shape = rows.shape
    rows, covariance = rows.flatten(0, -3), covariance.flatten(0, -3)
    scale = covariance.diagonal(dim1=-2, dim2=-1)
    scale = torch.where(scale > 0, scale, 1.0).rsqrt().unsqueeze(-1)
    correlation, scaled = scale * covariance * scale.mT, rows * scale.mT
    ridge = 32 * torch.finfo(rows.dtype).eps * torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    inverse = torch.linalg.inv_ex(correlation + ridge).inverse
    quotient = scaled @ inverse
    for _ in range(2):
        quotient = torch.baddbmm(quotient, torch.baddbmm(scaled, quotient, correlation.mT, alpha=-1), inverse)
    return (quotient * scale.mT).view(shape)


def _covariances(gain: Tensor, own: Tensor) -> Tensor:
    """Smoothed covariances of all steps, the last step first."""
    moved = (gain[1:] != gain[:-1]) | (own[1:] != own[:-1])
    changed = moved.flatten(1).any(-1)
    differentiable = torch.is_grad_enabled() and (gain.requires_grad or own.requires_grad)
    return recurse((own[0],), _backwards, (gain, own), changed, differentiable)[0]


def _backwards(gain: Tensor, own: Tensor) -> Advance:
    gains, own_steps = gain.unbind(0), own.unbind(0)

    def advance(step: int, later: Parts) -> Parts:
        return (torch.baddbmm(own_steps[step], gains[step] @ later[0].mT, gains[step].mT),)

    return advance
