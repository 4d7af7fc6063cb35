"""The Kalman filter: predict, update, and so on."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.covariances import (
    CovarianceRecursion,
    compact,
    covariance_recursion,
    predict_covariance,
    update_covariance,
)
from helpers.statespace.diffuse import Offset, diffuse_directions, integrated, pin
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import whiten
from helpers.statespace.means import as_columns, as_rows, filter_means
from helpers.statespace.observations import drifts, observed
from helpers.statespace.parallel import parallel_means
from helpers.statespace.results import Filtered, Internals

LOG_TWO_PI = math.log(2.0 * math.pi)


def predict(mean: Tensor, covariance: Tensor, A: Tensor, Q: Tensor, drift: Tensor) -> tuple[Tensor, Tensor]:
    r"""Carry a Gaussian belief about the state one step ahead.

    .. math:: m^- = A m + B u, \qquad P^- = A P A^\top + Q
    """
    return (A @ mean.unsqueeze(-1)).squeeze(-1) + drift, predict_covariance(covariance, A, Q)


def update(
    mean: Tensor, covariance: Tensor, y: Tensor, C: Tensor, R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Let an observation correct a Gaussian belief about the state.

    .. math::
        e = y - C m^-, \quad S = C P^- C^\top + R, \quad K = P^- C^\top S^{-1} \\
        m = m^- + K e, \qquad P = (I - K C) P^- (I - K C)^\top + K R K^\top

    Returns m, P, e and S.
    """
    innovation = y - (C @ mean.unsqueeze(-1)).squeeze(-1)
    covariance, gain, innovation_covariance = update_covariance(covariance, C, R)
    mean = mean + (gain @ innovation.unsqueeze(-1)).squeeze(-1)
    return mean, covariance, innovation, innovation_covariance


def kalman_filter(
    model: LinearGaussian,
    y: Tensor,
    mask: Tensor | None = None,
    *,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    parallel: bool = False,
) -> Filtered:
    """Follow the hidden state through what is observed of it, entry by entry.

    Each step is `predict` and then `update`. Covariances do not depend on the data: they are computed once
    for all series that share them, up to where they stop changing (see `recurse`).

    Differentiable in y, inputs and every tensor of the model.

    Parameters
    ----------
    y : Tensor (B, T, D)
        Observations.
    mask : Tensor (B, T, D), bool, optional
        True where observed; any pattern. What stands at a missing entry is never read.
    inputs : Tensor (B, T, U), optional
        u_t; entry 0 is never used.
    lengths : Tensor (B,), integers, optional
        Steps of each series; from there on nothing is observed, and the filter predicts.
    parallel : bool
        Use an associative scan, of depth O(log T), instead of a loop over time: for GPUs.

    Raises
    ------
    ValueError
        Naming the argument whose shape or kind is wrong, the observed entry that is not finite, or the series
        and step whose innovation covariance is not positive definite.

    Source: Kalman (1960), A new approach to linear filtering and prediction problems; Särkkä and Svensson
    (2023), Bayesian filtering and smoothing, theorem 6.6.
    """
    y, mask = observed(model, y, mask, lengths)
    drift = drifts(model, y, inputs)
    recursion = covariance_recursion(model, mask, parallel=parallel).separated()
    columns = _means(model, recursion, y, drift, parallel)
    return _filtered(model, recursion, columns, mask)


def _filtered(
    model: LinearGaussian,
    recursion: CovarianceRecursion,
    columns: tuple[Tensor, Tensor, Tensor],
    mask: Tensor,
) -> Filtered:
    """Put the means beside the covariances."""
    predicted, filtered, innovation = columns
    P_predicted, P_filtered, S = recursion.predicted, recursion.filtered, recursion.innovation_covariance
    step_log_likelihood, offset = evidence(innovation, S, as_columns(mask, recursion.groups == 1), model)
    if offset is not None:
        predicted, P_predicted = pin(predicted, P_predicted, offset.before())
        innovation, S = pin(innovation, S, offset.before())
        filtered, P_filtered = pin(filtered, P_filtered, offset)
    return Filtered(
        as_rows(filtered),
        recursion.by_series(P_filtered),
        as_rows(predicted),
        recursion.by_series(P_predicted),
        as_rows(innovation),
        recursion.by_series(S),
        as_rows(step_log_likelihood.unsqueeze(-2)).squeeze(-1),
        mask,
        Internals(recursion, *columns, offset),
    )


def _means(
    model: LinearGaussian, recursion: CovarianceRecursion, y: Tensor, drift: Tensor | None, parallel: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Filtered means as columns; those of a model with a flat prior are followed by the columns of J."""
    shared = recursion.groups == 1
    initial = as_columns(model.initial_mean.expand(len(y), -1).unsqueeze(1), shared).squeeze(0)
    y = as_columns(y, shared)
    drift = None if drift is None else as_columns(drift, shared)
    if model.diffuse is not None:
        directions = diffuse_directions(model)
        unknown = directions.shape[-1]
        initial = torch.cat([initial, directions.expand(len(initial), -1, -1)], -1)
        y = pad(y, (0, unknown))
        drift = None if drift is None else pad(drift, (0, unknown))
    if parallel:
        return parallel_means(initial, recursion.transition, recursion.observation, recursion.gain, drift, y)
    A, C = (compact(matrix, len(y)) for matrix in (model.transition, model.observation))
    predicted, filtered = filter_means(initial, A, C, recursion.gain, drift, y)
    return predicted, filtered, y - recursion.observation @ predicted


def evidence(
    innovation: Tensor, innovation_covariance: Tensor, mask: Tensor, model: LinearGaussian
) -> tuple[Tensor, Offset | None]:
    r"""The log-likelihood of each step, (T, M, N), and what was learnt about a flat prior.

    .. math:: -\tfrac12 \left( e^\top S^{-1} e + \log |S| + n \log 2\pi \right)
    """
    whitened, log_determinant = whiten(innovation_covariance, innovation)
    series = mask.shape[-1]
    steps = (
        -0.5 * (whitened[..., :series].square() + mask.to(whitened.dtype) * LOG_TWO_PI).sum(-2)
        - 0.5 * log_determinant
    )
    if model.diffuse is None:
        return steps, None
    return integrated(steps, whitened[..., :series], whitened[..., series:], diffuse_directions(model))
