"""An observation intercept is what one may subtract from y: in every function, and where it is learned."""

from dataclasses import replace

import pytest
import torch
from statespace_models import random_model

from helpers.series import IrregularBatch
from helpers.statespace import (
    LinearGaussian,
    fit,
    kalman_as_rnn,
    kalman_filter,
    log_likelihood,
    maximise_likelihood,
    rts_smoother,
    sample_posterior,
    simulate,
    state_space_to_linear_rnn,
)

INTERCEPT = torch.tensor([3.0, -7.0], dtype=torch.float64)
FLAT = torch.tensor([True, False, False])


def seeded():
    return torch.Generator().manual_seed(0)


def models(**more):
    without = random_model(**more)
    return without, replace(without, observation_intercept=INTERCEPT)


def observations():
    y = torch.randn(2, 6, 2, dtype=torch.float64, generator=seeded())
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[0, 1, 0], mask[1, 3] = False, False
    return torch.where(mask, y, torch.nan), mask


@pytest.mark.parametrize("way", [{}, {"plain": True}, {"parallel": True}], ids=["halves", "plain", "scan"])
@pytest.mark.parametrize("diffuse", [None, FLAT], ids=["known start", "diffuse start"])
@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_filter_and_smoother_see_y_without_it(way, diffuse, per):
    y, mask = observations()
    without, model = models(per=per, diffuse=diffuse)
    one, other = kalman_filter(without, y, mask, **way), kalman_filter(model, y + INTERCEPT, mask, **way)
    for name in ("mean", "covariance", "innovation", "step_log_likelihood"):
        torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(rts_smoother(model, other).mean, rts_smoother(without, one).mean)
    ll = log_likelihood(model, y + INTERCEPT, mask)
    torch.testing.assert_close(ll, one.log_likelihood)


def test_gradient_by_the_intercept():
    y, mask = observations()
    without, _ = models()

    def of(d):
        return log_likelihood(replace(without, observation_intercept=d), y, mask)

    assert torch.autograd.gradcheck(of, INTERCEPT.clone().requires_grad_())


def test_draws_carry_it():
    without, model = models()
    one, other = (simulate(m, 6, 2, generator=seeded()) for m in (without, model))
    assert torch.equal(other.states, one.states)
    torch.testing.assert_close(other.observations, one.observations + INTERCEPT)
    y, mask = observations()
    paths = [
        sample_posterior(m, at, mask, count=3, generator=seeded())
        for m, at in ((without, y), (model, y + INTERCEPT))
    ]
    torch.testing.assert_close(*paths)


def test_networks_carry_it_as_biases():
    without, model = models()
    y = torch.randn(2, 400, 2, dtype=torch.float64, generator=seeded())
    rnn = kalman_as_rnn(model)
    torch.testing.assert_close(rnn(y + INTERCEPT), kalman_as_rnn(without)(y))
    settled = kalman_filter(model, y + INTERCEPT).mean[:, 300:]
    torch.testing.assert_close(rnn(y + INTERCEPT)[:, 300:], settled)
    states = torch.ones(1, 2, 3, dtype=torch.float64)
    for network in (rnn, state_space_to_linear_rnn(model)):
        torch.testing.assert_close(network.readout(states), states @ model.observation.mT + INTERCEPT)


def test_a_model_in_continuous_time_has_it():
    one = torch.eye(2, dtype=torch.float64)
    model = LinearGaussian.from_sde(
        -one, one, one, one, one, 0 * one[0], one, one[0, 0], observation_intercept=INTERCEPT
    )
    assert torch.equal(model.observation_intercept, INTERCEPT)


@pytest.mark.parametrize("method", ["gradient", "em"])
def test_of_white_noise_it_is_the_mean(method):
    """Without a state it is the mean of what was observed, sensor by sensor, as R is diagonal."""
    eye, y = torch.eye(2, dtype=torch.float64), torch.randn(2, 20, 2, dtype=torch.float64, generator=seeded())
    observed = torch.rand(y.shape, generator=seeded()) < 0.7
    start = LinearGaussian(0 * eye, eye, 0 * eye, eye, 0 * eye[0], 0 * eye, observation_intercept=0 * eye[0])
    fitted = fit(
        start, y, observed, method=method, learn=("observation_intercept",), tolerance=1e-12, progress=False
    )
    mean = torch.where(observed, y, 0.0).sum((0, 1)) / observed.sum((0, 1))
    torch.testing.assert_close(fitted.model.observation_intercept, mean, rtol=0, atol=1e-5)


def test_a_batch_of_irregular_series_is_its_values_mask_and_lengths():
    y, mask = observations()
    lengths = torch.tensor([6, 5])
    mask[1, 5:] = False
    times = torch.arange(6, dtype=torch.float64).expand(2, -1)
    batch, (_, model) = IrregularBatch(times, y, mask, lengths), models()
    told = kalman_filter(model, y, mask, lengths=lengths)
    assert torch.equal(kalman_filter(model, batch).mean, told.mean)
    assert torch.equal(log_likelihood(model, batch), log_likelihood(model, y, mask, lengths=lengths))
    draws = [
        sample_posterior(model, batch, count=2, generator=seeded()),
        sample_posterior(model, y, mask, lengths=lengths, count=2, generator=seeded()),
    ]
    assert torch.equal(*draws)
    for method in ("gradient", "em"):
        fits = [
            fit(model, *data, **more, method=method, iterations=2, progress=False).log_likelihoods
            for data, more in (((batch,), {}), ((y, mask), {"lengths": lengths}))
        ]
        assert fits[0] == fits[1]

    def build(parameters):
        return replace(model, observation_intercept=parameters["d"])

    found = maximise_likelihood(build, {"d": INTERCEPT}, batch, iterations=2, progress=False)
    assert found.log_likelihood > found.log_likelihoods[0]
    with pytest.raises(ValueError, match="mask must be left out where y is an IrregularBatch"):
        fit(model, batch, mask, progress=False)


@pytest.mark.parametrize(
    "intercept, message",
    [
        (INTERCEPT[:1], r"observation_intercept must have shape \(D,\) = \(2,\): got \(1,\)"),
        (INTERCEPT.float(), "observation_intercept must have the dtype of transition"),
        (INTERCEPT / 0, "observation_intercept must be finite"),
        ([3.0, -7.0], "observation_intercept must be a floating-point tensor: got list"),
    ],
    ids=["shape", "dtype", "infinite", "list"],
)
def test_what_is_no_intercept(intercept, message):
    with pytest.raises(ValueError, match=message):
        replace(random_model(), observation_intercept=intercept)
