"""Emissions against SciPy and torch.distributions, with entries missing, and their samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import MultivariateNormal

from helpers.statespace import HMM, CategoricalEmission, GaussianEmission, PoissonEmission, simulate_hmm

STATES = 3


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def log_prob(emission, y, mask):
    """As the recursions ask for it: of observations that have been checked."""
    return emission.log_prob(emission.check(y, mask), mask)


def random_gaussian(generator, features, offset=0.0):
    mean = torch.randn(STATES, features, dtype=torch.float64, generator=generator) + offset
    factor = torch.randn(STATES, features, features, dtype=torch.float64, generator=generator)
    return GaussianEmission(mean, factor @ factor.mT + 0.1 * torch.eye(features, dtype=torch.float64))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(0, 2**31))
def test_gaussian_is_the_marginal_of_what_is_observed(features, seed):
    generator = torch.Generator().manual_seed(seed)
    emission = random_gaussian(generator, features)
    y = 3 * torch.randn(2, 5, features, dtype=torch.float64, generator=generator)
    mask = torch.rand(y.shape, generator=generator) > 0.4
    evidence = log_prob(emission, y, mask)
    for b, t in torch.cartesian_prod(torch.arange(2), torch.arange(5)).tolist():
        seen = mask[b, t]
        expected = torch.zeros(STATES, dtype=torch.float64)
        if seen.any():
            marginal = MultivariateNormal(emission.mean[:, seen], emission.covariance[:, seen][:, :, seen])
            expected = marginal.log_prob(y[b, t, seen])
        torch.testing.assert_close(evidence[b, t], expected, rtol=1e-11, atol=1e-11)


def test_gaussian_keeps_its_digits_far_from_zero():
    """Means near 1e6 with deviations near 1, where raw second moments would lose twelve digits."""
    near = random_gaussian(torch.Generator().manual_seed(0), 2)
    far = GaussianEmission(near.mean + 2.0**20, near.covariance)
    y = torch.randn(2, 50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    everything = torch.ones_like(y, dtype=torch.bool)
    torch.testing.assert_close(
        log_prob(far, y + 2.0**20, everything), log_prob(near, y, everything), rtol=1e-8, atol=1e-8
    )


def test_gaussian_with_more_features_than_bits():
    """A pattern of 70 entries does not fit a 64-bit code."""
    features = 70
    emission = GaussianEmission(
        torch.zeros(2, features, dtype=torch.float64),
        torch.eye(features, dtype=torch.float64).expand(2, -1, -1),
    )
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 3, features, dtype=torch.float64, generator=generator)
    mask = torch.rand(y.shape, generator=generator) > 0.5
    expected = (stats.norm.logpdf(y) * mask.numpy()).sum(-1)
    torch.testing.assert_close(log_prob(emission, y, mask)[..., 1], torch.as_tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
def test_poisson_is_scipys(dtype):
    emission = PoissonEmission(double([[0.5, 20.0], [3.0, 0.0]]))
    y = torch.tensor([[[0, 25], [2, 0], [7, 1]]]).to(dtype)
    mask = torch.tensor([[[True, True], [True, False], [True, True]]])
    expected = stats.poisson.logpmf(y.unsqueeze(2).numpy(), emission.rate.numpy())
    expected = torch.as_tensor(expected).where(mask.unsqueeze(2), 0.0).sum(-1)
    torch.testing.assert_close(log_prob(emission, y, mask), expected, rtol=1e-12, atol=1e-12)
    assert log_prob(emission, y, mask)[0, 2, 1] == -torch.inf


def test_gradients_at_zero_probabilities_are_finite():
    rate = double([[0.0, 2.0]]).requires_grad_()
    probabilities = double([[0.0, 1.0]]).requires_grad_()
    seen = torch.ones(1, 2, dtype=torch.bool)
    both = seen.unsqueeze(-1).expand(1, 2, 2)
    counts = log_prob(PoissonEmission(rate), torch.tensor([[[0, 3], [0, 0]]]), both)
    symbols = log_prob(CategoricalEmission(probabilities), torch.tensor([[1, 1]]), seen)
    (by_rate,) = torch.autograd.grad(counts.sum(), rate)
    (by_probability,) = torch.autograd.grad(symbols.sum(), probabilities)
    torch.testing.assert_close(by_rate, double([[-2.0, 3 / 2 - 2]]))
    torch.testing.assert_close(by_probability, double([[0.0, 2.0]]))


def test_refit_gaussian_completes_missing_entries():
    """One state: iterating the M-step reaches a zero gradient of the observed data's likelihood."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 50, 3, dtype=torch.float64, generator=generator)
    y[..., 1] += 0.8 * y[..., 0]
    mask = torch.rand(y.shape, generator=generator) > 0.3
    weight = torch.ones(4, 50, 1, dtype=torch.float64)
    emission = GaussianEmission(
        torch.zeros(1, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[None]
    )
    for _ in range(200):
        emission = emission.refit(emission.check(y, mask), mask, weight)
    mean, covariance = (t.clone().requires_grad_() for t in (emission.mean, emission.covariance))
    log_likelihood = log_prob(GaussianEmission(mean, (covariance + covariance.mT) / 2), y, mask).sum()
    for slope in torch.autograd.grad(log_likelihood, (mean, covariance)):
        assert slope.abs().max() < 1e-8


def test_simulated_states_and_emissions_have_the_stated_moments(device, generator):
    transition = double([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5], [0.4, 0.0, 0.6]]).to(device)
    mean = double([[0.0, 3.0], [5.0, -1.0], [9.0, 9.0]]).to(device)
    covariance = double([[[1.0, 0.6], [0.6, 2.0]]] * 3).to(device)
    hmm = HMM(double([0.0, 1.0, 0.0]).to(device), transition, GaussianEmission(mean, covariance))
    simulated = simulate_hmm(hmm, 200, 500, generator)
    states, y = simulated.states, simulated.observations
    assert states.shape == (500, 200) and y.shape == (500, 200, 2) and y.device.type == device.type
    assert (states[:, 0] == 1).all()
    pairs = torch.zeros(3, 3, dtype=torch.float64, device=device)
    pairs.index_put_((states[:, :-1], states[:, 1:]), torch.ones_like(y[:, 1:, 0]), accumulate=True)
    assert (pairs[transition == 0] == 0).all()
    torch.testing.assert_close(pairs / pairs.sum(-1, keepdim=True), transition, rtol=0, atol=0.02)
    for state in range(3):
        sample = y[states == state]
        torch.testing.assert_close(sample.mean(0), mean[state], rtol=0, atol=0.05)
        torch.testing.assert_close(sample.T.cov(), covariance[state], rtol=0, atol=0.1)


@pytest.mark.parametrize(
    "emission, expected",
    [
        (PoissonEmission(double([[0.0, 4.0], [2.0, 30.0]])), [[0.0, 4.0], [2.0, 30.0]]),
        (CategoricalEmission(double([[0.1, 0.9], [0.6, 0.4]])), [0.9, 0.4]),
    ],
    ids=["poisson", "categorical"],
)
def test_samples_of_counts_and_symbols(emission, expected):
    states = torch.tensor([0, 1]).repeat(20_000, 1)
    sample = emission.sample(states, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(sample.mean(0), double(expected), rtol=0.02, atol=0)
