"""The smoother: what the whole series says about each state."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.gaussian.adjoint import adjoint, adjoint_loop, gain_of, with_nothing_after
from helpers.statespace.gaussian.arrays import product
from helpers.statespace.gaussian.diffuse import diffuse_covariance, include_diffuse
from helpers.statespace.gaussian.filter import Filtered
from helpers.statespace.gaussian.means import Moments, as_rows, by_series
from helpers.statespace.gaussian.model import LinearGaussian, matrices_over_time
from helpers.statespace.gaussian.scan import adjoint_scan
from helpers.statespace.matrices import symmetric

NEGLIGIBLE = 64  # units in the last place of the filtered variance below which a state is known exactly


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
        P̄_t = P_t + G_t (P̄_{t+1} − P⁻_{t+1}) G_tᵀ,   Cov(h_{t+1}, h_t | y) = P̄_{t+1} G_tᵀ

    is computed without G, since P⁻ may be singular (AR(p), compartments without noise) and G then is not
    bounded. With r⁺ and N⁺, what the future says about h_t (see `adjoint`)::

        m̄_t = m_t + P_t r⁺_t,   P̄_t = P_t − P_t N⁺_t P_t
        Cov(h_{t+1}, h_t | y) = (I − P⁻_{t+1} N_{t+1}) A_{t+1} P_t

    Where the future says nearly everything, as after a vague start, that difference has few digits left, and
    a step with G is taken (see `_by_steps_back`).

    Differentiable in all that `filtered` depends on.

    Parameters
    ----------
    filtered : Filtered
        What `kalman_filter` made of the same model.
    parallel : bool
        Use an associative scan instead of a loop over time.

    Raises
    ------
    ValueError
        If `filtered` came from another model.

    Source: Rauch, Tung and Striebel (1965), AIAA Journal 3(8); Durbin and Koopman (2012), Time series
    analysis by state space methods, section 4.4.
    """
    _check_model(model, filtered)
    moments, series = filtered.moments, len(filtered.mean)
    run = adjoint_scan if parallel else adjoint_loop
    mean, covariance, lag_covariance = _by_steps_back(model, moments, filtered.mask, run)
    if filtered.diffuse is not None:
        final = filtered.diffuse.at_the_end()
        carried = mean[..., final.mean.shape[-1] :]
        lag_covariance = lag_covariance + diffuse_covariance(carried[1:], carried[:-1], final)
        mean, covariance = include_diffuse(mean, covariance, final)
    lag_covariance = pad(lag_covariance, (0, 0) * 3 + (1, 0))
    return Smoothed(as_rows(mean), by_series(covariance, series), by_series(lag_covariance, series))


