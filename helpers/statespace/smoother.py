"""The smoother: what the whole series says about each state."""

from itertools import repeat

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.covariances import CovarianceRecursion, compact
from helpers.statespace.diffuse import pin, spread_of
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import symmetric
from helpers.statespace.means import affine_scan, as_rows
from helpers.statespace.parallel import parallel_adjoint
from helpers.statespace.recursion import Advance, Moments, recurse
from helpers.statespace.results import Filtered, Smoothed

STRETCH = 64  # steps whose matrices are worked on together, so that they stay in the processor's cache


def rts_smoother(model: LinearGaussian, filtered: Filtered, *, parallel: bool = False) -> Smoothed:
    r"""Let the future correct what the past has said.

    .. math::
        G_t = P_t A_{t+1}^\top (P^-_{t+1})^{-1}, \qquad \bar m_t = m_t + G_t (\bar m_{t+1} - m^-_{t+1}), \\
        \bar P_t = (I - G_t A_{t+1}) P_t (I - G_t A_{t+1})^\top + G_t Q_{t+1} G_t^\top
        + G_t \bar P_{t+1} G_t^\top, \qquad \mathrm{Cov}(h_{t+1}, h_t \mid y) = \bar P_{t+1} G_t^\top

    The covariance is a sum of positive semi-definite matrices, as in Joseph's form of the filter, where the
    usual :math:`P_t + G_t (\bar P_{t+1} - P^-_{t+1}) G_t^\top` is a difference.

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
    kept = filtered.internals
    steps = len(kept.filtered)
    A, Q = (compact(matrix, steps) for matrix in (model.transition, model.transition_covariance))
    gain, own = smoothing_gains(kept.recursion, A, Q)
    still = kept.filtered - gain @ pad(kept.predicted[1:], (0, 0) * 3 + (0, 1))
    if parallel:
        mean, covariance = parallel_adjoint(gain, still, own)
    else:
        mean = affine_scan(gain.flip(0), still.flip(0)).flip(0)
        covariance = _covariances(gain.flip(0), own.flip(0)).flip(0)
    covariance = symmetric(covariance)
    lag_covariance = covariance[1:] @ gain[:-1].mT
    if kept.offset is not None:
        final = kept.offset[-1:]
        carried = mean[..., final.mean.shape[-1] :]
        lag_covariance = lag_covariance + spread_of(carried[1:], carried[:-1], final)
        mean, covariance = pin(mean, covariance, final)
    by_series = kept.recursion.by_series
    return Smoothed(as_rows(mean), by_series(covariance), by_series(pad(lag_covariance, (0, 0) * 3 + (1, 0))))


def smoothing_gains(recursion: CovarianceRecursion, A: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    r"""G_t, 0 at the last step, and how uncertain h_t is when h_{t+1} is known, P_T at the last step.

    A predicted covariance may be singular (VARMA, states without noise); then any generalised inverse serves,
    since the columns of :math:`A P` lie in its range.
    """
    P, predicted = recursion.filtered, recursion.predicted
    matrices = (repeat(matrix) if matrix.ndim == 2 else matrix[1:].split(STRETCH) for matrix in (A, Q))
    stretches = zip(P[:-1].split(STRETCH), predicted[1:].split(STRETCH), *matrices, strict=False)
    gain, own = zip(*(_look_back(*stretch) for stretch in stretches), strict=True)
    return torch.cat([*gain, torch.zeros_like(P[-1:])]), torch.cat([*own, P[-1:]])


def _look_back(P: Tensor, predicted: Tensor, A: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    r"""Joseph's form with the next state for an observation: :math:`G`, and
    :math:`(I - G A) P (I - G A)^\top + G Q G^\top`.
    """
    gain = divide(P @ A.mT, predicted)
    kept = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - gain @ A
    return gain, kept @ P.mT @ kept.mT + gain @ Q @ gain.mT


def divide(rows: Tensor, covariance: Tensor) -> Tensor:
    r"""X with X P = B, for B (..., H, H) whose rows lie in the range of P, which may be singular.

    .. math:: X \leftarrow X + (B - X P) (P + \epsilon D)^{-1}

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

    def advance(step: int, later: Moments) -> Moments:
        return (torch.baddbmm(own_steps[step], gains[step] @ later[0].mT, gains[step].mT),)

    return advance
