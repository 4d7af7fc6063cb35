"""Poisson and NegativeBinomial against SciPy, against mpmath at 60 digits, and against theory."""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.observation import NegativeBinomial, Poisson

COUNTS = [0, 1, 2, 15, 16, 17, 100, 1e3, 123456, 1e8, 1e8 + 54321, 3e9]
MEANS = [1e-8, 1e-3, 0.5, 1, 16.5, 1e3, 1e5, 1e8]
DISPERSIONS = [0, 1e-12, 1e-9, 1e-6, 1e-3, 0.0624, 0.0626, 1, 30, 1e3]


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def exact_log_probability(count, mean, dispersion):
    """The textbook formula at 60 digits, where its cancellation costs nothing."""
    with mpmath.workdps(60):
        k, mu, alpha = mpmath.mpf(count), mpmath.mpf(mean), mpmath.mpf(dispersion)
        if alpha == 0:
            return float(k * mpmath.log(mu) - mu - mpmath.loggamma(k + 1))
        r = 1 / alpha
        coefficient = mpmath.loggamma(k + r) - mpmath.loggamma(r) - mpmath.loggamma(k + 1)
        return float(
            coefficient + k * mpmath.log(alpha * mu / (1 + alpha * mu)) - r * mpmath.log1p(alpha * mu)
        )


def assert_log_probability_exact(count, mean, dispersion):
    """Within 1e-10 relative, or absolute where |log p| < 1."""
    computed = NegativeBinomial(mean, dispersion).log_prob(count)
    triples = zip(count.tolist(), mean.tolist(), dispersion.tolist(), strict=True)
    exact = double(*(exact_log_probability(*triple) for triple in triples))
    error = (computed - exact).abs() / exact.abs().clamp(min=1)
    assert error.max() < 1e-10


def test_log_prob_is_exact_from_tiny_to_huge():
    count, mean, dispersion = double(*itertools.product(COUNTS, MEANS, DISPERSIONS)).unbind(-1)
    assert_log_probability_exact(count, mean, dispersion)


@pytest.mark.parametrize("deviations", [-4, -1, -0.1, 0.1, 1, 4])
def test_log_prob_is_exact_near_the_mean_where_cancellation_is_worst(deviations):
    mean, dispersion = double(*itertools.product(MEANS, DISPERSIONS)).unbind(-1)
    spread = (mean + dispersion * mean**2).sqrt()
    count = (mean + deviations * spread).round().clamp(min=0)
    assert_log_probability_exact(count, mean, dispersion)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.floats(-8, 8), st.floats(-12, 3))
def test_log_prob_is_exact_for_any_parameters(count, log_mean, log_dispersion):
    assert_log_probability_exact(double(count), double(10**log_mean), double(10**log_dispersion))


def test_log_prob_agrees_with_scipy_where_scipy_keeps_its_digits():
    count, mean, dispersion = torch.arange(200), double(0.3, 7.0, 90.0)[:, None], double(0.2)
    ours = NegativeBinomial(mean, dispersion).log_prob(count)
    scipys = stats.nbinom.logpmf(count, 1 / dispersion, 1 / (1 + dispersion * mean))
    torch.testing.assert_close(ours, torch.as_tensor(scipys), rtol=1e-10, atol=1e-10)
    ours, scipys = Poisson(mean).log_prob(count), stats.poisson.logpmf(count, mean)
    torch.testing.assert_close(ours, torch.as_tensor(scipys), rtol=1e-10, atol=1e-10)


def test_poisson_log_prob_is_exact():
    count, mean = double(*itertools.product(COUNTS, MEANS)).unbind(-1)
    exact = double(
        *(exact_log_probability(k, m, 0) for k, m in zip(count.tolist(), mean.tolist(), strict=True))
    )
    torch.testing.assert_close(Poisson(mean).log_prob(count), exact, rtol=1e-10, atol=1e-10)


