"""Filter, smoother, Viterbi and likelihood against the sum over every path, written out."""

from itertools import product

import pytest
import torch

from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    PoissonEmission,
    hmm_as_rnn,
    hmm_filter,
    hmm_log_likelihood,
    hmm_smoother,
    simulate_hmm,
    viterbi,
)
from helpers.statespace.hmm.model import check_observations

STEPS, BATCH, STATES = 5, 3, 3
LEFT_RIGHT = [[0.6, 0.3, 0.1], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
DENSE = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.25, 0.35, 0.4]]
EMISSIONS = {
    "categorical": lambda: CategoricalEmission(double([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.3, 0.7, 0.0]])),
    "poisson": lambda: PoissonEmission(double([[0.5, 7.0], [3.0, 1.0], [0.0, 4.0]])),
    "gaussian": lambda: GaussianEmission(
        double([[0.0, 1.0], [2.0, -1.0], [-3.0, 0.5]]),
        double([[[1.0, 0.5], [0.5, 2.0]], [[0.3, -0.2], [-0.2, 0.4]], [[1.0, 0.0], [0.0, 0.1]]]),
    ),
}


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.fixture(params=EMISSIONS)
def emission(request):
    return EMISSIONS[request.param]()


@pytest.fixture(params=["dense", "left-right"])
def hmm(request, emission):
    dense = request.param == "dense"
    initial = [0.5, 0.3, 0.2] if dense else [1.0, 0.0, 0.0]
    return HMM(double(initial), double(DENSE if dense else LEFT_RIGHT), emission)


@pytest.fixture
def series(hmm, generator_on_cpu):
    """Observations with holes, and three lengths."""
    y = simulate_hmm(hmm, STEPS, BATCH, generator_on_cpu).observations
    mask = torch.rand(y.shape, generator=generator_on_cpu) > 0.3
    return y, mask, torch.tensor([STEPS, 3, 1])


@pytest.fixture
def generator_on_cpu():
    return torch.Generator().manual_seed(3)


def all_paths(hmm, log_prob, length):
    """Every path of ``length`` steps with its joint probability with the series."""
    for path in product(range(STATES), repeat=length):
        joint = hmm.initial[path[0]].item()
        for i, j in zip(path[:-1], path[1:], strict=True):
            joint *= hmm.transition[i, j].item()
        for step, state in enumerate(path):
            joint *= log_prob[step, state].exp().item()
        yield path, joint


def observed(y, mask, lengths):
    valid = torch.arange(STEPS) < lengths.unsqueeze(-1)
    return mask & valid.reshape(*valid.shape, *[1] * (y.ndim - 2))


def test_everything_is_the_sum_over_all_paths(hmm, series):
    y, mask, lengths = series
    log_prob = hmm.log_evidence(check_observations(hmm, y, mask, lengths))
    log_likelihood = hmm_log_likelihood(hmm, y, mask, lengths)
    smoothed = hmm_smoother(hmm, y, mask, lengths)
    decoded = viterbi(hmm, y, mask, lengths)
    for b, length in enumerate(lengths.tolist()):
        paths = list(all_paths(hmm, log_prob[b], length))
        total = sum(joint for _, joint in paths)
        expected, pairs = double([[0.0] * STATES] * length), double([[0.0] * STATES] * STATES)
        for path, joint in paths:
            expected[range(length), path] += joint / total
            for i, j in zip(path[:-1], path[1:], strict=True):
                pairs[i, j] += joint / total
        best, joint = max(paths, key=lambda pair: pair[1])
        total, joint = double(total), double(joint)
        torch.testing.assert_close(log_likelihood[b], total.log(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(smoothed.log_likelihood[b], total.log(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(smoothed.probability[b, :length], expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(smoothed.pair_counts[b], pairs, rtol=1e-12, atol=1e-14)
        assert tuple(decoded.path[b, :length].tolist()) == best
        assert (decoded.path[b, length:] == -1).all()
        torch.testing.assert_close(decoded.log_probability[b], joint.log(), rtol=1e-12, atol=1e-12)


def test_filter_is_the_smoother_of_every_beginning(hmm, series):
    y, mask, _ = series
    filtered = hmm_filter(hmm, y, mask)
    for step in range(STEPS):
        beginning = hmm_smoother(hmm, y[:, : step + 1], mask[:, : step + 1])
        torch.testing.assert_close(
            filtered.probability[:, step], beginning.probability[:, -1], rtol=1e-12, atol=1e-14
        )
        torch.testing.assert_close(
            filtered.step_log_likelihood[:, : step + 1].sum(-1),
            beginning.log_likelihood,
            rtol=1e-12,
            atol=1e-12,
        )


def test_prediction_is_the_filter_where_nothing_is_seen(hmm, series):
    y, mask, _ = series
    predicted = hmm_filter(hmm, y, mask).predicted
    for step in range(STEPS):
        blind = mask.clone()
        blind[:, step] = False
        unseen = hmm_filter(hmm, y, blind).probability
        torch.testing.assert_close(predicted[:, step], unseen[:, step], rtol=1e-12, atol=1e-14)


def test_rnn_is_the_filter_at_every_step(hmm, series):
    y, mask, lengths = series
    hidden = hmm_as_rnn(hmm)(y, mask, lengths)
    filtered = hmm_filter(hmm, y, mask, lengths)
    torch.testing.assert_close(hidden, filtered.probability, rtol=0, atol=1e-12)


def test_all_missing_series_follows_the_prior(hmm, series):
    y, _, _ = series
    filtered = hmm_filter(hmm, y, torch.zeros_like(y, dtype=torch.bool))
    for step in range(STEPS):
        marginal = hmm.initial @ torch.linalg.matrix_power(hmm.transition, step)
        torch.testing.assert_close(
            filtered.probability[:, step], marginal.expand(BATCH, -1), rtol=1e-12, atol=1e-14
        )
    assert (filtered.step_log_likelihood.abs() < 1e-14).all()


def test_what_stands_in_missing_entries_and_padding_is_never_read(hmm, series):
    y, mask, lengths = series
    rubbish = torch.where(observed(y, mask, lengths), y, torch.nan if y.is_floating_point() else -99)
    for function in (
        hmm_log_likelihood,
        lambda *a: hmm_smoother(*a).probability,
        lambda *a: viterbi(*a).path,
    ):
        assert torch.equal(function(hmm, y, mask, lengths), function(hmm, rubbish, mask, lengths))


def test_series_do_not_see_each_other(hmm, series):
    y, mask, lengths = series
    together = hmm_smoother(hmm, y, mask, lengths)
    order = torch.tensor([2, 0, 1])
    permuted = hmm_smoother(hmm, y[order], mask[order], lengths[order])
    torch.testing.assert_close(permuted.probability, together.probability[order], rtol=1e-13, atol=1e-15)
    for b in range(BATCH):
        alone = hmm_smoother(hmm, y[b : b + 1], mask[b : b + 1], lengths[b : b + 1])
        torch.testing.assert_close(alone.probability[0], together.probability[b], rtol=1e-13, atol=1e-15)
        torch.testing.assert_close(alone.pair_counts[0], together.pair_counts[b], rtol=1e-13, atol=1e-15)
