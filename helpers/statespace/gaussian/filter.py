"""The Kalman filter: predict, update, predict, update."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from helpers.series import IrregularBatch
from helpers.statespace.gaussian.data import (
    Observations,
    check_observations,
    input_effect,
    without_intercept,
)
from helpers.statespace.gaussian.diffuse import (
    DiffusePosterior,
    include_diffuse,
    initial_covariance,
    initial_means,
    marginalise,
    pad_for_directions,
    start_nearer,
)
from helpers.statespace.gaussian.digits import check_digits
from helpers.statespace.gaussian.means import Moments, as_columns, as_rows, by_series
from helpers.statespace.gaussian.model import LinearGaussian, matrices_over_time
from helpers.statespace.gaussian.sharing import filter_in_halves
from helpers.statespace.gaussian.step import (
    log_density,
    observed_pairs,
    observed_rows,
    predict,
    update,
)
from helpers.statespace.matrices import symmetric, whiten


@dataclass(frozen=True, eq=False)
class Filtered:
    """What is known of the state from the past and the present, step by step.

    Covariances that all series share are stored once and repeated as a view: clone before you write in them.

    Attributes
    ----------
    mean, covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_t.
    predicted_mean, predicted_covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_{t-1}.
    innovation : Tensor (B, T, D)
        y_t minus its prediction C m⁻ + d; 0 where y is missing.
    innovation_covariance : Tensor (B, T, D, D)
        S_t; the rows and columns of missing entries are those of the identity.
    step_log_likelihood : Tensor (B, T)
        log p(y_t | y_0 … y_{t-1}); 0 where nothing was observed.
    mask : Tensor (B, T, D), bool
        True where y was observed.
    model : LinearGaussian
        What was filtered with.
    moments : Moments
        What the smoother reads instead: the same, but shared, and given δ where the prior is flat.
    diffuse : DiffusePosterior or None
        What is known of δ after each step, where the prior is flat.
    """

    mean: Tensor
    covariance: Tensor
    predicted_mean: Tensor
    predicted_covariance: Tensor
    innovation: Tensor
    innovation_covariance: Tensor
    step_log_likelihood: Tensor
    mask: Tensor
    model: LinearGaussian
    moments: Moments
    diffuse: DiffusePosterior | None

    @property
    def log_likelihood(self) -> Tensor:
        """log p(y_0 … y_{T-1}) of each series, shape (B,)."""
        return self.step_log_likelihood.sum(-1)


def kalman_filter(
    model: LinearGaussian,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    *,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    parallel: bool = False,
    plain: bool = False,
) -> Filtered:
    """Follow the hidden state through what is observed of it, entry by entry.

    Each step is `predict` and then `update`, as `filter_step_by_step` writes them one after the other.
    Covariances do not depend on the data: unless told otherwise, they are computed once for all series that
    share them, up to where they stop changing (see `filter_in_halves`).

    Where readings tell nearly all of a variance, what is left of it is a difference: of several states or
    sensors, a prior 10ⁿ times above the noise costs n digits. A flat prior (`LinearGaussian.diffuse`) costs
    none; from where a quarter of the digits would be left, a warning says so.

    Differentiable in y, inputs and every tensor of the model.

    Parameters
    ----------
    y : Tensor (B, T, D), or IrregularBatch
        Observations. A batch brings its mask and lengths; its times are not read: gaps are
        in a model `from_sde`.
    mask : Tensor (B, T, D), bool, optional
        True where observed; any pattern. What stands at a missing entry is never read.
    inputs : Tensor (B, T, U), optional
        u_t; entry 0 is never used.
    lengths : Tensor (B,), integers, optional
        Steps of each series; from there on nothing is observed, and the filter predicts.
    parallel : bool
        Use an associative scan, of depth O(log T), instead of a loop over time: for GPUs.
    plain : bool
        Run the plain loop: what all other ways are checked against.

    Raises
    ------
    ValueError
        Naming the argument whose shape or kind is wrong, the observed entry that is not finite, or the series
        and step whose innovation covariance is not positive definite.

    Source: Kalman (1960), A new approach to linear filtering and prediction problems; Särkkä and Svensson
    (2023), Bayesian filtering and smoothing, theorem 6.6.
    """
    if parallel and plain:
        raise ValueError("parallel and plain exclude each other: got both")
    data = check_observations(model, y, mask, inputs, lengths)
    return filter_observations(model, data, parallel=parallel, plain=plain)


def filter_observations(
    model: LinearGaussian, data: Observations, *, parallel: bool = False, plain: bool = False
) -> Filtered:
    """`kalman_filter` of data that have been checked."""
    data = without_intercept(model, data)
    run = _filter_whole if plain else partial(filter_in_halves, parallel=parallel)
    moments, start = run(model, data), None
    if model.diffuse is not None:
        nearer = start_nearer(model, moments.innovation, moments.innovation_covariance, len(data.y))
        moments, start = (moments, None) if nearer is None else (run(nearer[0], data), nearer[1])
    return _summarise(model, data, moments, start)


def filter_step_by_step(
    model: LinearGaussian, y: Tensor, seen: Tensor, effect: Tensor, mean: Tensor, covariance: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], ...]:
    """The plain loop: update, predict, update, predict, update.

    Parameters
    ----------
    y, seen : Tensor (T, N, B, D) and (T, B, D), bool
        Observations, 0 where missing, and where they are not.
    effect : Tensor (T, N, B, H)
        What inputs add to the state.
    mean, covariance : Tensor (N, B, H) and (B, H, H)
        Of h_0. N is 1; with a flat prior 1 + k, the mean and k columns that are filtered like it, on
        data of 0 (see `diffuse`).

    Returns
    -------
    predicted, filtered, innovations : list of T pairs, a Tensor (N, B, ·) and a Tensor (B, ·, ·)
        Mean and covariance of each step.
    """
    A, Q, C, R = matrices_over_time(model, len(y))  # (T, B or 1, ·, ·)
    C, R = observed_rows(C, seen), observed_pairs(R, seen)  # (T, B, D, H) and (T, B, D, D)
    predicted, filtered, innovations = [], [], []
    for t in range(len(y)):
        if t > 0:
            mean, covariance = predict(mean, covariance, A[t], Q[t], effect[t])
        predicted.append((mean, covariance))
        mean, covariance, innovation, innovation_covariance = update(mean, covariance, y[t], C[t], R[t])
        filtered.append((mean, covariance))
        innovations.append((innovation, innovation_covariance))
    return predicted, filtered, innovations


def _filter_whole(model: LinearGaussian, data: Observations) -> Moments:
    """The plain loop's moments; a column of a flat prior is filtered like a mean, on data of 0."""
    series, steps = data.y.shape[:2]
    y, effect = pad_for_directions(model, data.y), input_effect(model, data.inputs)
    effect = data.y.new_zeros(series, steps, model.state_size) if effect is None else effect
    beliefs = filter_step_by_step(
        model,
        y.permute(2, 0, 1, 3),
        data.mask.transpose(0, 1),
        pad_for_directions(model, effect).permute(2, 0, 1, 3),
        initial_means(model, series),
        initial_covariance(model).expand(series, -1, -1),
    )
    means, covariances = zip(*(_stack(pairs) for pairs in beliefs), strict=True)
    A, _, C, _ = matrices_over_time(model, steps)
    C = observed_rows(C, data.mask.transpose(0, 1))
    check_digits(A, C, covariances[0], covariances[2], torch.arange(series))
    return Moments(*means, symmetric(covariances[0]), symmetric(covariances[1]), covariances[2])


