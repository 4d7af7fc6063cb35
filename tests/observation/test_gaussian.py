"""Gaussian and HeteroscedasticGaussian against SciPy, theory and misuse."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.observation import Gaussian, HeteroscedasticGaussian


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@settings(deadline=None)
@given(st.floats(-1e8, 1e8), st.floats(-1e8, 1e8), st.floats(-8, 8))
def test_log_prob_and_cdf_are_scipys(value, mean, log_deviation):
    deviation = 10**log_deviation
    log_density = double(stats.norm.logpdf(value, mean, deviation))
    probability = double(stats.norm.cdf(value, mean, deviation))
    constant = Gaussian(double(mean), double(deviation))
    varying = HeteroscedasticGaussian(double(mean), double(2 * math.log(deviation)))
    for noise in (constant, varying):
        torch.testing.assert_close(noise.log_prob(double(value)), log_density, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(noise.cdf(double(value)), probability, rtol=1e-10, atol=1e-10)


def test_gradients():
    value, mean, deviation = double(0.3, -2.0), double(1.0, 4.0), double(0.5, 3.0)
    mean.requires_grad_(), deviation.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: Gaussian(m, s).log_prob(value), (mean, deviation))
    assert torch.autograd.gradcheck(
        lambda m, s: HeteroscedasticGaussian(m, s).log_prob(value), (mean, deviation)
    )


@pytest.mark.parametrize("log_variance", [-1400.0, 1400.0])
def test_extreme_log_variance_stays_finite_at_the_mean(log_variance):
    """At x = μ, d log p / ds = -½ whatever s is."""
    extreme = double(log_variance).requires_grad_()
    log_density = HeteroscedasticGaussian(double(2.0), extreme).log_prob(double(2.0))
    (slope,) = torch.autograd.grad(log_density.sum(), extreme)
    torch.testing.assert_close(log_density.detach(), double(-0.5 * (log_variance + math.log(2 * math.pi))))
    torch.testing.assert_close(slope, double(-0.5))


def test_samples_have_the_stated_moments(device, generator):
    mean = torch.tensor([[1.0, -3.0], [0.0, 50.0]], dtype=torch.float64, device=device)
    log_variance = torch.tensor([[0.0, 2.0], [-4.0, 1.0]], dtype=torch.float64, device=device)
    size = 40_000
    for noise in (HeteroscedasticGaussian(mean, log_variance), Gaussian(mean, log_variance[0].exp())):
        sample = noise.sample(generator, (size,))
        assert sample.shape == (size, 2, 2) and sample.device.type == device.type
        assert ((sample.mean(0) - noise.mean).abs() < 5 * (noise.variance / size).sqrt()).all()
        assert ((sample.var(0) - noise.variance).abs() < 5 * noise.variance * (2 / size) ** 0.5).all()


def test_samples_carry_no_gradient_and_follow_the_generator():
    noise = Gaussian(torch.ones(3, requires_grad=True), torch.tensor(2.0))
    first, again = (noise.sample(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and not first.requires_grad and first.dtype == torch.float32


def test_intervals_are_scipys():
    mean, deviation = double(0.0, 7.0), double(1.0, 0.2)
    lower, upper = stats.norm.interval(0.9, mean, deviation)
    for noise in (Gaussian(mean, deviation), HeteroscedasticGaussian(mean, 2 * deviation.log())):
        interval = noise.interval(0.9)
        torch.testing.assert_close(interval.lower, torch.as_tensor(lower), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(interval.upper, torch.as_tensor(upper), rtol=1e-12, atol=1e-12)
        assert interval.contains(double(1.6, 7.4)).tolist() == [True, False]


BAD_PARAMETERS = [
    (
        lambda: Gaussian(torch.ones(2), 1.0),
        "standard_deviation must be a floating-point tensor: got float",
    ),
    (
        lambda: Gaussian(torch.ones(2), torch.ones(2, 2)),
        r"standard_deviation must be a scalar or one per feature: got shape \(2, 2\)",
    ),
    (lambda: Gaussian(torch.tensor([torch.inf]), torch.ones(1)), r"mean must be finite: mean\[0\] = inf"),
    (
        lambda: Gaussian(torch.ones(2), torch.tensor(-1.0)),
        "standard_deviation must be positive and finite: standard_deviation = -1.0",
    ),
    (
        lambda: HeteroscedasticGaussian(torch.ones(2, 2), torch.ones(2)),
        r"log_variance must have the shape of mean: got \(2,\) and \(2, 2\)",
    ),
    (
        lambda: HeteroscedasticGaussian(torch.tensor([torch.nan]), torch.ones(1)),
        r"mean must be finite: mean\[0\] = nan",
    ),
    (
        lambda: HeteroscedasticGaussian(torch.ones(2), torch.tensor([0.0, 200.0])),
        r"log_variance must lie within ±177: log_variance\[1\] = 200.0",
    ),
    (
        lambda: HeteroscedasticGaussian(double(1.0), double(torch.nan)),
        r"log_variance must lie within ±1420: log_variance\[0\] = nan",
    ),
]


@pytest.mark.parametrize("build, message", BAD_PARAMETERS, ids=[case[-1] for case in BAD_PARAMETERS])
def test_bad_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("method", ["log_prob", "cdf"])
@pytest.mark.parametrize(
    "noise",
    [Gaussian(torch.ones(2), torch.tensor(1.0)), HeteroscedasticGaussian(torch.ones(2), torch.ones(2))],
    ids=["Gaussian", "HeteroscedasticGaussian"],
)
def test_bad_values_are_refused(noise, method):
    with pytest.raises(
        ValueError, match=r"value must be finite \(select the observed entries first\): value\[1\] = nan"
    ):
        getattr(noise, method)(torch.tensor([0.0, torch.nan]))
    with pytest.raises(ValueError, match=r"value must broadcast with mean: shapes \(3,\) and \(2,\)"):
        getattr(noise, method)(torch.zeros(3))
    with pytest.raises(
        ValueError, match="value must have the dtype of mean: got torch.float64 and torch.float32"
    ):
        getattr(noise, method)(double(0.0, 0.0))
    with pytest.raises(ValueError, match="probability must lie strictly between 0 and 1: got 0.0"):
        noise.quantile(0.0)


@pytest.mark.parametrize("shape", [3, None, "a", (-1,), (1.5,)], ids=str)
def test_samples_of_no_shape_are_refused(shape):
    noise = Gaussian(torch.zeros(2), torch.tensor(1.0))
    with pytest.raises(ValueError, match="sample_shape must be a tuple of whole numbers: got "):
        noise.sample(torch.Generator(), shape)


def test_an_implicit_generator_and_a_list_to_cover_are_refused():
    noise = Gaussian(torch.zeros(2), torch.tensor(1.0))
    with pytest.raises(ValueError, match="generator must be a torch.Generator: got NoneType"):
        noise.sample(None)
    with pytest.raises(ValueError, match=r"value must be a tensor: got list; torch.as_tensor\(value\) makes"):
        noise.interval(0.9).contains([0.0, 1.0])