def test_small_dispersion_reaches_poisson_linearly():
    """d log p / dα at α = 0 is ((k - μ)² - k) / 2, from the expansion of the textbook formula."""
    count, mean = double(0, 3, 7, 40), double(5.0)
    dispersion = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    log_probability = NegativeBinomial(mean, dispersion).log_prob(count)
    (slope,) = torch.autograd.grad(log_probability.sum(), dispersion)
    torch.testing.assert_close(slope, ((count - mean) ** 2 - count) / 2)
    step = 1e-9
    finite = NegativeBinomial(mean, double(step)).log_prob(count) - Poisson(mean).log_prob(count)
    torch.testing.assert_close(finite / step, slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dispersion", [1e-3, 0.05, 0.3, 4.0])
def test_gradients(dispersion):
    mean = double(0.4, 6.0, 150.0).requires_grad_()
    alpha = torch.full_like(mean, dispersion).requires_grad_()
    count = double(0, 9, 120)
    assert torch.autograd.gradcheck(lambda m, a: NegativeBinomial(m, a).log_prob(count), (mean, alpha))
    assert torch.autograd.gradgradcheck(lambda m, a: NegativeBinomial(m, a).log_prob(count), (mean, alpha))
    assert torch.autograd.gradcheck(lambda m: Poisson(m).log_prob(count), (mean,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_mean_gradient_has_its_closed_form_and_no_gradient_is_nan(dtype):
    """d log p / dμ = (k - μ) / (μ (1 + αμ))."""
    count, mean, dispersion = double(*itertools.product(COUNTS, MEANS, DISPERSIONS)).to(dtype).unbind(-1)
    mean.requires_grad_(), dispersion.requires_grad_()
    log_probability = NegativeBinomial(mean, dispersion).log_prob(count)
    assert log_probability.isfinite().all()
    slope, dispersion_slope = torch.autograd.grad(log_probability.sum(), (mean, dispersion))
    exact = (count - mean) / (mean * (1 + dispersion * mean))
    tolerance = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(slope, exact.detach(), rtol=tolerance, atol=tolerance)
    assert dispersion_slope.isfinite().all()


# --- the ends of the float range ------------------------------------------------------------------

ENDS = {
    "float32": (torch.float32, [1e-45, 3e-42, 1e-38, 1e-20, 1e-9, 3.0, 1e11, 1e20, 1e31, 3e38], 2e-4),
    "float64": (torch.float64, [5e-324, 1e-310, 1e-305, 1e-150, 3.0, 1e25, 1e150, 1e300], 1e-10),
}
END_COUNTS = [0, 1, 2, 40, 1e5, 1e9, 1e18]
END_DISPERSIONS = [0, 1e-38, 1e-25, 1e-7, 0.0624, 0.0626, 0.8, 50.0]


def exact_derivatives(count, mean, dispersion):
    """log p, ∂/∂μ and ∂/∂α at 400 digits, and the size of what ∂/∂α is the difference of."""
    with mpmath.workdps(400):
        k, mu, alpha = mpmath.mpf(count), mpmath.mpf(mean), mpmath.mpf(dispersion)
        ratio = (k - mu) / ((1 + alpha * mu) * (1 + alpha * k))
        size = abs(k * ratio) + k / (1 + alpha * k) + 1 / (1 + alpha)
        slope = (k - mu) / (mu * (1 + alpha * mu))
        if alpha == 0:
            return k * mpmath.log(mu) - mu - mpmath.loggamma(k + 1), slope, ((k - mu) ** 2 - k) / 2, size
        r, log = 1 / alpha, mpmath.log1p(alpha * mu)
        value = -r * log
        by_dispersion = r**2 * log - r * mu / (1 + alpha * mu) + k * r / (1 + alpha * mu)
        if k > 0:
            value += mpmath.loggamma(k + r) - mpmath.loggamma(r) - mpmath.loggamma(k + 1)
            value += k * (mpmath.log(alpha * mu) - log)
            by_dispersion -= r**2 * (mpmath.digamma(k + r) - mpmath.digamma(r))
        return value, slope, by_dispersion, size


@pytest.mark.parametrize(("dtype", "means", "tolerance"), ENDS.values(), ids=ENDS)
def test_log_prob_and_gradients_are_right_to_the_ends_of_the_float_range(dtype, means, tolerance):
    largest = torch.finfo(dtype).max
    triples = [t for t in itertools.product(END_COUNTS, means, END_DISPERSIONS) if t[2] * t[1] < largest]
    count, mean, dispersion = double(*triples).to(dtype).unbind(-1)
    mean.requires_grad_(), dispersion.requires_grad_()
    value = NegativeBinomial(mean, dispersion).log_prob(count)
    slopes = torch.autograd.grad(value.sum(), (mean, dispersion))
    found = torch.stack([value.detach(), *slopes], -1).tolist()
    for case, results in zip(
        zip(*map(torch.Tensor.tolist, (count, mean, dispersion)), strict=True), found, strict=True
    ):
        *exact, size = exact_derivatives(*case)
        sizes = abs(exact[0]), abs(exact[1]) + 1 / (1 + mpmath.mpf(case[2]) * case[1]), abs(exact[2]) + size
        for name, result, truth, scale in zip(
            ("value", "mean", "dispersion"), results, exact, sizes, strict=True
        ):
            if scale < largest / 4:  # what exceeds the range may be infinite
                assert abs(result - truth) <= tolerance * scale + 100 * torch.finfo(dtype).tiny, (name, case)


def test_counts_far_above_a_large_mean_keep_their_digits():
    """k / μ² is a float here, and log ρ = 1 / (αμ) a small difference of large logarithms."""
    assert_log_probability_exact(
        double(1e300, 1e296, 1e280), double(1.5e6, 3e7, 1e3), double(1.35, 0.02, 40.0)
    )


@pytest.mark.parametrize("count", [0.0, 1.0, 7.0])
def test_the_slope_of_a_wild_dispersion_is_right_or_refused(count):
    """∂ log p / ∂μ = (k - μ) / (μ (1 + αμ)), on whose way α (1 + αμ) is divided by."""
    mean, dispersion = double(4.5e19).requires_grad_(), double(1.2e120)
    (slope,) = torch.autograd.grad(NegativeBinomial(mean, dispersion).log_prob(double(count)).sum(), mean)
    assert slope.item() == pytest.approx((count - 4.5e19) / 4.5e19 / (1 + 1.2e120 * 4.5e19), rel=1e-9)
    with pytest.raises(ValueError, match=r"dispersion² · mean must be finite: .*\[0\] = inf"):
        NegativeBinomial(mean, 1e30 * dispersion)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("logits", [-100.0, -90.0, -50.0], ids=lambda logit: f"softplus({logit:.0f})")
def test_a_rate_that_a_network_drives_to_zero_keeps_its_gradient(logits, dtype):
    """No count at rate e^-100: log p = -μ, whose slope in the logit is -e^-100 / (1 + e^-100)."""
    logit = torch.tensor(logits, dtype=dtype, requires_grad=True)
    mean = torch.nn.functional.softplus(logit)
    for noise in (Poisson(mean), NegativeBinomial(mean, torch.tensor(0.7, dtype=dtype))):
        value = noise.log_prob(torch.tensor(0))
        (slope,) = torch.autograd.grad(value, logit, retain_graph=True)
        rtol = 1e-2 if dtype == torch.float32 else 1e-12  # at -100, float32 has 5 bits left
        torch.testing.assert_close(value, -mean, rtol=rtol, atol=0)
        torch.testing.assert_close(slope, -logit.detach().exp(), rtol=rtol, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dispersion", [0.0, 1e-25, 1e-12, 0.05, 9.0])
@pytest.mark.parametrize("mean", [0.5, 1e8, 3e18, 1e21, 1e30])
def test_slope_by_the_dispersion_of_huge_counts(mean, dispersion, dtype):
    """∂/∂α log p = n² (ψ(n) - ψ(k + n) + log(1 + αμ)) + (k - μ) n / (1 + αμ) with n = 1/α, in 120 digits."""
    for count in (0.0, 0.1 * mean, 0.999 * mean, mean, mean + mean**0.5, 1.5 * mean, 1e19, 1e25):
        mu, k = torch.tensor([mean, count], dtype=dtype)
        alpha, k = torch.tensor(dispersion, dtype=dtype, requires_grad=True), k.round()
        (slope,) = torch.autograd.grad(NegativeBinomial(mu, alpha).log_prob(k), alpha)
        with mpmath.workdps(120):
            right = dispersion_slope(*(mpmath.mpf(number.item()) for number in (k, mu, alpha)))
        if abs(right) > 0.9 * torch.finfo(dtype).max:
            assert slope.item() == math.copysign(math.inf, right)
            continue
        rounding = 100 * torch.finfo(dtype).eps * (abs(float(right)) + k.item() + mean)
        assert slope.item() == pytest.approx(float(right), rel=0, abs=rounding)


def dispersion_slope(k, mu, alpha):
    if not alpha:
        return ((k - mu) ** 2 - k) / 2
    n = 1 / alpha
    bend = mpmath.digamma(n) - mpmath.digamma(k + n) + mpmath.log1p(alpha * mu)
    return n**2 * bend + (k - mu) * n / (1 + alpha * mu)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_slopes_forward_and_for_many_dispersions_at_once():
    count, mean = double([0.0, 3.0, 40.0]), double([2.0, 2.5, 30.0])

    def total(alpha):
        return NegativeBinomial(mean, alpha.expand(3)).log_prob(count).sum()

    alpha = double(0.3).requires_grad_()
    (backward,) = torch.autograd.grad(total(alpha), alpha)
    torch.testing.assert_close(torch.func.jacfwd(total)(double(0.3)), backward)


@pytest.mark.parametrize("mean", [1e-150, 1e-20, 0.3, 1e6, 1e100])
@pytest.mark.parametrize("dispersion", [0.0, 1e-12, 0.05, 9.0])
def test_second_derivatives_are_right_at_the_ends(mean, dispersion):
    """∂²/∂μ² log p = -k/μ² + α (k α + 1) / (1 + αμ)²  with (1 + αk) over α, from the textbook formula."""
    for count in (0.0, 1.0, 7.0):
        mu = double(mean).requires_grad_()
        value = NegativeBinomial(mu, double(dispersion)).log_prob(double(count))
        (slope,) = torch.autograd.grad(value, mu, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, mu)
        pieces = -count / mean**2, dispersion * (1 + dispersion * count) / (1 + dispersion * mean) ** 2
        torch.testing.assert_close(
            curvature, double(sum(pieces)), rtol=0, atol=1e-9 * max(map(abs, pieces)) + 1e-300
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("mean", [1e-30, 1e-8, 3.3, 1e6, 1e9, 1e12])
def test_cdf_and_quantile_do_not_depend_on_the_dtype(mean, dtype):
    mean = torch.tensor(mean, dtype=dtype)
    count = (mean + torch.tensor([-3.0, -0.4, 0.0, 1.0, 5.0]) * mean.sqrt()).clamp(min=0).round().to(dtype)
    exact = torch.as_tensor(stats.poisson.cdf(count.double(), mean.double()))
    tolerance = max(5e-9, torch.finfo(dtype).eps)
    torch.testing.assert_close(Poisson(mean).cdf(count).double(), exact, rtol=0, atol=tolerance)
    for dispersion in (0.2, 7.0):
        noise = NegativeBinomial(mean, torch.tensor(dispersion, dtype=dtype))
        alpha = noise.dispersion.item()
        law = stats.nbinom(1 / alpha, 1 / (1 + alpha * mean.item()))
        exact = torch.as_tensor(law.cdf(count.double()))
        torch.testing.assert_close(noise.cdf(count).double(), exact, rtol=0, atol=tolerance)
        for probability in (1e-6, 0.3, 0.999, 1 - 1e-8):
            quantile = double(law.ppf(probability))[0]
            rtol = max(1e-7, torch.finfo(dtype).eps)
            torch.testing.assert_close(noise.quantile(probability).double(), quantile, rtol=rtol, atol=0)


def test_intervals_reach_where_the_variance_overflows():
    """μ = 10³⁰ in float32: the variance with α = ½ is infinite, the interval is not."""
    noise = NegativeBinomial(torch.tensor(1e30), torch.tensor(0.5))
    interval = noise.interval(0.9)
    exact = stats.gamma(2, scale=0.5e30)  # what is left of the counts' scatter
    torch.testing.assert_close(interval.lower.item(), exact.ppf(0.05), rtol=1e-6, atol=0)
    torch.testing.assert_close(interval.upper.item(), exact.ppf(0.95), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("mean", [1e-40, 1e11, 2e12, 5e18, 1e20, 1e36])
@pytest.mark.parametrize("dispersion", [0.0, 1e-42, 0.3])
def test_samples_at_extreme_means_have_their_moments(mean, dispersion, dtype, generator):
    """torch's own sampler counts in int64 and turns negative above 9 · 10¹⁸."""
    size = 4_000
    noise = NegativeBinomial(
        torch.tensor(mean, dtype=dtype, device=generator.device),
        torch.tensor(dispersion, dtype=dtype, device=generator.device),
    )
    sample = noise.sample(generator, (size,)).double()
    assert (sample >= 0).all()
    assert (sample == sample.round()).all()
    resolution = torch.finfo(dtype).eps * mean
    deviation = max(noise.standard_deviation.double().item(), resolution)
    assert abs(sample.mean().item() - mean) < 6 * deviation / size**0.5 + 4 * resolution
    if deviation > 10 * resolution and mean > 1:
        assert abs(sample.std().item() / deviation - 1) < 0.15


def test_single_precision_keeps_the_log_probability_usable():
    """At μ = 10⁴ the textbook formula in float32 is wrong by about 0.01; here the error is below 1e-4."""
    count = torch.arange(9_600, 10_400)
    single = NegativeBinomial(torch.tensor(1e4), torch.tensor(1e-3)).log_prob(count)
    exact = NegativeBinomial(double(1e4), torch.tensor(1e-3).double()).log_prob(count)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mean, dispersion", [(0.4, 0.0), (5.0, 0.3), (30.0, 2.0), (20.0, 1e-12)])
def test_probabilities_sum_to_one_with_the_stated_moments(mean, dispersion):
    count = torch.arange(3_000, dtype=torch.float64)
    noise = NegativeBinomial(double(mean), double(dispersion))
    probability = noise.log_prob(count).exp()
    first = (probability * count).sum()
    torch.testing.assert_close(probability.sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(first[None], noise.mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(
        (probability * (count - first) ** 2).sum()[None], noise.variance, rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("dispersion", [0.0, 1e-9, 1e-3, 0.3, 5.0, 100.0])
@pytest.mark.parametrize("mean", [1e-3, 0.7, 16.5, 400.0])
def test_cdf_is_the_sum_of_the_probabilities(mean, dispersion):
    count = torch.arange(2_000)
    noise = NegativeBinomial(double(mean), double(dispersion))
    torch.testing.assert_close(noise.cdf(count), noise.log_prob(count).exp().cumsum(0), rtol=0, atol=2e-9)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95, 0.999])
def test_quantiles_are_scipys(probability):
    mean, dispersion = double(
        *itertools.product([1e-8, 0.3, 4.2, 85.0, 1e4, 1e8], [1e-3, 0.1, 1.0, 20.0])
    ).unbind(-1)
    ours = NegativeBinomial(mean, dispersion).quantile(probability)
    scipys = stats.nbinom.ppf(probability, 1 / dispersion, 1 / (1 + dispersion * mean))
    torch.testing.assert_close(ours, torch.as_tensor(scipys), rtol=1e-8, atol=0)
    poisson = stats.poisson.ppf(probability, mean)
    torch.testing.assert_close(Poisson(mean).quantile(probability), torch.as_tensor(poisson), rtol=0, atol=0)
    without_dispersion = NegativeBinomial(mean, torch.zeros_like(mean)).quantile(probability)
    torch.testing.assert_close(without_dispersion, torch.as_tensor(poisson), rtol=0, atol=0)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 1e5), st.floats(0, 50), st.floats(0.001, 0.999))
def test_quantile_is_the_smallest_count_that_reaches_the_probability(mean, dispersion, probability):
    noise = NegativeBinomial(double(mean), double(dispersion))
    quantile = noise.quantile(probability)
    assert noise.cdf(quantile) >= probability
    assert quantile == 0 or noise.cdf(quantile - 1) < probability


def test_interval_covers_at_least_its_level():
    mean, dispersion = double(0.2, 3.0, 50.0, 2e3), double(0.4)
    noise = NegativeBinomial(mean, dispersion)
    interval = noise.interval(0.9)
    below = torch.where(interval.lower > 0, noise.cdf((interval.lower - 1).clamp(min=0)), 0)
    covered = noise.cdf(interval.upper) - below
    assert (covered >= 0.9).all() and covered[-1] < 0.901
    assert interval.contains(mean.round()).all()


@pytest.mark.parametrize(
    "mean, dispersion", [(0.5, 0.0), (12.0, 0.0), (12.0, 0.7), (1e8, 1e-12), (1e8, 0.0), (3.0, 4.0)]
)
def test_samples_have_the_stated_moments(mean, dispersion, device, generator):
    size = 40_000
    parameters = (torch.tensor(x, dtype=torch.float64, device=device) for x in (mean, dispersion))
    noise = NegativeBinomial(*parameters)
    sample = noise.sample(generator, (size,))
    excess = 6 * dispersion + 1 / noise.variance  # excess kurtosis of the negative binomial
    assert sample.shape == (size,) and sample.device.type == device.type
    assert (sample == sample.round()).all() and (sample >= 0).all()
    assert (sample.mean() - noise.mean).abs() < 5 * (noise.variance / size).sqrt()
    assert (sample.var() - noise.variance).abs() < 5 * noise.variance * ((excess + 2) / size).sqrt()


def test_sampling_follows_the_generator_and_the_probabilities(device):
    noise = NegativeBinomial(torch.tensor([2.0, 9.0], device=device), torch.tensor(0.5, device=device))
    first, again = (noise.sample(torch.Generator(device).manual_seed(7), (5_000,)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (5_000, 2) and first.dtype == torch.float32
    for column in range(2):
        share = (first[:, column] <= 3).float().mean()
        expected = noise.cdf(torch.tensor(3, device=device))[column]
        assert (share - expected).abs() < 5 * (expected * (1 - expected) / 5_000) ** 0.5


def test_poisson_samples_have_variance_equal_to_mean(generator, device):
    mean = torch.tensor([0.3, 40.0], dtype=torch.float64, device=device)
    sample = Poisson(mean).sample(generator=generator, sample_shape=(40_000,))
    assert ((sample.mean(0) - mean).abs() < 5 * (mean / 40_000).sqrt()).all()
    assert ((sample.var(0) - mean).abs() < 5 * mean * ((2 + 1 / mean) / 40_000).sqrt()).all()


def test_values_and_parameters_broadcast():
    noise = NegativeBinomial(torch.full((3, 1), 4.0), torch.tensor([0.1, 0.2]))
    assert noise.log_prob(torch.arange(6).reshape(3, 2)).shape == (3, 2)
    assert noise.sample(torch.Generator(), (7,)).shape == (7, 3, 2)
    assert noise.quantile(0.5).shape == (3, 2)


BAD_PARAMETERS = [
    (lambda: Poisson(3.0), r"mean must be a floating-point tensor: got float"),
    (
        lambda: Poisson(torch.tensor([1])),
        r"mean must be a floating-point tensor: got a torch.int64 tensor",
    ),
    (lambda: Poisson(torch.tensor([1.0, 0.0])), r"mean must be positive and finite: mean\[1\] = 0.0"),
    (
        lambda: NegativeBinomial(torch.tensor(2.0), torch.tensor([0.0, -0.5])),
        r"dispersion must be finite and not negative: dispersion\[1\] = -0.5",
    ),
    (
        lambda: NegativeBinomial(torch.tensor([[1.0, torch.nan]]), torch.tensor(0.1)),
        r"mean must be positive and finite: mean\[0, 1\] = nan",
    ),
    (
        lambda: NegativeBinomial(torch.tensor([1.0, 1e38]), torch.tensor(40.0)),
        r"dispersion² · mean must be finite: dispersion² · mean\[1\] = inf",
    ),
    (
        lambda: NegativeBinomial(torch.ones(2), torch.tensor(40.0)).log_prob(torch.tensor([1.0, 1e38])),
        r"dispersion · value must be finite: dispersion · value\[1\] = inf",
    ),
    (
        lambda: NegativeBinomial(torch.ones(3), torch.ones(2)),
        r"dispersion must broadcast with mean: shapes \(2,\) and \(3,\)",
    ),
    (
        lambda: NegativeBinomial(torch.ones(3), double(0.1)),
        r"dispersion must have the dtype of mean: got torch.float64 and torch.float32",
    ),
    (
        lambda: NegativeBinomial(torch.ones(3), torch.ones(3, device="meta")),
        r"dispersion must have the device of mean: got meta and cpu",
    ),
]


@pytest.mark.parametrize("build, message", BAD_PARAMETERS, ids=[case[-1] for case in BAD_PARAMETERS])
def test_bad_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


NO_COUNTS = [
    ([1.0, -1.0], r"value must be a whole number, zero or more: value\[1\] = -1.0"),
    ([0.5, 1.0], r"value must be a whole number, zero or more: value\[0\] = 0.5"),
    ([1.0, torch.nan], r"value must be a whole number, zero or more: value\[1\] = nan"),
    ([torch.inf, 1.0], r"value must be a whole number, zero or more: value\[0\] = inf"),
    ([1.0, 2.0, 3.0], r"value must broadcast with mean: shapes \(3,\) and \(2,\)"),
]


@pytest.mark.parametrize("value, message", NO_COUNTS, ids=[case[-1] for case in NO_COUNTS])
@pytest.mark.parametrize("method", ["log_prob", "cdf"])
@pytest.mark.parametrize(
    "noise",
    [Poisson(torch.ones(2)), NegativeBinomial(torch.ones(2), torch.ones(2))],
    ids=["Poisson", "NegativeBinomial"],
)
def test_values_that_are_no_counts_are_refused(noise, method, value, message):
    with pytest.raises(ValueError, match=message):
        getattr(noise, method)(torch.tensor(value))


def test_other_misuse_is_refused():
    noise = Poisson(torch.ones(2))
    with pytest.raises(ValueError, match="value must be a tensor of counts: got list"):
        noise.log_prob([1, 2])
    with pytest.raises(
        ValueError, match="value must have the dtype of mean: got torch.float64 and torch.float32"
    ):
        noise.log_prob(double(1, 2))
    with pytest.raises(ValueError, match="value must have the device of mean: got meta and cpu"):
        noise.log_prob(torch.ones(2, device="meta"))
    with pytest.raises(ValueError, match="probability must lie strictly between 0 and 1: got 1.0"):
        noise.quantile(1.0)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1: got 90"):
        noise.interval(90)
