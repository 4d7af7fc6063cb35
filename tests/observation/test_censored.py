"""CensoredGaussian against mpmath, theory and misuse."""

import mpmath
import pytest
import torch
from scipy import stats

from helpers.observation import CensoredGaussian


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def exact_log_cdf(z):
    with mpmath.workdps(60):
        return float(mpmath.log(mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2)) / 2))


@pytest.mark.parametrize("z", [-1e3, -40.0, -3.0, 0.0, 3.0, 40.0, 1e3])
def test_a_value_at_the_limit_contributes_the_probability_below_it(z):
    noise = CensoredGaussian(double(2.0), double(0.5), double(2.0 + 0.5 * z))
    exact = double(exact_log_cdf(z))
    torch.testing.assert_close(noise.log_prob(noise.limit), exact, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(noise.log_prob(noise.limit - 9.0), exact, rtol=1e-10, atol=1e-10)


def test_a_value_above_the_limit_contributes_its_density():
    value = torch.linspace(1.01, 9.0, 50, dtype=torch.float64)
    noise = CensoredGaussian(double(2.0), double(0.5), double(1.0))
    exact = torch.as_tensor(stats.norm.logpdf(value, 2.0, 0.5))
    torch.testing.assert_close(noise.log_prob(value), exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("z", [-1e3, 1e3])
def test_gradients_stay_finite_at_extreme_limits(z, dtype):
    """Far below: d log Φ(z) / dμ = -φ(z)/Φ(z)/σ → z / σ; far above: 0."""
    mean = torch.tensor([0.0, 0.0], dtype=dtype, requires_grad=True)
    deviation = torch.tensor(1.0, dtype=dtype, requires_grad=True)
    limit = torch.tensor(z, dtype=dtype)
    value = torch.tensor([z, z + 1], dtype=dtype)
    log_likelihood = CensoredGaussian(mean, deviation, limit).log_prob(value)
    slope, deviation_slope = torch.autograd.grad(log_likelihood.sum(), (mean, deviation))
    expected = torch.tensor([min(z, 0.0), z + 1], dtype=dtype)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-5)
    assert deviation_slope.isfinite()


def test_gradients():
    value = double(0.0, 1.0, 2.5)
    parameters = tuple(double(*numbers).requires_grad_() for numbers in ([0.2, 3.0, 2.0], [1.0], [1.2]))
    assert torch.autograd.gradcheck(lambda m, s, lim: CensoredGaussian(m, s, lim).log_prob(value), parameters)


def exact_recorded_mean(mean, deviation, limit):
    with mpmath.workdps(60):
        mean, deviation, limit = map(mpmath.mpf, (mean, deviation, limit))
        a = (limit - mean) / deviation
        return float(mean + deviation * (a * mpmath.ncdf(a) + mpmath.npdf(a)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("mean", "deviation", "limit"),
    [
        (0, 1, -20),
        (0, 1, 30),
        (5, 0.25, 5),
        (-3, 1e-3, 1e3),
        (0, 1e4, 1e-6),
        (0, 1e-25, -1e16),
        (0, 1e-25, 1e16),
    ],
)
def test_tails_are_right_and_keep_their_gradients(mean, deviation, limit, dtype):
    """(L - μ) / σ = 10⁴¹ is no float32: the quotient overflows, the answers do not."""
    numbers = torch.tensor([mean, deviation, limit], dtype=dtype)
    mean, deviation, limit = (number.clone().requires_grad_() for number in numbers)
    noise = CensoredGaussian(mean, deviation, limit)
    exact = torch.tensor(exact_recorded_mean(*numbers.tolist()), dtype=dtype)
    torch.testing.assert_close(noise.recorded_mean, exact, rtol=10 * torch.finfo(dtype).eps, atol=1e-80)
    assert noise.recorded_mean >= torch.maximum(mean, limit)
    slopes = torch.autograd.grad(noise.recorded_mean, (mean, limit, deviation))
    a = (numbers[2].double() - numbers[0].double()) / numbers[1].double()
    above = stats.norm.sf(a.item())
    torch.testing.assert_close(slopes[0].double(), double(above)[0], rtol=1e-5, atol=1e-40)
    torch.testing.assert_close(slopes[1].double(), double(1 - above)[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slopes[2].double(), double(stats.norm.pdf(a.item()))[0], rtol=1e-4, atol=1e-40)
    if a > -1e15:
        slopes = torch.autograd.grad(noise.log_prob(limit.detach()), (mean, limit, deviation))
        ratio = double(stats.norm.pdf(a.item()) / stats.norm.cdf(a.item()) if a > -30 else -a.item())[0]
        torch.testing.assert_close(slopes[0].double(), -ratio / numbers[1].double(), rtol=1e-4, atol=1e-30)
        assert slopes[2].isfinite()


def test_density_above_and_probability_at_the_limit_add_up_to_one():
    noise = CensoredGaussian(double(0.4), double(1.3), double(0.1))
    grid = torch.linspace(0.1, 14.0, 200_001, dtype=torch.float64)[1:]
    above = torch.trapezoid(noise.log_prob(grid).exp(), grid)
    torch.testing.assert_close(above + noise.log_prob(noise.limit).exp(), double(1.0), rtol=0, atol=1e-4)


def test_samples_are_recorded_values(device, generator):
    mean, deviation, limit = (torch.tensor(x, dtype=torch.float64, device=device) for x in (0.0, 2.0, 0.5))
    noise, size = CensoredGaussian(mean, deviation, limit), 40_000
    sample = noise.sample(generator, (size,))
    share = stats.norm.cdf(0.25)
    assert sample.shape == (size,) and (sample >= limit).all()
    at_limit = (sample == limit).double().mean()
    assert abs(at_limit - share) < 5 * (share * (1 - share) / size) ** 0.5
    assert (sample.mean() - noise.recorded_mean).abs() < 5 * sample.std() / size**0.5
    assert noise.variance == 4.0


def test_maximum_likelihood_recovers_the_mean_that_averaging_overstates():
    truth = CensoredGaussian(double(0.0), double(1.0), double(0.3))
    sample = truth.sample(torch.Generator().manual_seed(1), (20_000,))
    candidates = torch.linspace(-0.5, 0.7, 241, dtype=torch.float64)[:, None]
    score = CensoredGaussian(candidates, double(1.0), double(0.3)).log_prob(sample[:, 0]).sum(-1)
    best = candidates[score.argmax(), 0]
    assert best.abs() < 0.04 and sample.mean() > 0.5


def test_quantiles_stop_at_the_limit():
    noise = CensoredGaussian(double(0.0), double(1.0), double(-0.5))
    interval = noise.interval(0.9)
    torch.testing.assert_close(interval.lower, double(-0.5))
    torch.testing.assert_close(interval.upper, double(stats.norm.ppf(0.95)), rtol=1e-12, atol=0)


def test_parameters_broadcast():
    noise = CensoredGaussian(torch.zeros(3, 1), torch.tensor(1.0), torch.tensor([0.0, 1.0]))
    assert noise.sample(torch.Generator(), (5,)).shape == (5, 3, 2)
    assert noise.log_prob(torch.zeros(3, 2)).shape == (3, 2)
    assert noise.recorded_mean.shape == (3, 2)


BAD_PARAMETERS = [
    (([torch.nan], [1.0], [0.0]), r"mean must be finite: mean\[0\] = nan"),
    (
        ([0.0], [0.0], [0.0]),
        r"standard_deviation must be positive and finite: standard_deviation\[0\] = 0.0",
    ),
    (([0.0], [1.0], [-torch.inf]), r"limit must be finite: limit\[0\] = -inf"),
    (
        ([0.0], [1.0, 1.0], [0.0] * 3),
        r"limit must broadcast with standard_deviation: shapes \(3,\) and \(2,\)",
    ),
]


@pytest.mark.parametrize("parameters, message", BAD_PARAMETERS, ids=[case[-1] for case in BAD_PARAMETERS])
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        CensoredGaussian(*(torch.tensor(numbers) for numbers in parameters))


def test_missing_values_and_bad_probabilities_are_refused():
    noise = CensoredGaussian(torch.zeros(2), torch.ones(2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"value must be finite .*: value\[1\] = nan"):
        noise.log_prob(torch.tensor([0.0, torch.nan]))
    with pytest.raises(ValueError, match="probability must lie strictly between 0 and 1: got 2.0"):
        noise.quantile(2.0)
    with pytest.raises(ValueError, match="limit must be a floating-point tensor: got float"):
        CensoredGaussian(torch.zeros(2), torch.ones(2), 0.0)
