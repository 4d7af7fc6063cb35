"""The most likely Gaussian behind values of which some are only known to lie below a limit."""

import functools
import math
from dataclasses import dataclass

from torch import Tensor

from helpers.arguments import check_finite, check_finite_number, check_floating, check_whole_number

TOLERANCE = 1e-10
MAX_STEPS = 100
FARTHEST = 100.0
"""Standard deviations above the values beyond which a limit says nothing more: Φ is 1 there."""
FAR_BELOW = -36.0
"""Where five terms of the fraction are exact to 1e-13."""


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

    With γ = 1/σ and ξ = μ/σ the log likelihood is concave, so that damped Newton steps reach its one
    maximum from anywhere::

        n ln γ - ½ Σᵢ (γ xᵢ - ξ)² + m ln Φ(γ L - ξ)

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
    origin, unit, (L, total, squares) = _in_units_of_the_spread(detected, below, limit)
    count = len(detected)
    gamma, xi = 1.0, 0.0
    for _ in range(MAX_STEPS):
        gradient, information = _score(xi, gamma, count, total, squares, below, L)
        step = _solve(information, gradient)
        decrement = math.sqrt(max(0.0, gradient[0] * step[0] + gradient[1] * step[1]) / count)
        xi, gamma = xi + step[0] / (1 + decrement), gamma + step[1] / (1 + decrement)
        if decrement < TOLERANCE:
            break
    slope = 1 / gamma, -xi / gamma**2  # of the mean, in (ξ, γ)
    spread = _solve(information, slope)
    standard_error = unit * math.sqrt(slope[0] * spread[0] + slope[1] * spread[1])
    return CensoredFit(origin + unit * (xi / gamma), standard_error)


def _in_units_of_the_spread(
    detected: Tensor, below: int, limit: float
) -> tuple[float, float, tuple[float, float, float]]:
    """An origin, a unit like σ, and in these L, Σ xᵢ and Σ xᵢ².

    The unit is the root mean square distance from the origin, the middle, that all values had if those below
    the limit lay at it.
    """
    count = len(detected)
    values = detected.detach().double()
    low, high = (float(end) for end in values.aminmax())
    origin = low / 2 + high / 2
    L = float(limit) - origin if below else 0.0
    largest = max(high - origin, -L)
    if not 0 < largest < math.inf:
        raise ValueError(
            f"detected must hold different values, that part by less than overflows: "
            f"they reach from {low} to {high}, the limit is {limit}"
        )
    x, L = (values - origin) / largest, L / largest
    total, squares = float(x.sum()), float(x @ x)
    spread = math.sqrt((squares + below * min(0.0, L) ** 2) / (count + below))
    return origin, largest * spread, (min(L / spread, FARTHEST), total / spread, squares / spread**2)


def _score(
    xi: float, gamma: float, count: int, total: float, squares: float, below: int, limit: float
) -> tuple[tuple[float, float], tuple[float, float, float]]:
    """Gradient of the log likelihood in (ξ, γ), and its negative Hessian: ξξ, ξγ and γγ."""
    z = gamma * limit - xi
    ratio = _inverse_mills_ratio(z)
    slope, bend = below * ratio, below * ratio * (ratio + z)  # of m ln Φ(z), and how fast it falls
    gradient = (
        gamma * total - count * xi - slope,
        count / gamma - gamma * squares + xi * total + limit * slope,
    )
    information = count + bend, -total - limit * bend, count / gamma**2 + squares + limit**2 * bend
    return gradient, information


def _inverse_mills_ratio(z: float) -> float:
    """n(z) / Φ(z), n being the normal density; far below, where both underflow, as Laplace's fraction."""
    if z > FAR_BELOW:
        return math.exp(-(z**2) / 2) / (math.sqrt(math.pi / 2) * math.erfc(-z / math.sqrt(2)))
    return functools.reduce(lambda fraction, k: k / fraction - z, (5, 4, 3, 2, 1), -z)


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
    check_whole_number("below", below, least=0)
    check_finite_number("limit", limit)
