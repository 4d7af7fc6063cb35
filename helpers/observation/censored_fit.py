"""The most likely Gaussian behind values of which some are only known to lie below a limit."""

import math
from dataclasses import dataclass

from torch import Tensor

from helpers.arguments import check_finite, check_finite_number, check_floating, check_whole_number

TOLERANCE = 1e-10
MAX_STEPS = 100


@dataclass(frozen=True)
class CensoredFit:
    """The most likely mean of a Gaussian, and how far it may be off.

    Attributes
    ----------
    mean : float
        In the unit of the values.
    standard_error : float
        Of the mean, the standard deviation being unknown too; in the unit of the values.
    """

    mean: float
    standard_error: float


def fit_censored_gaussian(detected: Tensor, below: int, limit: float) -> CensoredFit:
    """Find the maximum-likelihood mean of a Gaussian whose standard deviation is unknown too.

    With γ = 1/σ and η = (μ - L)/σ the log likelihood is concave, so that damped Newton steps reach its one
    maximum from anywhere::

        n ln γ - ½ Σᵢ (γ (xᵢ - L) - η)² + m ln Φ(-η)

    Parameters
    ----------
    detected : Tensor (n,)
        x, the measured values.
    below : int
        m, how many values are only known to lie below the limit.
    limit : float
        L, in the unit of the values.

    Raises
    ------
    ValueError
        If `detected` are not at least two different, finite floating-point values (n,), `below` is no whole
        number, or `limit` is not finite.

    Source: Olsen (1978), Note on the uniqueness of the maximum likelihood estimator for the Tobit model,
    Econometrica 46, 1211-1215.
    """
    _check_arguments(detected, below, limit)
    excess = detected - limit
    count, total, squares = len(excess), float(excess.sum()), float(excess @ excess)
    gamma = 1 / float(excess.std())
    eta = gamma * total / count
    for _ in range(MAX_STEPS):
        gradient, information = _score(eta, gamma, count, total, squares, below)
        step = _solve(information, gradient)
        decrement = math.sqrt((gradient[0] * step[0] + gradient[1] * step[1]) / count)
        eta, gamma = eta + step[0] / (1 + decrement), gamma + step[1] / (1 + decrement)
        if decrement < TOLERANCE:
            break
    slope = 1 / gamma, -eta / gamma**2  # of the mean, in (η, γ)
    spread = _solve(information, slope)
    return CensoredFit(limit + eta / gamma, math.sqrt(slope[0] * spread[0] + slope[1] * spread[1]))


def _score(
    eta: float, gamma: float, count: int, total: float, squares: float, below: int
) -> tuple[tuple[float, float], tuple[float, float, float]]:
    """Gradient of the log likelihood in (η, γ), and its negative Hessian: ηη, ηγ and γγ."""
    hazard = math.exp(-(eta**2) / 2) / (math.sqrt(math.pi / 2) * math.erfc(eta / math.sqrt(2)))
    gradient = (
        gamma * total - count * eta - below * hazard,
        count / gamma - gamma * squares + eta * total,
    )
    information = count + below * hazard * (hazard - eta), -total, count / gamma**2 + squares
    return gradient, information


def _solve(matrix: tuple[float, float, float], right: tuple[float, float]) -> tuple[float, float]:
    """Solve a symmetric 2 × 2 system, of the entries aa, ab and bb, by Cramer's rule."""
    aa, ab, bb = matrix
    determinant = aa * bb - ab**2
    return (bb * right[0] - ab * right[1]) / determinant, (aa * right[1] - ab * right[0]) / determinant


def _check_arguments(detected: Tensor, below: int, limit: float) -> None:
    check_floating("detected", detected)
    if detected.ndim != 1 or len(detected) < 2:
        raise ValueError(f"detected must have shape (n,), n at least 2: got {tuple(detected.shape)}")
    check_finite("detected", detected)
    if (detected == detected[0]).all():
        raise ValueError(f"detected must hold different values: all are {detected[0].item()}")
    check_whole_number("below", below, least=0)
    check_finite_number("limit", limit)
