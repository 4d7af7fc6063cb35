"""The distribution of counts with mean μ and variance μ + α μ²: log probability, cdf and quantiles.

The textbook formula of the log probability subtracts log-gammas of size 10⁹ to leave a result of size 10.
Loader's saddle-point form never builds them: it is a deviance that vanishes at k = μ, plus small Stirling
corrections. The Poisson distribution is the smooth limit α = 0 of all that stands here.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.autograd import Function

from helpers.observation.noise import LOG_TWO_PI

STIRLING_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
ATANH_SERIES = tuple(1 / order for order in range(1, 15, 2))
EXPONENTIAL_SERIES = tuple(1 / math.factorial(order) for order in range(2, 14))
QUADRATURE_NODES = 96
MAX_RATE = 1e12  # of torch's sampler
MAX_COUNT = torch.finfo(torch.float64).max / 4
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

    With l and h the smaller and the larger of k and μ, and the signs of k - μ::

        log ρ = ± log(1 + (h - l) / (l (1 + αh))),   log(σ) / α = ± log(1 + α (h - l) / (1 + αl)) / α

    Both logarithms are of 1 and a positive number: exact to rounding both near k = μ and far from it.
    """
    return _HalfDeviance.apply(*torch.broadcast_tensors(count, mean, dispersion))


