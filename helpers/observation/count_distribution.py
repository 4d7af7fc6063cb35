"""The distribution of counts with mean μ and variance μ + α μ²: log probability, cdf and quantiles.

The textbook formula of the log probability subtracts log-gammas of size 10⁹ to leave a result of size 10.
Loader's saddle-point form never builds them: it is a deviance that vanishes at k = μ, plus small Stirling
corrections. The Poisson distribution is the smooth limit α = 0 of all that stands here.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.observation.noise import LOG_TWO_PI

STIRLING_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
ASINH_SERIES = (1.0, -1 / 6, 3 / 40, -5 / 112, 35 / 1152, -63 / 2816)
EXPONENTIAL_SERIES = tuple(1 / math.factorial(order) for order in range(2, 14))
QUADRATURE_NODES = 96
TAIL_EXPONENT = 25.0  # nodes stop where the density has fallen by e^-25 = 1e-11


def count_log_probability(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Log probability of a count k with mean μ and variance μ + α μ².

    ::

        log p(k) = -D(k, μ) - ½ log(2πk (1 + αk)) - δ(k) + δ(k + 1/α) - δ(1/α),   k ≥ 1
        log p(0) = -D(0, μ)

    with D half the unit deviance and δ Stirling's correction.

    Source: Loader (2000), Fast and Accurate Computation of Binomial Probabilities, which gives the same form
    for the binomial and the Poisson distribution.
    """
    is_positive = count > 0
    positive = torch.where(is_positive, count, 1)
    prefactor = 0.5 * LOG_TWO_PI + 0.5 * torch.log(positive) + 0.5 * torch.log1p(dispersion * positive)
    shifted = dispersion / (1 + dispersion * positive)
    corrections = (
        stirling_correction(shifted) - stirling_correction(dispersion) - stirling_correction(1 / positive)
    )
    return torch.where(is_positive, corrections - prefactor, 0) - half_deviance(count, mean, dispersion)


