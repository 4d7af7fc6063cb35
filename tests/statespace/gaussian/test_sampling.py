"""simulate and sample_posterior against exact moments, within stated standard errors."""

from dataclasses import replace

import pytest
import torch
from statespace_models import dense_moments, random_model

from helpers.statespace import LinearGaussian, kalman_filter, rts_smoother, sample_posterior, simulate

COUNT = 5_000


def assert_moments(draws, mean, covariance):
    """Means within 5 standard errors; covariances too, whose standard error is √((v_i v_j + c²) / n)."""
    variance = covariance.diagonal()
    assert ((draws.mean(0) - mean).abs() <= 5 * (variance / len(draws)).sqrt() + 1e-9).all()
    error = ((variance.outer(variance) + covariance.square()) / len(draws)).sqrt()
    assert ((draws.T.cov() - covariance).abs() <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("per", ["constant", "step"])
def test_simulations_have_the_joint_moments_of_the_model(per, generator, device):
    model = random_model(per, steps=4, inputs=1, device=device)
    inputs = torch.ones(COUNT, 4, 1, dtype=torch.float64, device=device)
    drawn = simulate(model, 4, COUNT, inputs=inputs, generator=generator)
    assert drawn.states.shape == (COUNT, 4, 3) and drawn.observations.device.type == device.type
    mean_h, cross, mean_y, covariance_y = dense_moments(
        random_model(per, steps=4, inputs=1), 0, 4, torch.ones(1, 4, 1).double()
    )
    assert_moments(drawn.states.flatten(1).cpu(), mean_h, cross["hh"])
    assert_moments(drawn.observations.flatten(1).cpu(), mean_y, covariance_y)


@pytest.mark.parametrize("per", ["constant", "series"])
@pytest.mark.parametrize("diffuse", [None, torch.tensor([True, False, False])], ids=["proper", "diffuse"])
def test_paths_have_the_moments_of_the_smoother(per, diffuse):
    generator = torch.Generator().manual_seed(0)
    model = replace(random_model(per, series=2, steps=5), diffuse=diffuse)
    y = torch.randn(2, 5, 2, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 5, 2, generator=generator) > 0.3
    paths = sample_posterior(model, y, mask, count=COUNT, generator=generator)
    assert paths.shape == (COUNT, 2, 5, 3)
    smoothed = rts_smoother(model, kalman_filter(model, y, mask))
    for series in range(2):
        for step in range(1, 5):
            pair = paths[:, series, step - 1 : step + 1].flatten(1)
            blocks = [smoothed.covariance[series, step - 1], smoothed.lag_covariance[series, step].T]
            blocks += [smoothed.lag_covariance[series, step], smoothed.covariance[series, step]]
            covariance = torch.cat([torch.cat(blocks[:2], 1), torch.cat(blocks[2:], 1)])
            assert_moments(pair, smoothed.mean[series, step - 1 : step + 1].flatten(), covariance)


def test_singular_noise_stays_in_its_subspace():
    generator = torch.Generator().manual_seed(0)
    load = torch.tensor([[1.0], [2.0]])
    model = LinearGaussian(
        torch.zeros(2, 2), torch.eye(2), load @ load.T, torch.zeros(2, 2), torch.zeros(2), load @ load.T
    )
    drawn = simulate(model, 10, 50, generator=generator)
    torch.testing.assert_close(drawn.states[..., 1], 2 * drawn.states[..., 0], rtol=1e-4, atol=1e-4)
    assert torch.equal(drawn.observations, drawn.states)


def test_draws_follow_the_generator():
    first, again = (
        simulate(random_model(), 3, 2, generator=torch.Generator().manual_seed(8)) for _ in range(2)
    )
    assert torch.equal(first.states, again.states) and torch.equal(first.observations, again.observations)


def test_misuse_is_refused(generator):
    flat = replace(random_model(), diffuse=torch.tensor([True, False, False]))
    with pytest.raises(ValueError, match="cannot be simulated: nothing can be drawn from a flat prior"):
        simulate(flat, 3, generator=torch.Generator())
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1: got 0"):
        simulate(random_model(), 0, generator=torch.Generator())
    with pytest.raises(ValueError, match="batch must be 3, as the model's matrices say: got 2"):
        simulate(random_model("series", series=3, steps=4), 4, 2, generator=torch.Generator())
    y = torch.zeros(2, 3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="observations of series 0 must determine its diffuse components"):
        sample_posterior(flat, y, y > 0, count=2, generator=torch.Generator())


def test_a_driven_model_needs_its_inputs():
    model = random_model(inputs=1)
    with pytest.raises(
        ValueError, match="inputs and model.input belong together: got model.input without inputs"
    ):
        simulate(model, 4, generator=torch.Generator())


@pytest.mark.parametrize(
    "y, message",
    [
        (torch.zeros(2, 3, 3, dtype=torch.float64), r"y must have shape \(B, T, D\) .* got \(2, 3, 3\)"),
        (torch.zeros(2, 3, 2), "y must have the dtype of the model: got torch.float32 and torch.float64"),
        (torch.zeros(3, dtype=torch.float64), r"y must have shape \(B, T, D\)"),
    ],
    ids=["entries", "dtype", "axes"],
)
def test_wrong_observations_are_refused_before_anything_is_drawn(y, message):
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    with pytest.raises(ValueError, match=message):
        sample_posterior(random_model(), y, count=2, generator=generator)
    assert torch.equal(generator.get_state(), before)
