"""rts_smoother against dense conditioning, statsmodels, gradcheck, and models without an inverse of P⁻."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from statespace_models import dense_moments, moving_model, random_model, statsmodels_results

from helpers.statespace import LinearGaussian, kalman_filter, rts_smoother


def observations(series, steps, size):
    generator = torch.Generator().manual_seed(5)
    y = torch.randn(series, steps, size, generator=generator, dtype=torch.float64).cumsum(1)
    return y, torch.rand(series, steps, size, generator=generator) > 0.3


@pytest.mark.parametrize("parallel", [False, True], ids=["loop", "scan"])
@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_moments_are_those_of_dense_conditioning(per, parallel):
    y, mask = observations(3, 6, 2)
    model = random_model(per, series=3, steps=6, inputs=1)
    inputs = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(3, 6, 1)
    filtered = kalman_filter(model, y, mask, inputs=inputs, parallel=parallel)
    smoothed = rts_smoother(model, filtered, parallel=parallel)
    for series in range(3):
        prior, cross, mean_y, covariance_y = dense_moments(model, series, 6, inputs)
        seen = mask[series].flatten()
        gain = torch.linalg.solve(covariance_y[seen][:, seen], cross["hy"][:, seen].T).T
        mean = (prior + gain @ (y[series].flatten() - mean_y)[seen]).reshape(6, 3)
        blocks = (cross["hh"] - gain @ cross["hy"][:, seen].T).reshape(6, 3, 6, 3).transpose(1, 2)
        covariance = torch.stack([blocks[t, t] for t in range(6)])
        lagged = torch.stack([blocks[t, t - 1] for t in range(1, 6)])
        torch.testing.assert_close(smoothed.mean[series], mean, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(smoothed.covariance[series], covariance, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(smoothed.lag_covariance[series, 1:], lagged, rtol=1e-10, atol=1e-10)
        assert (smoothed.lag_covariance[series, 0] == 0).all()


def assert_statsmodels(model, y, mask):
    smoothed = rts_smoother(model, kalman_filter(model, y, mask))
    expected = statsmodels_results(model, y[0], mask[0])
    lagged = expected.smoothed_state_autocov.transpose(2, 0, 1)[:-1]  # theirs is of t + 1 with t
    for found, theirs in (
        (smoothed.mean[0], expected.smoothed_state.T),
        (smoothed.covariance[0], expected.smoothed_state_cov.transpose(2, 0, 1)),
        (smoothed.lag_covariance[0, 1:], lagged),
    ):
        np.testing.assert_allclose(found.numpy(), theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("per", ["constant", "step"])
def test_equals_statsmodels(per):
    assert_statsmodels(random_model(per, series=1, steps=80, states=4, entries=3), *observations(1, 80, 3))


def test_a_singular_predicted_covariance_equals_statsmodels():
    """ARMA(1, 1) in companion form: one noise drives two states, and the first is seen exactly."""
    double = torch.float64
    load = torch.tensor([[1.0], [0.4]], dtype=double)
    model = LinearGaussian(
        torch.tensor([[0.7, 1.0], [0.0, 0.0]], dtype=double),
        torch.tensor([[1.0, 0.0]], dtype=double),
        load @ load.T,
        torch.zeros(1, 1, dtype=double),
        torch.zeros(2, dtype=double),
        load @ load.T,
    )
    y, mask = observations(1, 60, 1)
    filtered = kalman_filter(model, y, mask)
    assert torch.linalg.matrix_rank(filtered.predicted_covariance[0]).min() == 1
    assert_statsmodels(model, y, mask)


def test_a_long_complete_batch_with_steady_states_equals_its_own_series():
    """Alone and followed by a gap, where the covariance moves again, a series has the same moments."""
    model = random_model("constant")
    y, mask = observations(1, 400, 2)
    mask[:] = True
    mask[:, 200:210, 0] = False
    assert_statsmodels(model, y, mask)


def test_nothing_after_the_end_changes_the_smoothed_moments():
    model = random_model("constant")
    y, mask = observations(2, 30, 2)
    shorter = rts_smoother(model, kalman_filter(model, y[:, :20], mask[:, :20]))
    longer = rts_smoother(model, kalman_filter(model, y, mask, lengths=torch.tensor([20, 20])))
    torch.testing.assert_close(longer.mean[:, :20], shorter.mean, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(longer.covariance[:, :20], shorter.covariance, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("per", ["constant", "series"])
def test_gradients(per):
    y, mask = observations(2, 5, 2)
    model = random_model(per, series=2, steps=5)
    names = ("transition", "observation", "initial_mean")
    parts = [getattr(model, name).clone().requires_grad_() for name in names]
    root = torch.linalg.cholesky(model.transition_covariance).requires_grad_()

    def moments(*arguments):
        given = dict(zip(names, arguments[:3], strict=True))
        rebuilt = replace(model, **given, transition_covariance=arguments[3] @ arguments[3].mT)
        smoothed = rts_smoother(rebuilt, kalman_filter(rebuilt, arguments[4], mask))
        return smoothed.mean, smoothed.covariance, smoothed.lag_covariance

    assert torch.autograd.gradcheck(moments, (*parts, root, y.requires_grad_()), fast_mode=True)


def test_smoothing_never_adds_uncertainty():
    y, mask = observations(2, 50, 2)
    model = random_model("constant")
    filtered = kalman_filter(model, y, mask)
    smoothed = rts_smoother(model, filtered)
    assert (torch.linalg.eigvalsh(filtered.covariance - smoothed.covariance) > -1e-12).all()
    assert torch.equal(smoothed.covariance, smoothed.covariance.mT)
    assert (torch.linalg.eigvalsh(smoothed.covariance) > 0).all()


def test_float32_covariances_stay_positive_definite():
    model = moving_model(torch.float32)
    with pytest.warns(UserWarning, match="a flat prior"):
        smoothed = rts_smoother(model, kalman_filter(model, torch.zeros(1, 200, 1)))
    smallest = torch.linalg.eigvalsh(smoothed.covariance.double())[..., 0]
    assert (smallest > 0).all(), smallest.min()
