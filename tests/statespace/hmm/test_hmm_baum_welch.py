"""Baum-Welch climbs, stops at a stationary point, and says what it did."""

from itertools import pairwise

import pytest
import torch

from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    PoissonEmission,
    baum_welch,
    hmm_log_likelihood,
    simulate_hmm,
)

STEPS, LENGTHS = 40, torch.tensor([40, 17, 1, 33, 0])


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


EMISSIONS = {
    "categorical": CategoricalEmission(double([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])),
    "poisson": PoissonEmission(double([[1.0, 5.0], [4.0, 2.0]])),
    "gaussian": GaussianEmission(
        double([[0.0, 1.0], [2.0, -1.0]]), double([[[1.0, 0.5], [0.5, 2.0]], [[1.0, 0.0], [0.0, 0.5]]])
    ),
}


@pytest.fixture(params=EMISSIONS)
def start(request):
    return HMM(double([0.4, 0.6]), double([[0.8, 0.2], [0.3, 0.7]]), EMISSIONS[request.param])


@pytest.fixture
def series(start):
    generator = torch.Generator().manual_seed(4)
    y = simulate_hmm(start, STEPS, len(LENGTHS), generator).observations
    return y, torch.rand(y.shape, generator=generator) > 0.3


def test_log_likelihood_never_falls_and_is_that_of_the_model(start, series):
    y, mask = series
    fit = baum_welch(start, y, mask, LENGTHS, iterations=30, tolerance=-1.0, progress=False)
    trace = torch.tensor(fit.log_likelihoods, dtype=torch.float64)
    assert len(trace) == 31 and (trace.diff() > -1e-10).all() and trace[-1] > trace[0] + 1
    assert hmm_log_likelihood(start, y, mask, LENGTHS).sum().item() == pytest.approx(trace[0].item())
    assert hmm_log_likelihood(fit.model, y, mask, LENGTHS).sum().item() == pytest.approx(trace[-1].item())


def test_a_fit_is_one_step_after_the_other(start, series):
    y, mask = series
    whole = baum_welch(start, y, mask, LENGTHS, iterations=3, tolerance=-1.0, progress=False)
    hmm = start
    for before, after in pairwise(whole.log_likelihoods):
        step = baum_welch(hmm, y, mask, LENGTHS, iterations=1, tolerance=-1.0, progress=False)
        assert step.log_likelihoods == (before, after)
        hmm = step.model
    assert torch.equal(hmm.transition, whole.model.transition)


def test_converged_fit_has_no_slope_left(start, series):
    """The gradient is zero, but for parameters that have arrived at their bound of zero."""
    y, mask = series
    fit = baum_welch(start, y, mask, LENGTHS, iterations=3000, tolerance=1e-12, progress=False)
    assert fit.converged and fit.iterations < 3000
    hmm = fit.model
    logits = hmm.transition.log().requires_grad_()
    like = hmm.emission.like.clone().requires_grad_()
    emission = {
        CategoricalEmission: lambda: CategoricalEmission(like / like.sum(-1, keepdim=True)),
        PoissonEmission: lambda: PoissonEmission(like),
        GaussianEmission: lambda: GaussianEmission(like, hmm.emission.covariance),
    }[type(hmm.emission)]()
    refitted = HMM(hmm.initial, logits.softmax(-1), emission)
    log_likelihood = hmm_log_likelihood(refitted, y, mask, LENGTHS).sum()
    for slope, leaf in zip(torch.autograd.grad(log_likelihood, (logits, like)), (logits, like), strict=True):
        assert (slope * (1 if leaf is logits else leaf.detach())).abs().max() < 1e-4


def test_forbidden_stays_forbidden_and_unsupported_stays_as_it_was():
    """State 2 is never entered: neither its row nor its emission has anything to learn from."""
    start = HMM(
        double([1.0, 0.0, 0.0]),
        double([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]),
        GaussianEmission(double([[0.0], [3.0], [7.0]]), torch.ones(3, 1, 1, dtype=torch.float64)),
    )
    y = simulate_hmm(start, 30, 6, torch.Generator().manual_seed(0)).observations
    fit = baum_welch(start, y, iterations=10, tolerance=0.0, progress=False).model
    assert (fit.transition[start.transition == 0] == 0).all() and (fit.initial[1:] == 0).all()
    assert torch.equal(fit.transition[2], start.transition[2])
    assert torch.equal(fit.emission.mean[2], start.emission.mean[2])
    assert not torch.equal(fit.emission.mean[:2], start.emission.mean[:2])


def test_one_line_is_left(start, series, capsys):
    y, mask = series
    fit = baum_welch(start, y, mask, iterations=3, tolerance=-1.0)
    first, last = fit.log_likelihoods[0], fit.log_likelihoods[-1]
    expected = f"3 iterations, not yet converged: log-likelihood {first:.6g} → {last:.6g}\n"
    assert capsys.readouterr().out == expected
    baum_welch(start, y, mask, iterations=1, tolerance=1e9, progress=False)
    assert capsys.readouterr() == ("", "")


def test_bad_arguments(start, series):
    y, mask = series
    with pytest.raises(ValueError, match="iterations must be a whole number of at least 1: got 0"):
        baum_welch(start, y, mask, iterations=0)
    with pytest.raises(ValueError, match="lengths must leave at least one step: all are 0"):
        baum_welch(start, y, mask, torch.zeros(5, dtype=torch.long))