class _HalfDeviance(Function):
    """D with its slopes in closed form: by α, autograd would subtract two numbers of size k²."""

    generate_vmap_rule = True

    @staticmethod
    def forward(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
        is_positive = count > 0
        log_rho = _log_rho(torch.where(is_positive, count, 1), torch.where(is_positive, mean, 1), dispersion)
        is_above = count > mean
        low, high = torch.where(is_above, mean, count), torch.where(is_above, count, mean)
        log_sigma = log1p_ratio(_over_one_plus(high - low, dispersion * low), dispersion)
        return count * log_rho - torch.where(is_above, log_sigma, -log_sigma)

    @staticmethod
    def setup_context(context, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        context.save_for_backward(*inputs)
        context.save_for_forward(*inputs)

    @staticmethod
    def backward(context, weight: Tensor) -> tuple[Tensor | None, ...]:
        wanted = zip(_SLOPES, context.needs_input_grad, strict=True)
        return tuple(weight * slope(*context.saved_tensors) if needed else None for slope, needed in wanted)

    @staticmethod
    def jvp(context, *tangents: Tensor | None) -> Tensor:
        given = [(slope, t) for slope, t in zip(_SLOPES, tangents, strict=True) if t is not None]
        moved = [torch.where(t == 0, 0, slope(*context.saved_tensors) * t) for slope, t in given]
        return sum(moved)


def _slope_by_count(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """∂D/∂k = log ρ, which has no bound below at k = 0."""
    is_positive = count > 0
    log_rho = _log_rho(torch.where(is_positive, count, 1), torch.where(is_positive, mean, 1), dispersion)
    return torch.where(is_positive, log_rho, -torch.inf)


def _slope_by_mean(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """∂D/∂μ = (1 - k/μ) / (1 + αμ), and the difference of the two where they are alike."""
    share = torch.where(2 * count < mean, 1 - count / mean, (mean - count) / mean)
    return _over_one_plus(share, dispersion * mean)


def _slope_by_dispersion(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """∂D/∂α = -u² (y - log σ) / y².

    ::

        u = (k - μ) / (1 + αμ),   y = σ - 1 = αu
        (y - log(1 + y)) / y² = ½ (1 - w) (1 - (1 - w) (w/3 + w³/5 + …)),   w = y / (2 + y),   |y| < 0.1
    """
    u = _over_one_plus(count - mean, dispersion * mean)
    y = dispersion * u
    is_small = y.abs() < 0.1
    small = torch.where(is_small, y, 0)
    w = small / (2 + small)
    series = 0.5 * (1 - w) * (1 - (1 - w) * w * polynomial(w.square(), ATANH_SERIES[1:]))
    is_above = count > mean
    low, high = torch.where(is_above, mean, count), torch.where(is_above, count, mean)
    log_sigma = torch.log1p(dispersion * _over_one_plus(high - low, dispersion * low))
    share = torch.where(is_above, log_sigma, -log_sigma) / torch.where(is_small, 1, y)
    direct = u * (1 - share) / torch.where(is_small, 1, dispersion)
    return -torch.where(is_small, u * (u * series), direct)


_SLOPES = (_slope_by_count, _slope_by_mean, _slope_by_dispersion)


def _log_rho(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """log ρ of `half_deviance`, for k ≥ 1; a sum of logarithms where μ is so small that k / μ² overflows."""
    is_above = count > mean
    low, high = torch.where(is_above, mean, count), torch.where(is_above, count, mean)
    is_near = ~is_above | ((high - low) / low / low < torch.finfo(mean.dtype).max ** 0.95)
    near = torch.log1p(_over_one_plus((high - low) / torch.where(is_near, low, 1), dispersion * high))
    far = count.log() - torch.where(is_near, 1, mean).log()
    far = far + torch.log1p(dispersion * mean) - torch.log1p(dispersion * count)
    return torch.where(is_near, torch.where(is_above, near, -near), far)


def _over_one_plus(x: Tensor, y: Tensor) -> Tensor:
    """x / (1 + y), in two factors: the gradient of the quotient squares 1 + y, which may be 10³⁰."""
    root = torch.exp(-0.5 * torch.log1p(y))
    return x * root * root


def log1p_ratio(x: Tensor, a: Tensor) -> Tensor:
    """log(1 + a x) / a for a, x ≥ 0, smooth through a = 0, where it is x.

    ::

        log(1 + y) = 2 artanh(w) = 2 (w + w³/3 + w⁵/5 + …),   w = y / (2 + y),   y < 0.1
    """
    y = a * x
    is_small = y < 0.1
    small = torch.where(is_small, y, 0)
    series = polynomial((small / (2 + small)).square(), ATANH_SERIES)
    direct = torch.log1p(torch.where(is_small, 0, y)) / torch.where(is_small, 1, a)
    return torch.where(is_small, x / (1 + small / 2) * series, direct)


def stirling_correction(reciprocal: Tensor) -> Tensor:
    """What Stirling's formula leaves out, as a function of a = 1/x; smooth down to a = 0.

    ::

        δ(x) = log Γ(x) - (x - ½) log x + x - ½ log 2π = 1/(12x) - 1/(360x³) + 1/(1260x⁵) - …
             = log Γ(x + 1) + (x + ½) log a + x - ½ log 2π
    """
    is_small = reciprocal < 1 / 16
    small = torch.where(is_small, reciprocal, 0)
    a = torch.where(is_small, 1, reciprocal)
    x = 1 / a
    direct = torch.lgamma(x + 1) + (x + 0.5) * a.log() + x - 0.5 * LOG_TWO_PI
    return torch.where(is_small, small * polynomial(small.square(), STIRLING_SERIES), direct)


def count_cdf(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """P(K ≤ k) for a count K with mean μ and variance μ + α μ².

    K counts the arrivals of a unit-rate process up to a random time Λ ~ Gamma(1/α, scale αμ). At most k have
    arrived exactly if the arrival k + 1, at S ~ Gamma(k + 1), comes later::

        P(K ≤ k) = P(S > Λ) = E[Q(k + 1, Λ)] = E[P(1/α, S / (αμ))]

    with P and Q the regularised incomplete gamma functions. Whichever of Λ and S is narrower is integrated
    over; the other's distribution function is then smooth on its scale.

    Accuracy: 3e-9 absolute (that of torch's incomplete gamma functions), all arguments being float64.
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
    cdf: Callable[[Tensor], Tensor], mean: Tensor, deviation: Tensor, probability: float
) -> Tensor:
    """The smallest count k with P(K ≤ k) ≥ p, by bisection between the bounds of Cantelli's inequality.

    All in float64: float32 cannot tell 0.99999999 from 1, nor count beyond 2²⁴.

    ::

        μ - σ √((1 - p) / p) ≤ k ≤ μ + σ √(p / (1 - p))

    Cost: log₂ of the widest bracket, in evaluations of `cdf`; about 10 for σ = 100, 30 for σ = 10⁸.
    """
    odds = math.sqrt(probability / (1.0 - probability))
    below = (torch.floor(mean - deviation / odds) - 1).clamp(min=-1)  # P(K ≤ below) < p
    quantile = (torch.ceil(mean + deviation * odds) + 1).clamp(max=MAX_COUNT)  # P(K ≤ quantile) ≥ p
    steps = math.ceil(math.log2(1.0 + (quantile - below).max().item()))
    for _ in range(steps):
        middle = torch.floor((below + quantile + 1) / 2)
        enough = cdf(middle) >= probability
        quantile = torch.where(enough, middle, quantile)
        below = torch.where(enough, below, middle)
    return quantile


@torch.no_grad()
def sample_poisson(rate: Tensor, generator: Generator) -> Tensor:
    """Draw Poisson counts; above a rate of 10¹², as rounded Gaussians, whose skewness of 10⁻⁶ nobody sees.

    torch's sampler counts in 64-bit integers, which end at 9 · 10¹⁸.
    """
    is_huge = rate > MAX_RATE
    counts = torch.poisson(torch.where(is_huge, 1, rate), generator=generator)
    if not is_huge.any():
        return counts
    noise = torch.randn(rate.shape, generator=generator, dtype=rate.dtype, device=rate.device)
    spread = rate.clamp(max=torch.finfo(rate.dtype).max).sqrt()
    return torch.where(is_huge, torch.round(rate + spread * noise), counts)


def polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c₀ + c₁ x + c₂ x² + …, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total
