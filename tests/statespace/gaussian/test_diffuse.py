"""A flat prior against statsmodels' exact diffuse filter, a published number, and the limit it stands for."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from statespace_models import random_model, statsmodels_results

from helpers.statespace import LinearGaussian, kalman_filter, rts_smoother

DOUBLE = torch.float64


def local_level(irregular, level, dtype=DOUBLE):
    one = torch.ones(1, 1, dtype=dtype)
    return LinearGaussian(one, one, level * one, irregular * one, one[0], one, diffuse=torch.tensor([True]))


def local_trend(noise=2.0):
    """Level and slope; the level is seen."""
    return LinearGaussian(
        torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=DOUBLE),
        torch.tensor([[1.0, 0.0]], dtype=DOUBLE),
        torch.diag(torch.tensor([0.5, 0.1], dtype=DOUBLE)),
        torch.tensor([[noise]], dtype=DOUBLE),
        torch.zeros(2, dtype=DOUBLE),
        torch.full((2, 2), torch.nan, dtype=DOUBLE),  # never read
        diffuse=torch.tensor([True, True]),
    )


def wandering(series, steps, entries=1, missing=0.3):
    generator = torch.Generator().manual_seed(4)
    y = torch.randn(series, steps, entries, generator=generator, dtype=DOUBLE).cumsum(1).cumsum(1)
    return y, torch.rand(series, steps, entries, generator=generator) > missing


def test_nile(real_data):
    """Durbin and Koopman (2012), section 2.10: the diffuse log-likelihood at the maximum, of 99 terms."""
    with open(real_data / "tables" / "nile.csv") as file:
        flow = [float(row["flow_1e8_m3"]) for row in csv.DictReader(file)]
    y = torch.tensor(flow, dtype=DOUBLE).reshape(1, -1, 1)
    filtered = kalman_filter(local_level(15098.52, 1469.18), y)
    assert filtered.log_likelihood.item() == pytest.approx(-632.54563, abs=1e-4)
    assert filtered.step_log_likelihood[0, 0].item() == pytest.approx(0.0, abs=1e-10)
    assert (filtered.step_log_likelihood[0, 1:] < -5).all()


@pytest.mark.parametrize("parallel", [False, True], ids=["loop", "scan"])
def test_a_local_linear_trend_with_missing_entries_equals_statsmodels(parallel):
    """statsmodels counts log 2π for the steps that fix the diffuse components too: k of them too many."""
    y, mask = wandering(3, 60)
    mask[0, :3] = False
    model = local_trend()
    filtered = kalman_filter(model, y, mask, parallel=parallel)
    smoothed = rts_smoother(model, filtered, parallel=parallel)
    for series in range(3):
        expected = statsmodels_results(model, y[series], mask[series], "diffuse")
        integral = expected.llf_obs.sum() + 0.5 * 2 * math.log(2 * math.pi)
        assert filtered.log_likelihood[series].item() == pytest.approx(integral, abs=1e-8)
        covariance = expected.smoothed_state_cov.transpose(2, 0, 1)
        np.testing.assert_allclose(smoothed.mean[series], expected.smoothed_state.T, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(smoothed.covariance[series], covariance, rtol=1e-8, atol=1e-8)
        after = int(mask[series].flatten().nonzero()[1])
        theirs = expected.filtered_state_cov.transpose(2, 0, 1)[after + 1 :]
        np.testing.assert_allclose(filtered.covariance[series, after + 1 :], theirs, rtol=1e-8, atol=1e-8)


def test_variances_are_infinite_until_the_data_have_fixed_them():
    y, mask = wandering(1, 6, missing=0.0)
    mask[0, 1] = False
    filtered = kalman_filter(local_trend(), y, mask)
    unknown = filtered.covariance[0].diagonal(dim1=-2, dim2=-1).isinf()
    assert unknown.tolist() == [[False, True], [True, True]] + [[False, False]] * 4
    assert filtered.predicted_covariance[0, 0].diagonal().isinf().all()
    assert filtered.innovation_covariance[0, :4, 0, 0].isinf().tolist() == [True, False, True, False]
    assert (filtered.step_log_likelihood[0, :2] == 0).all()
    torch.testing.assert_close(filtered.mean[0, 0, 0], y[0, 0, 0])  # the level is what was seen of it
    torch.testing.assert_close(filtered.covariance[0, 0, 0, 0], torch.tensor(2.0, dtype=DOUBLE))


def test_the_flat_prior_is_the_limit_of_wide_ones():
    """log ∫ p(y | δ) dδ = lim log p(y) + ½ log 2π κ for each diffuse component."""
    y, mask = wandering(2, 30, 2)
    flat = replace(random_model("constant"), diffuse=torch.tensor([True, False, True]))
    size = 1e8
    wide = replace(
        flat,
        diffuse=None,
        initial_covariance=torch.where(
            flat.diffuse.unsqueeze(-1) | flat.diffuse, 0.0, flat.initial_covariance
        )
        + size * torch.diag(flat.diffuse.double()),
    )
    exact, limit = kalman_filter(flat, y, mask), kalman_filter(wide, y, mask)
    expected = limit.log_likelihood + math.log(2 * math.pi * size)
    torch.testing.assert_close(exact.log_likelihood, expected, rtol=0, atol=1e-5)
    exact, limit = rts_smoother(flat, exact), rts_smoother(wide, limit)
    for name in ("mean", "covariance", "lag_covariance"):
        torch.testing.assert_close(getattr(exact, name), getattr(limit, name), rtol=1e-5, atol=1e-5)


def test_a_model_without_observation_noise():
    """A random walk seen exactly: its increments are independent."""
    y, _ = wandering(2, 20)
    found = kalman_filter(local_level(0.0, 3.0), y).log_likelihood
    steps = torch.distributions.Normal(0.0, torch.tensor(3.0, dtype=DOUBLE).sqrt()).log_prob(y.diff(dim=1))
    torch.testing.assert_close(found, steps.sum((1, 2)), rtol=1e-10, atol=1e-10)


def test_a_series_without_observations_stays_flat():
    y, mask = wandering(2, 5)
    mask[1] = False
    filtered = kalman_filter(local_trend(), y, mask)
    assert filtered.log_likelihood[1] == 0
    assert filtered.covariance[1].diagonal(dim1=-2, dim2=-1).isinf().all()
    assert rts_smoother(local_trend(), filtered).covariance[1].diagonal(dim1=-2, dim2=-1).isinf().all()


def test_gradients():
    y, mask = wandering(2, 5)

    def moments(noise, values):
        model = local_trend()
        model = replace(
            model, observation_covariance=noise.reshape(1, 1), transition=model.transition * noise / 2
        )
        filtered = kalman_filter(model, values, mask)
        smoothed = rts_smoother(model, filtered)
        return filtered.log_likelihood, filtered.mean, smoothed.mean, smoothed.covariance

    noise = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(moments, (noise, y.requires_grad_()))


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e12], ids=["one", "small", "large"])
@pytest.mark.parametrize("seen", [1, 2, 3], ids=["one sensor", "two sensors", "all sensors"])
def test_sensors_never_seen_leave_the_others_their_likelihood(seen, unit):
    """Independent random walks from unknown levels: those read have the likelihoods of each alone."""
    y, mask = wandering(2, 30, entries=3)
    mask[..., seen:] = False
    scale = torch.tensor([1.0, unit, 10.0], dtype=DOUBLE)
    eye = torch.eye(3, dtype=DOUBLE)
    wide = torch.diag(scale.square())
    walks = LinearGaussian(eye, eye, 0.1 * wide, wide, 0 * scale, 0 * eye, diffuse=torch.ones(3).bool())
    together = kalman_filter(walks, scale * y, mask)
    models = [
        replace(local_level(s.square(), 0.1 * s.square()), initial_mean=0 * scale[:1]) for s in scale[:seen]
    ]
    alone = [kalman_filter(models[i], scale[i] * y[..., [i]], mask[..., [i]]) for i in range(seen)]
    expected = torch.stack([filtered.log_likelihood for filtered in alone]).sum(0)
    torch.testing.assert_close(together.log_likelihood, expected, rtol=1e-10, atol=1e-10)
    variance = rts_smoother(walks, together).covariance.diagonal(dim1=-2, dim2=-1)
    assert variance[..., seen:].isinf().all() and variance[..., :seen].isfinite().all()
    for i, filtered in enumerate(alone):
        own = rts_smoother(models[i], filtered).covariance[..., 0, 0]
        torch.testing.assert_close(variance[..., i], own, rtol=1e-9, atol=0)


def test_a_weak_sensor_is_seen_beside_a_strong_one():
    """Its reading multiplies the level by 1e-7: the variance is large, not infinite."""
    C = torch.diag(torch.tensor([1.0, 1e-7], dtype=DOUBLE))
    eye = torch.eye(2, dtype=DOUBLE)
    model = LinearGaussian(eye, C, 0 * eye, eye, 0 * C[0], 0 * eye, diffuse=torch.tensor([True, True]))
    filtered = kalman_filter(model, torch.zeros(1, 10, 2, dtype=DOUBLE))
    expected = torch.tensor([0.1, 0.1e14], dtype=DOUBLE)
    torch.testing.assert_close(filtered.covariance[0, -1].diagonal(), expected, rtol=1e-6, atol=0)


def test_what_is_never_told_apart_stays_unknown():
    """Only the sum of two levels is read: the likelihood is that of the sum, along the diagonal."""
    eye, both = torch.eye(2, dtype=DOUBLE), torch.ones(1, 2, dtype=DOUBLE)
    model = LinearGaussian(
        eye, both, 0.5 * eye, eye[:1, :1], 0 * eye[0], 0 * eye, diffuse=torch.tensor([True, True])
    )
    y, mask = wandering(1, 30)
    found = kalman_filter(model, y, mask)
    assert found.covariance[0, -1].isinf().all()
    of_sum = kalman_filter(local_level(1.0, 1.0), y, mask).log_likelihood - 0.5 * math.log(2)
    torch.testing.assert_close(found.log_likelihood, of_sum, rtol=1e-10, atol=1e-10)
