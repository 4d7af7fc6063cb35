"""Expectation and maximisation for linear-Gaussian models: expect the noises, then regress them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import refuse_where
from helpers.statespace.ascent import Fitted, ascend
from helpers.statespace.gaussian.arrays import product
from helpers.statespace.gaussian.data import Observations, input_effect, without_intercept
from helpers.statespace.gaussian.diffuse import DiffusePosterior, marginalise, start_nearer
from helpers.statespace.gaussian.likelihood import Score
from helpers.statespace.gaussian.means import as_columns, filter_means
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.sharing import shared_covariances
from helpers.statespace.gaussian.step import log_density
from helpers.statespace.matrices import (
    principal_correlations,
    square_root,
    symmetric,
    whiten,
)

EQUATIONS = {
    "transition_covariance": ("transition", "input"),
    "observation_covariance": ("observation", "observation_intercept"),
    "initial_covariance": ("initial_mean",),
}  # the noise of each of the model's equations, and its coefficients

ROUNDING = 8  # units in the last place


@torch.no_grad()
def fit_by_em(
    model: LinearGaussian,
    data: Observations,
    free: Mapping[str, Tensor],
    iterations: int,
    tolerance: float,
    progress: bool,
) -> Fitted:
    """Expect and regress in turn; the log-likelihood never falls.

    Arguments are those of `fit`; `free` has a mask for each field that is learned, True where it is free.
    """
    _check_separable(model, free)

    def evaluate(model: LinearGaussian) -> Expected:
        return expect(model, data)

    def improve(model: LinearGaussian, expected: Expected) -> LinearGaussian:
        return maximise(model, expected, data, free)

    readings = int(data.mask.sum())
    return ascend(model, evaluate, improve, iterations, tolerance, progress, readings=readings)


def _check_separable(model: LinearGaussian, free: Mapping[str, Tensor]) -> None:
    """Refuse what no regression learns.

    Raises
    ------
    ValueError
        Naming coefficients beside a noise that changes over time or is singular where they are free, or a
        covariance whose fixed entries do not leave whole blocks free.
    """
    gradient = 'method="gradient" has no such limit'
    for noise, coefficients in EQUATIONS.items():
        covariance = getattr(model, noise)
        for name in (*coefficients, noise):
            if name in free and covariance.ndim > 2:
                raise ValueError(
                    f"EM learns {name} only beside a constant {noise}: got shape {tuple(covariance.shape)}; "
                    f"{gradient}"
                )
        for name in coefficients:
            if name in free and (stuck := _rows_of(free[name]) & _without_noise(covariance)).any():
                raise ValueError(
                    f"EM cannot move row {stuck.nonzero()[0].item()} of {name}, where {noise} is singular: "
                    f"hold it fixed; {gradient}"
                )
        if noise in free and not _leaves_blocks(covariance, free[noise]):
            raise ValueError(
                f"EM learns {noise} in whole blocks only, with zeros fixed between them: the fixed entries "
                f"leave part of a block free; {gradient}"
            )


def _rows_of(free: Tensor) -> Tensor:
    """Which rows of a matrix, or entries of a vector, have anything free."""
    return free if free.ndim == 1 else free.any(-1)


def _without_noise(covariance: Tensor) -> Tensor:
    """Which components (H,) have a part in combinations of which the variance is 0, but for rounding."""
    _, values, vectors, vanish = principal_correlations(covariance)
    return ((vectors.abs() > torch.finfo(values.dtype).eps ** 0.5) & vanish).any(-1)


def _leaves_blocks(covariance: Tensor, free: Tensor) -> bool:
    """Whether components that are tied by an entry that is free or not 0 are all free, or all fixed."""
    reached = free | (covariance != 0) | torch.eye(len(free), dtype=torch.bool, device=free.device)
    for _ in range(len(free)):
        reached = (reached.to(covariance) @ reached.to(covariance)) > 0
    variance = free.diagonal()
    whole = (free == (reached & variance & variance.unsqueeze(-1))).all()
    return bool(whole and not (reached & (variance != variance.unsqueeze(-1))).any())


@dataclass(frozen=True, eq=False)
class Expected:
    """What the data say of states and noises.

    Attributes
    ----------
    log_likelihood : Tensor (B,)
    score : Score
        The gradient of the log-likelihood, which is what is expected of the noises.
    mean : Tensor (T, M, H, N or N + k)
        Smoothed means, as columns; with a flat prior, followed by a root of what δ adds to the covariance.
    covariance : Tensor (T, M, H, H)
        Smoothed covariances given δ, of which each counts for `series`.
    series : int
        N, how many series share a covariance.
    """

    log_likelihood: Tensor
    score: Score
    mean: Tensor
    covariance: Tensor
    series: int


def expect(model: LinearGaussian, data: Observations) -> Expected:
    """One E-step: filter, then follow the score backwards."""
    data = without_intercept(model, data)
    covariances = shared_covariances(model, data.mask)
    effect = input_effect(model, data.inputs)
    means_of = partial(filter_means, covariances=covariances, y=data.y, effect=effect)
    _, mean, innovation = means_of(model)
    if model.diffuse is not None:
        nearer = start_nearer(model, innovation, covariances.innovation, len(data.y))
        _, mean, innovation = (None, mean, innovation) if nearer is None else means_of(nearer[0])
    series = len(data.y) if covariances.shared else 1
    whitened, log_determinant = whiten(covariances.innovation, innovation)
    seen = as_columns(data.mask, covariances.shared)
    steps = log_density(whitened[..., :series], log_determinant, seen)  # (T, M, N)
    if model.diffuse is not None:
        steps, posterior = marginalise(model, steps, whitened)
        _check_determined(posterior, data.mask)
        mean, innovation = (_over_flat_prior(part, posterior, series) for part in (mean, innovation))
    weight = mean.new_ones(mean.shape[-1] if covariances.shared else len(data.y))
    score = Score(covariances, mean, innovation, weight, series)
    P = covariances.filtered
    rounding = ROUNDING * torch.finfo(P.dtype).eps * P.diagonal(dim1=-2, dim2=-1)  # of the difference
    smoothed = P - product(product(P, score.future_N), P) + torch.diag_embed(rounding)
    return Expected(steps.sum(0).flatten(), score, score.mean, smoothed, series)


def _check_determined(posterior: DiffusePosterior, mask: Tensor) -> None:
    """Refuse a series that leaves δ undetermined: nothing finite is expected of its states."""
    unknown = (posterior.unknown[-1] != 0).flatten(-2).any(-1)  # (M,)
    observed = mask.flatten(1).any(-1)
    refuse_where(
        unknown & (observed if len(unknown) == len(observed) else observed.any()),
        lambda series: f"EM needs every diffuse component determined: series {series} leaves one unknown",
    )


def _over_flat_prior(columns: Tensor, posterior: DiffusePosterior, series: int) -> Tensor:
    """Columns (T, M, n, N + k) of h and J as means of h + J δ, and a root of N times its covariance."""
    final = posterior.at_the_end()
    root = torch.linalg.cholesky(final.covariance + final.unknown).masked_fill(final.unknown != 0, 0.0)
    own, carried = columns[..., :series], columns[..., series:]
    return torch.cat([own + carried @ final.mean, carried @ root * series**0.5], -1)


def maximise(
    model: LinearGaussian, expected: Expected, data: Observations, free: Mapping[str, Tensor]
) -> LinearGaussian:
    """The model that makes the expected states, and y with them, most likely: one M-step.

    ::

        θ' = argmax E[log p(h, y; θ) | y; θ_old]

    Each of the model's three equations is a regression: of the noise e_t = w_t, v_t or h_0 − m_0 that the old
    coefficients leave, on z_t = (h_{t-1}, u_t), (h_t, 1) or 1. By Fisher's identity, what is expected of the
    noise is in the gradient of ℓ = log p(y), with Σ the noise's covariance and n the number of steps::

        Σ_t E[e_t z_tᵀ] = Σ ∂ℓ/∂Θ,   Σ_t E[e_t e_tᵀ] = n Σ + 2 Σ ∂ℓ/∂Σ Σ

    so that neither a small noise nor a missing entry is the difference of two large numbers. The states of a
    series end with its last observation. Entries that are not free stay; a covariance is learned after the
    coefficients, given which they are the most likely.

    Source: Shumway and Stoffer (1982), An approach to time series smoothing and forecasting using the EM
    algorithm, Journal of Time Series Analysis 3(4); Koopman (1993), Disturbance smoother for state space
    models, Biometrika 80(1); Holmes (2013), Derivation of an EM algorithm for constrained and unconstrained
    multivariate autoregressive state-space models, arXiv:1302.3919.
    """
    seen = data.mask.any(-1)  # (B, T)
    ahead = seen.flip(1).cummax(1).values.flip(1)  # True up to the last observation
    equations = {
        "transition_covariance": (_transition, ahead[:, 1:]),
        "observation_covariance": (_observation, seen),
        "initial_covariance": (_initial, ahead[:, :1]),
    }
    learned = {}
    for noise, (moments, steps) in equations.items():
        names = [name for name in EQUATIONS[noise] if name in free]
        if names or noise in free:
            learned |= _regress(model, moments(model, expected, data, steps, free), noise, names, free)
    return replace(model, **learned)


@dataclass(frozen=True, eq=False)
class Equation:
    """What one equation's regression needs, summed over series and steps; z has the free coefficients only.

    Attributes
    ----------
    gradient : Tensor (E, Z)
        ∂ℓ/∂Θ.
    squares : Tensor (Z, Z)
        Σ_t E[z_t z_tᵀ].
    noise_gradient : Tensor (E, E), or None
        ∂ℓ/∂Σ, if Σ is learned.
    steps : Tensor ()
        n.
    """

    gradient: Tensor
    squares: Tensor
    noise_gradient: Tensor | None
    steps: Tensor


def _transition(
    model: LinearGaussian, expected: Expected, data: Observations, steps: Tensor, free: Mapping[str, Tensor]
) -> Equation:
    """h_t = A h_{t-1} + B u_t + w_t."""
    score, Q = expected.score, "transition_covariance"
    z, gradients = [expected.mean[:-1, :, :0]], [model.transition_covariance[..., :0]]
    P = expected.covariance[:-1, :, :0, :0]
    if "transition" in free:
        z.append(expected.mean[:-1])
        gradients.append(score.transition(model.transition))
        P = expected.covariance[:-1]
    if "input" in free:
        z.append(_columns(data.inputs[:, 1:], expected))
        gradients.append(_products(score.r[1:], z[-1]))
    noise = score.transition_covariance(model.transition_covariance) if Q in free else None
    return _equation(expected, z, gradients, P, noise, steps)


def _observation(
    model: LinearGaussian, expected: Expected, data: Observations, steps: Tensor, free: Mapping[str, Tensor]
) -> Equation:
    """y_t = C h_t + d + v_t."""
    score, R = expected.score, "observation_covariance"
    z, gradients = [expected.mean[:, :, :0]], [model.observation_covariance[..., :0]]
    P = expected.covariance[:, :, :0, :0]
    if "observation" in free:
        z.append(expected.mean)
        gradients.append(score.observation(model.observation))
        P = expected.covariance
    if "observation_intercept" in free:
        z.append(_columns(data.y.new_ones(*data.y.shape[:2], 1), expected))
        gradients.append(_products(score.u, z[-1]))
    noise = score.observation_covariance(model.observation_covariance, data.mask) if R in free else None
    return _equation(expected, z, gradients, P, noise, steps)


def _initial(
    model: LinearGaussian, expected: Expected, _: Observations, steps: Tensor, free: Mapping[str, Tensor]
) -> Equation:
    """h_0 = m_0 + (h_0 − m_0)."""
    score, P0 = expected.score, "initial_covariance"
    z, gradients = [expected.mean[:1, :, :0]], [model.initial_covariance[..., :0]]
    if "initial_mean" in free:
        z.append(_columns(score.r.new_ones(len(steps), 1, 1), expected))
        gradients.append(_products(score.r[:1], z[-1]))
    noise = score.initial_covariance(model.initial_covariance) if P0 in free else None
    return _equation(expected, z, gradients, expected.covariance[:1, :, :0, :0], noise, steps)


def _equation(
    expected: Expected,
    z: list[Tensor],
    gradients: list[Tensor],
    P: Tensor,
    noise_gradient: Tensor | None,
    steps: Tensor,
) -> Equation:
    """Sum z zᵀ over `steps` (B, T), with P (T, M, H, H) the covariance of what comes first in z."""
    shared = P.shape[1] == 1
    weight = (steps[:1] if shared else steps).T.to(P.dtype)  # (T, M)
    columns = torch.cat(z, -2)
    squares = torch.einsum("tm,tmin,tmjn->ij", weight, columns, columns)
    spread = expected.series * torch.einsum("tm,tmij->ij", weight, P)
    rest = len(squares) - len(spread)
    return Equation(
        torch.cat(gradients, -1),
        squares + pad(spread, (0, rest, 0, rest)),
        noise_gradient,
        steps.sum(dtype=P.dtype),
    )


def _columns(rows: Tensor, expected: Expected) -> Tensor:
    """Numbers (B, T, n) that are known as columns beside those of the states."""
    columns = as_columns(rows, expected.covariance.shape[1] == 1)
    return pad(columns, (0, expected.mean.shape[-1] - columns.shape[-1]))


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Σ left rightᵀ over series and steps of columns (T, M, ·, N)."""
    return torch.einsum("tmin,tmjn->ij", left, right)