def half_deviance(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """How far a count lies from its mean: zero at k = μ, positive elsewhere.

    ::

        D(k, μ) = k log ρ - log(σ) / α,   ρ = k (1 + αμ) / (μ (1 + αk)),   σ = (1 + αk) / (1 + αμ)

    Both logarithms are taken as log ρ = asinh((ρ - 1/ρ) / 2), whose argument is a multiple of k - μ: exact to
    rounding both near k = μ and far from it.
    """
    difference = count - mean
    positive = torch.where(count > 0, count, 1)
    at_count, at_mean = 1 + dispersion * positive, 1 + dispersion * mean
    log_rho = torch.asinh(0.5 * difference * (1 / (mean * at_count) + 1 / (positive * at_mean)))
    sinh_log_sigma = 0.5 * difference * (1 / at_mean + 1 / (1 + dispersion * count))
    return count * log_rho - sinh_log_sigma * asinh_ratio(dispersion * sinh_log_sigma)


def stirling_correction(reciprocal: Tensor) -> Tensor:
    """What Stirling's formula leaves out, as a function of a = 1/x; smooth down to a = 0.

    ::

        δ(x) = log Γ(x) - (x - ½) log x + x - ½ log 2π = 1/(12x) - 1/(360x³) + 1/(1260x⁵) - …
    """
    is_small = reciprocal < 1 / 16
    small = torch.where(is_small, reciprocal, 0)
    argument = 1 / torch.where(is_small, 1, reciprocal)
    direct = torch.lgamma(argument) - (argument - 0.5) * argument.log() + argument - 0.5 * LOG_TWO_PI
    return torch.where(is_small, small * polynomial(small.square(), STIRLING_SERIES), direct)


def asinh_ratio(x: Tensor) -> Tensor:
    """asinh(x) / x, smooth through x = 0, where it is 1."""
    is_small = x.abs() < 0.05
    small = torch.where(is_small, x, 0)
    large = torch.where(is_small, 1, x)
    return torch.where(is_small, polynomial(small.square(), ASINH_SERIES), torch.asinh(large) / large)


def count_cdf(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """P(K ≤ k) for a count K with mean μ and variance μ + α μ².

    K counts the arrivals of a unit-rate process up to a random time Λ ~ Gamma(1/α, scale αμ). At most k have
    arrived exactly if the arrival k + 1, at S ~ Gamma(k + 1), comes later::

        P(K ≤ k) = P(S > Λ) = E[Q(k + 1, Λ)] = E[P(1/α, S / (αμ))]

    with P and Q the regularised incomplete gamma functions. Whichever of Λ and S is narrower is integrated
    over; the other's distribution function is then smooth on its scale.

    Accuracy: 3e-9 absolute in float64 (that of torch's incomplete gamma functions).
    Cost: two incomplete gamma functions at each of 96 nodes per entry, whatever the mean.
    """
    mean, dispersion, count = torch.broadcast_tensors(mean, dispersion, count)
    arrival = count + 1
    rate_is_narrower = dispersion * arrival <= 1
    deviation, weight = log_gamma_quadrature(torch.where(rate_is_narrower, dispersion, 1 / arrival))
    rate = mean[..., None] * deviation.exp()  # (..., N)
    arrives_later = torch.special.gammaincc(arrival[..., None], rate)
    shape = 1 / torch.where(rate_is_narrower, 1, dispersion)
    scaled_arrival = (arrival * shape / mean)[..., None] * deviation.exp()  # (..., N)
    rate_is_lower = torch.special.gammainc(shape[..., None], scaled_arrival)
    return (weight * torch.where(rate_is_narrower[..., None], arrives_later, rate_is_lower)).sum(-1)


def log_gamma_quadrature(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes t and weights for the mean of a function of log G, G ~ Gamma of mean 1 and variance v ≤ 1.

    The density of t = u √v is::

        p(u) ∝ exp(-(e^t - 1 - t) / v) = exp(-u² (e^t - 1 - t) / t²)

    Equal steps in u converge exponentially fast for such a smooth, vanishing integrand. v = 0 is allowed.
    """
    spread = variance.sqrt()[..., None]
    right = math.sqrt(2.0 * TAIL_EXPONENT)
    left = -right - TAIL_EXPONENT * spread
    fraction = torch.linspace(0, 1, QUADRATURE_NODES, dtype=variance.dtype, device=variance.device)
    scaled = left + (right - left) * fraction  # (..., N)
    deviation = scaled * spread
    return deviation, torch.softmax(-scaled.square() * exponential_remainder(deviation), dim=-1)


def exponential_remainder(t: Tensor) -> Tensor:
    """(e^t - 1 - t) / t², smooth through t = 0, where it is ½."""
    is_small = t.abs() < 0.5
    large = torch.where(is_small, 1, t)
    direct = (torch.expm1(large) - large) / large.square()
    return torch.where(is_small, polynomial(t * is_small, EXPONENTIAL_SERIES), direct)


def count_quantile(
    cdf: Callable[[Tensor], Tensor], mean: Tensor, variance: Tensor, probability: float
) -> Tensor:
    """The smallest count k with P(K ≤ k) ≥ p, by bisection between the bounds of Cantelli's inequality.

    ::

        μ - σ √((1 - p) / p) ≤ k ≤ μ + σ √(p / (1 - p))

    Cost: log₂ of the widest bracket, in evaluations of `cdf`; about 10 for σ = 100, 30 for σ = 10⁸.
    """
    deviation = variance.sqrt()
    odds = math.sqrt(probability / (1.0 - probability))
    below = (torch.floor(mean - deviation / odds) - 1).clamp(min=-1)  # P(K ≤ below) < p
    quantile = torch.ceil(mean + deviation * odds) + 1  # P(K ≤ quantile) ≥ p
    steps = math.ceil(math.log2(1.0 + (quantile - below).max().item()))
    for _ in range(steps):
        middle = torch.floor((below + quantile + 1) / 2)
        enough = cdf(middle) >= probability
        quantile = torch.where(enough, middle, quantile)
        below = torch.where(enough, below, middle)
    return quantile


def polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c₀ + c₁ x + c₂ x² + …, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total
