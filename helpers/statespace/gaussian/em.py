"""Expectation and maximisation for linear-Gaussian models: smooth, then regress."""

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.ascent import Fitted, ascend
from helpers.statespace.gaussian.data import Observations
from helpers.statespace.gaussian.filter import Filtered, filter_observations
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.smoother import Smoothed, rts_smoother
from helpers.statespace.gaussian.step import apply
from helpers.statespace.matrices import symmetric


@torch.no_grad()
def fit_by_em(
    model: LinearGaussian,
    data: Observations,
    learn: Collection[str],
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """Filter, smooth and regress in turn; the log-likelihood never falls. Arguments are those of `fit`."""
    _check_separable(model, learn)

    def evaluate(model: LinearGaussian) -> Filtered:
        return filter_observations(model, data)

    def improve(model: LinearGaussian, filtered: Filtered) -> LinearGaussian:
        return maximise(model, rts_smoother(model, filtered), data, learn)

    return ascend(model, evaluate, improve, iterations, tolerance, progress)


def _check_separable(model: LinearGaussian, learn: Collection[str]) -> None:
    """Refuse what no single regression learns: a matrix beside a noise that changes over time.

    Raises
    ------
    ValueError
        Naming the matrix and the covariance.
    """
    for names, covariance in (
        (("transition", "input", "transition_covariance"), "transition_covariance"),
        (("observation", "observation_covariance"), "observation_covariance"),
    ):
        for name in names:
            if name in learn and (matrix := getattr(model, covariance)).ndim > 2:
                raise ValueError(
                    f"EM learns {name} only beside a constant {covariance}: got shape {tuple(matrix.shape)}; "
                    'method="gradient" has no such limit'
                )


def maximise(
    model: LinearGaussian, smoothed: Smoothed, data: Observations, learn: Collection[str]
) -> LinearGaussian:
    """The model that makes the smoothed states, and y with them, most likely: one M-step.

    ::

        θ' = argmax E[log p(h, y; θ) | y; θ_old]

    Matrices are least-squares regressions, of h_t on h_{t-1} and u_t and of y_t on h_t; covariances are the
    mean squares of what those leave over. The states of a series end with its last observation. The fields
    that `learn` does not name stay.

    Source: Shumway and Stoffer (1982), An approach to time series smoothing and forecasting using the EM
    algorithm, Journal of Time Series Analysis 3(4); Holmes (2013), Derivation of an EM algorithm for
    constrained and unconstrained multivariate autoregressive state-space models, arXiv:1302.3919 (missing
    entries under correlated noise).
    """
    seen = data.mask.any(-1)  # (B, T)
    ahead = seen.flip(1).cummax(1).values.flip(1)  # True up to the last observation
    learned = {}
    if not {"transition", "input", "transition_covariance"}.isdisjoint(learn):
        learned |= _transition(model, smoothed, data.inputs, ahead[:, 1:], learn)
    if not {"observation", "observation_covariance"}.isdisjoint(learn):
        learned |= _observation(model, smoothed, data, seen, learn)
    if not {"initial_mean", "initial_covariance"}.isdisjoint(learn):
        learned |= _initial(model, smoothed, ahead[:, 0], learn)
    return replace(model, **{name: learned[name] for name in learn})


def _transition(
    model: LinearGaussian, smoothed: Smoothed, inputs: Tensor | None, weight: Tensor, learn: Collection[str]
) -> dict[str, Tensor]:
    """A, B and Q from the residuals e_t = h_t − A h_{t-1} − B u_t.

    The residuals of the old A and B, regressed on z_t = (h_{t-1}, u_t), give what to add to them.
    """
    A, lag = _into(model.transition), smoothed.lag_covariance[:, 1:]
    before, P_before = smoothed.mean[:, :-1], smoothed.covariance[:, :-1]
    u = before[..., :0] if inputs is None else inputs[:, 1:]
    e = smoothed.mean[:, 1:] - apply(A, before)
    if inputs is not None:
        e = e - apply(_into(model.input), u)
    H, U = before.shape[-1], u.shape[-1]
    z = torch.cat([before, u], -1)
    free = torch.tensor(["transition" in learn] * H + ["input" in learn] * U, device=z.device)
    change = _regression(
        e,
        z,
        pad(lag - A @ P_before, (0, U)),
        pad(P_before, (0, U, 0, U)),
        weight,
        free,
        "transition or input",
    )
    A, e = A + change[:, :H], e - apply(change, z)
    carried = A @ lag.mT
    spread = smoothed.covariance[:, 1:] - carried - carried.mT + A @ P_before @ A.mT
    return {
        "transition": model.transition + change[:, :H],
        "input": None if inputs is None else model.input + change[:, H:],
        "transition_covariance": _mean_square(e, spread, weight),
    }


def _observation(
    model: LinearGaussian, smoothed: Smoothed, data: Observations, weight: Tensor, learn: Collection[str]
) -> dict[str, Tensor]:
    """C and R from the residuals e_t = y_t − C h_t, of which missing entries are imputed.

    With G_t = R_{·o} R_{oo}⁻¹ for the observed entries o, and 0 for the others::

        e_t | h_t, y_{t,o} ~ N(G_t (y_t − C h_t), R − G_t R)
    """
    R, C = model.observation_covariance, model.observation
    G = _imputation(R, data.mask)  # (B, T, D, D)
    mean, P = smoothed.mean, smoothed.covariance
    e = apply(G, data.y - apply(C, mean))
    imputed = G @ C
    free = torch.tensor(["observation" in learn] * mean.shape[-1], device=mean.device)
    change = _regression(e, mean, -imputed @ P, P, weight, free, "observation")
    left = change + imputed
    return {
        "observation": C + change,
        "observation_covariance": _mean_square(
            e - apply(change, mean), left @ P @ left.mT + R - G @ R, weight
        ),
    }


def _initial(
    model: LinearGaussian, smoothed: Smoothed, weight: Tensor, learn: Collection[str]
) -> dict[str, Tensor]:
    """m_0 and P_0: the mean of the first states, and their mean square about it."""
    first = smoothed.mean[:, 0]
    m0 = (
        (first * weight.unsqueeze(-1)).sum(0) / weight.sum()
        if "initial_mean" in learn
        else model.initial_mean
    )
    e, spread = (first - m0).unsqueeze(1), smoothed.covariance[:, :1]
    return {"initial_mean": m0, "initial_covariance": _mean_square(e, spread, weight.unsqueeze(1))}


def _regression(
    e: Tensor,
    z: Tensor,
    covariance_e_z: Tensor,
    covariance_z: Tensor,
    weight: Tensor,
    free: Tensor,
    name: str,
) -> Tensor:
    """Coefficients E[e zᵀ] E[z zᵀ]⁻¹ of the free entries of z."""
    crossed = _total(_outer(e, z) + covariance_e_z, weight)[:, free]
    squared = _total(_outer(z, z) + covariance_z, weight)[free][:, free]
    solution, failed = torch.linalg.solve_ex(squared, crossed.mT)
    if failed.any():
        raise ValueError(f"{name} cannot be learned: the second moments of what it multiplies are singular")
    coefficients = e.new_zeros(e.shape[-1], len(free))
    coefficients[:, free] = solution.mT
    return coefficients


def _imputation(R: Tensor, mask: Tensor) -> Tensor:
    """G for each step, (B, T, D, D): found once for each pattern of missing entries."""
    patterns, of_step = torch.unique(mask.flatten(0, 1), dim=0, return_inverse=True)
    both = patterns.unsqueeze(-1) & patterns.unsqueeze(-2)  # (patterns, D, D)
    observed = torch.where(both, R, 0.0)
    G = torch.where(patterns.unsqueeze(-2), R, 0.0) @ torch.linalg.pinv(observed, hermitian=True)
    identity = torch.eye(len(R), dtype=R.dtype, device=R.device)
    return torch.where(patterns.unsqueeze(-1), identity * patterns.unsqueeze(-2), G)[of_step].unflatten(
        0, mask.shape[:2]
    )


def _mean_square(e: Tensor, covariance: Tensor, weight: Tensor) -> Tensor:
    return symmetric(_total(_outer(e, e) + covariance, weight) / weight.sum())


def _total(moments: Tensor, weight: Tensor) -> Tensor:
    """Sum (B, T, ·, ·) over the series and steps of a weight (B, T) that is True or False."""
    return torch.where(weight[..., None, None], moments, 0.0).sum((0, 1))


def _into(matrix: Tensor) -> Tensor:
    """What leads into steps 1 … T-1."""
    return matrix if matrix.ndim == 2 or matrix.shape[-3] == 1 else matrix[..., 1:, :, :]


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return left.unsqueeze(-1) * right.unsqueeze(-2)
