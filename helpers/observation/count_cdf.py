"""How probable a count or fewer is, and the quantiles that follow."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.observation.count_likelihood import polynomial

NODES = 96
TAIL = 25.0  # nodes stop where the density has fallen by e^-25 = 1e-11
EXPONENTIAL_SERIES = tuple(1 / math.factorial(order) for order in range(2, 14))


def count_cdf(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """P(K ≤ k) for a negative binomial K with mean μ and variance μ + α μ²; α = 0 is Poisson.

    K counts the arrivals of a unit-rate process up to a random time Λ ~ Gamma(1/α, scale αμ). At most k have
    arrived exactly if the arrival k + 1, at S ~ Gamma(k + 1), comes later:

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

    The density of t = u √v is proportional to exp(-(e^t - 1 - t) / v) = exp(-u² (e^t - 1 - t) / t²).
    Equal steps in u converge exponentially fast for such a smooth, vanishing integrand. v = 0 is allowed.
    """
    spread = variance.sqrt()[..., None]
    right = math.sqrt(2.0 * TAIL)
    left = -right - TAIL * spread
    fraction = torch.linspace(0, 1, NODES, dtype=variance.dtype, device=variance.device)
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
