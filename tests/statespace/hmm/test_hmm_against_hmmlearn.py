"""Likelihood, posterior, decoding and Baum-Welch's fit against hmmlearn's, from the same start."""

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM, GaussianHMM, PoissonHMM

from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    PoissonEmission,
    baum_welch,
    hmm_log_likelihood,
    hmm_smoother,
    simulate_hmm,
    viterbi,
)

STATES, STEPS = 3, 80
LENGTHS = torch.tensor([80, 55, 1, 30])
INITIAL = [0.5, 0.2, 0.3]
TRANSITION = [[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]]
ITERATIONS = 12
AS_WE_DO = {"init_params": "", "n_iter": ITERATIONS, "tol": -np.inf}
"""From the given start, and not a single iteration less."""


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def gaussian():
    emission = GaussianEmission(
        double([[0.0, 1.0], [2.0, -1.0], [-1.0, -2.0]]),
        double([[[1.0, 0.3], [0.3, 1.5]], [[0.5, -0.2], [-0.2, 0.8]], [[1.2, 0.0], [0.0, 0.6]]]),
    )
    theirs = GaussianHMM(STATES, "full", min_covar=0.0, covars_prior=0.0, covars_weight=0.0, **AS_WE_DO)
    theirs.means_, theirs.covars_ = emission.mean.numpy(), emission.covariance.numpy()
    return emission, theirs


def poisson():
    emission = PoissonEmission(double([[1.0, 6.0], [4.0, 2.0], [9.0, 0.5]]))
    theirs = PoissonHMM(STATES, **AS_WE_DO)
    theirs.lambdas_ = emission.rate.numpy()
    return emission, theirs


def categorical():
    emission = CategoricalEmission(
        double([[0.6, 0.2, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6], [0.25, 0.4, 0.25, 0.1]])
    )
    theirs = CategoricalHMM(STATES, n_features=4, **AS_WE_DO)
    theirs.emissionprob_ = emission.probabilities.numpy()
    return emission, theirs


@pytest.fixture(params=[gaussian, poisson, categorical], ids=lambda build: build.__name__)
def pair(request):
    """Our model and theirs, with the same parameters."""
    emission, theirs = request.param()
    theirs.startprob_, theirs.transmat_ = np.array(INITIAL), np.array(TRANSITION)
    return HMM(double(INITIAL), double(TRANSITION), emission), theirs


@pytest.fixture
def series(pair):
    """Four series of different lengths; and as hmmlearn wants them, end to end."""
    y = simulate_hmm(pair[0], STEPS, len(LENGTHS), torch.Generator().manual_seed(1)).observations
    joined = torch.cat([one[:length] for one, length in zip(y, LENGTHS, strict=True)])
    return y, (joined if joined.ndim == 2 else joined.unsqueeze(-1)).numpy().astype(
        float if y.is_floating_point() and isinstance(pair[1], GaussianHMM) else int
    )


def end_to_end(tensor):
    return np.concatenate([one[:length].numpy() for one, length in zip(tensor, LENGTHS, strict=True)])


def test_likelihood_posterior_and_path_are_hmmlearns(pair, series):
    (hmm, theirs), (y, joined) = pair, series
    log_likelihood, posterior = theirs.score_samples(joined, LENGTHS.tolist())
    smoothed = hmm_smoother(hmm, y, lengths=LENGTHS)
    assert smoothed.log_likelihood.sum().item() == pytest.approx(log_likelihood, rel=1e-12)
    assert hmm_log_likelihood(hmm, y, lengths=LENGTHS).sum().item() == pytest.approx(
        log_likelihood, rel=1e-12
    )
    np.testing.assert_allclose(end_to_end(smoothed.probability), posterior, rtol=1e-10, atol=1e-12)
    log_probability, path = theirs.decode(joined, LENGTHS.tolist())
    decoded = viterbi(hmm, y, lengths=LENGTHS)
    np.testing.assert_array_equal(end_to_end(decoded.path), path)
    assert decoded.log_probability.sum().item() == pytest.approx(log_probability, rel=1e-12)


def test_baum_welch_is_hmmlearns(pair, series):
    (hmm, theirs), (y, joined) = pair, series
    theirs.fit(joined, LENGTHS.tolist())
    fit = baum_welch(hmm, y, lengths=LENGTHS, iterations=ITERATIONS, tolerance=-np.inf, progress=False)
    assert fit.iterations == ITERATIONS and not fit.converged
    np.testing.assert_allclose(fit.log_likelihoods[:-1], theirs.monitor_.history, rtol=1e-11)
    np.testing.assert_allclose(fit.model.initial, theirs.startprob_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fit.model.transition, theirs.transmat_, rtol=1e-8, atol=1e-12)
    if isinstance(theirs, GaussianHMM):
        np.testing.assert_allclose(fit.model.emission.mean, theirs.means_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(fit.model.emission.covariance, theirs.covars_, rtol=1e-8, atol=1e-10)
    else:
        name = "lambdas_" if isinstance(theirs, PoissonHMM) else "emissionprob_"
        np.testing.assert_allclose(fit.model.emission.like, getattr(theirs, name), rtol=1e-8, atol=1e-12)