def _by_adjoint(
    model: LinearGaussian, moments: Moments, mask: Tensor, run: Callable
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means, covariances, lag covariances (T - 1, ...), and how large rounding in P N⁺ P may be.

    A covariance is at most H times its diagonal, as matrices are ordered. So the last, (T - 1, M, H), is
    diag(P Aᵀ D A P) with D_t = diag(N_t) + E_t diag(N_{t+1}) E_tᵀ, beside the unit in the last place.
    """
    A, _, C, _ = matrices_over_time(model, len(mask[0]))
    P, predicted, S = moments.filtered_covariance, moments.predicted_covariance, moments.innovation_covariance
    seen = mask[: S.shape[1]].permute(1, 2, 0).contiguous().movedim(-1, 1).unsqueeze(-1)
    gain = gain_of(S, product(C, predicted), seen)
    future = adjoint(A, C, seen, gain, S, moments.innovation, run)
    onward = product(A[1:], P[:-1])
    informed = product(future.N[1:], onward)
    mean = moments.filtered + with_nothing_after(product(onward.mT, future.r[1:]))
    covariance = symmetric(P - with_nothing_after(product(onward.mT, informed)))
    with torch.no_grad():
        size = future.N.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        size = size + product(future.back.square(), with_nothing_after(size[1:]))
        size = product(onward.square().mT, size[1:]).squeeze(-1)
    return mean, covariance, onward - product(predicted[1:], informed), size


def _by_steps_back(
    model: LinearGaussian, moments: Moments, mask: Tensor, run: Callable
) -> tuple[Tensor, Tensor, Tensor]:
    """What `_by_adjoint` gives, but for steps at which P − P N⁺ P has lost a quarter of its digits.

    There, G leads back from the next state::

        P̄_t = (I − G_t A_{t+1}) P_t (I − G_t A_{t+1})ᵀ + G_t Q_{t+1} G_tᵀ + G_t P̄_{t+1} G_tᵀ

    unless such steps amplify more rounding (see `_rounding`) than was in the difference.
    """
    mean, covariance, lag_covariance, size = _by_adjoint(model, moments, mask, run)
    few = _few_digits(moments, covariance, size)  # (T - 1, M, 1, 1)
    if not few.any():
        return mean, covariance, lag_covariance
    stop = int(few.flatten(1).any(-1).nonzero()[-1]) + 1
    head, few = slice(stop + 1), few[:stop]
    gain, shift, own = _look_back(model, moments, stop)
    gain = with_nothing_after(torch.where(few, gain, 0.0))
    shift = torch.cat([torch.where(few, shift, mean[:stop]), mean[stop : stop + 1]])
    own = torch.cat([torch.where(few, own, covariance[:stop]), covariance[stop : stop + 1]])
    stepped_mean, stepped = run(gain, shift, own)
    worst = size[:stop] / _variances(stepped[:stop])
    better = few & (_rounding(gain, stepped, run)[:stop] < worst.amax(-1))[..., None, None]
    lagged = stepped[1:] @ gain[:-1].mT
    better_until_stop = torch.cat([better, torch.zeros_like(better[:1])])
    return (
        torch.cat([torch.where(better_until_stop, stepped_mean, mean[head]), mean[stop + 1 :]]),
        torch.cat(
            [torch.where(better_until_stop, symmetric(stepped), covariance[head]), covariance[stop + 1 :]]
        ),
        torch.cat([torch.where(better, lagged, lag_covariance[:stop]), lag_covariance[stop:]]),
    )


@torch.no_grad()
def _few_digits(moments: Moments, covariance: Tensor, size: Tensor) -> Tensor:
    """Whether a variance of a state that is not known exactly has lost a quarter of its digits."""
    eps = torch.finfo(size.dtype).eps
    before, after = (
        part[:-1].diagonal(dim1=-2, dim2=-1) for part in (moments.filtered_covariance, covariance)
    )
    lost = (after < eps**0.25 * size) & (size > NEGLIGIBLE * eps * before)
    return lost.any(-1)[..., None, None]


@torch.no_grad()
def _rounding(gain: Tensor, stepped: Tensor, run: Callable) -> Tensor:
    """How much the steps back amplify rounding, relative to the variances, (T, M).

    Of a covariance P̄, rounding is at most of the order of diag(P̄), as matrices are ordered: so D is, with
    D_t = G_t D_{t+1} G_tᵀ + diag(P̄_t).
    """
    variances = _variances(stepped)
    _, amplified = run(gain, gain[..., :0], torch.diag_embed(variances))
    return (_variances(amplified) / variances).amax(-1)


def _variances(covariance: Tensor) -> Tensor:
    """The diagonal, above 0 so that one may divide by it."""
    variance = covariance.detach().diagonal(dim1=-2, dim2=-1)
    return variance.clamp(min=torch.finfo(variance.dtype).tiny)


def _look_back(model: LinearGaussian, moments: Moments, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Joseph's form with the next state for an observation: G, m − G m⁻, (I − G A) P (I − G A)ᵀ + G Q Gᵀ."""
    A, Q, _, _ = matrices_over_time(model, len(moments.filtered))
    A, Q, P = A[1 : stop + 1], Q[1 : stop + 1], moments.filtered_covariance[:stop]
    gain = _divide(P @ A.mT, moments.predicted_covariance[1 : stop + 1])
    kept = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - gain @ A
    shift = moments.filtered[:stop] - gain @ moments.predicted[1 : stop + 1]
    return gain, shift, symmetric(kept @ P @ kept.mT + gain @ Q @ gain.mT)


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


def _check_model(model: LinearGaussian, filtered: Filtered) -> None:
    """Refuse a filter's result that belongs to a model with other values."""
    own = filtered.model
    if model is own:
        return
    for field in fields(model):
        ours, theirs = getattr(model, field.name), getattr(own, field.name)
        if ours is theirs or (ours is not None and theirs is not None and _equal(ours, theirs)):
            continue
        raise ValueError(
            f"filtered must be what kalman_filter made of model: got a result of another {field.name}"
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two fields are the same, where NaN stands beside NaN (a flat prior's entries are not read)."""
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())