def _stack(steps: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Vectors (N, B, n) and matrices (B, n, n) of T steps, as columns (T, B, n, N) and (T, B, n, n)."""
    vectors, matrices = zip(*steps, strict=True)
    return torch.stack(vectors).permute(0, 2, 3, 1), torch.stack(matrices)


def _summarise(model: LinearGaussian, data: Observations, moments: Moments, start: Tensor | None) -> Filtered:
    """Moments by series, each step's log-likelihood, and what a flat prior adds."""
    series, shared = len(data.y), moments.innovation_covariance.shape[1] == 1
    seen = as_columns(data.mask, shared)  # (T, M, D, N)
    predicted = moments.predicted, moments.predicted_covariance
    filtered = moments.filtered, moments.filtered_covariance
    innovation = moments.innovation, moments.innovation_covariance
    whitened, log_determinant = whiten(innovation[1], innovation[0])
    steps, diffuse = log_density(whitened[..., : seen.shape[-1]], log_determinant, seen), None
    if model.diffuse is not None:
        steps, diffuse = marginalise(model, steps, whitened, start)
        filtered = include_diffuse(*filtered, diffuse)
        predicted = include_diffuse(*predicted, diffuse.one_step_earlier())
        innovation = include_diffuse(*innovation, diffuse.one_step_earlier())
    return Filtered(
        mean=as_rows(filtered[0]),
        covariance=by_series(filtered[1], series),
        predicted_mean=as_rows(predicted[0]),
        predicted_covariance=by_series(predicted[1], series),
        innovation=as_rows(innovation[0]),
        innovation_covariance=by_series(innovation[1], series),
        step_log_likelihood=as_rows(steps.unsqueeze(-2)).squeeze(-1),
        mask=data.mask,
        model=model,
        moments=moments,
        diffuse=diffuse,
    )