def _regress(
    model: LinearGaussian, equation: Equation, noise: str, names: list[str], free: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The coefficients, and then the covariance of what they leave over."""
    covariance, learned = getattr(model, noise), {}
    entries = [free[name].reshape(len(covariance), -1) for name in names]
    change = _coefficients(equation, covariance, entries, " or ".join(names))
    parts = change.split([part.shape[1] for part in entries], -1)
    for name, part in zip(names, parts, strict=True):
        learned[name] = getattr(model, name) + part.reshape(free[name].shape)
    if noise in free:
        left = _what_is_left(covariance, equation, change)
        learned[noise] = torch.where(free[noise], symmetric(left), covariance)
    return learned


def _what_is_left(covariance: Tensor, equation: Equation, change: Tensor) -> Tensor:
    """The mean of E[(e − Δ z)(e − Δ z)ᵀ], which is positive semi-definite: rounding may not take that away.

    With L Lᵀ = Σ and W = L⁻¹ Δ it is L (I + X) Lᵀ::

        X = (2 Lᵀ ∂ℓ/∂Σ L − W (∂ℓ/∂Θ)ᵀ L − Lᵀ ∂ℓ/∂Θ Wᵀ + W Σ_t E[z_t z_tᵀ] Wᵀ) / n
    """
    root, inverse = square_root(covariance)
    whitened = inverse @ change
    moved = whitened @ equation.gradient.mT @ root
    inner = 2 * root.mT @ equation.noise_gradient @ root - moved - moved.mT
    inner = (inner + whitened @ equation.squares @ whitened.mT) / equation.steps
    values, vectors = torch.linalg.eigh(symmetric(inner))
    least = ROUNDING * len(values) * torch.finfo(values.dtype).eps  # of 1, below which rounding speaks
    outer = root @ vectors * (1 + values).clamp(min=least).sqrt()
    return outer @ outer.mT


def _coefficients(equation: Equation, noise: Tensor, entries: list[Tensor], name: str) -> Tensor:
    """What to add to the coefficients.

    ::

        ∂ℓ/∂Θ = Σ⁻¹ Δ Σ_t E[z_t z_tᵀ]   at the free entries of Δ, which is 0 at the others

    Where the same entries of every row are free, Σ takes no part in the equations that are to be solved.
    """
    change = torch.zeros_like(equation.gradient)
    if not entries:
        return change
    free = torch.cat(entries, -1)
    if bool((free == free[:1]).all()):
        chosen = free[0]
        squares, crossed = equation.squares[chosen][:, chosen], (noise @ equation.gradient)[:, chosen]
        change[:, chosen] = _solve(squares, crossed.mT, name).mT
        return change
    rows, columns = free.nonzero().unbind(-1)
    inverse = square_root(noise)[1]
    weighted = (inverse.mT @ inverse)[rows][:, rows] * equation.squares[columns][:, columns]
    change[free] = _solve(weighted, equation.gradient[free].unsqueeze(-1), name).squeeze(-1)
    return change


def _solve(squares: Tensor, right: Tensor, name: str) -> Tensor:
    """Solve with a positive definite matrix, whatever the units of its rows."""
    variance = squares.diagonal()
    scale = torch.where(variance > 0, variance, 1.0).rsqrt().unsqueeze(-1)
    root, failed = torch.linalg.cholesky_ex(scale * squares * scale.mT)
    if failed:
        raise ValueError(f"{name} cannot be learned: the second moments of what it multiplies are singular")
    return scale * torch.cholesky_solve(scale * right, root)
