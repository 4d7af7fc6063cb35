import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from helpers.dynamics import Map, lyapunov_spectrum
from helpers.explorers import extreme_settings, gain
from helpers.explorers.picture import Blitted

DEFAULTS = {control.name: control.value for control in gain.CONTROLS}
SETTINGS = [DEFAULTS, *extreme_settings(gain.CONTROLS)]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def activity(settings):
    return gain.model(**settings)


@pytest.fixture(scope="module")
def drawing():
    picture = gain.Picture()
    return picture, Blitted(picture.figure, picture.moving)


def gaussian_mean(function):
    return quad(lambda z: function(z) * math.exp(-(z**2) / 2), -9, 9, epsabs=1e-10)[0] / math.sqrt(math.tau)


def test_matrix_has_spectral_radius_one_and_nearly_the_mean_square_of_many_units():
    matrix = gain._draws()[0].numpy()
    assert np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(1, rel=1e-12)
    assert np.sum(matrix**2) / gain.UNITS == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("strength", [0.5, 0.8, 0.9])
def test_at_rest_the_exponents_are_the_logarithms_of_the_eigenvalues(strength):
    measured = gain.model(strength, 0.0).exponents
    eigenvalues = np.abs(np.linalg.eigvals(strength * gain._draws()[0].numpy()))
    expected = np.log(np.sort(eigenvalues)[::-1][: gain.EXPONENTS])
    assert measured[0] == pytest.approx(math.log(strength), abs=0.003)
    np.testing.assert_allclose(measured, expected, atol=0.02)


def test_circular_law_is_that_of_a_large_random_matrix():
    units = 1000
    matrix = np.random.default_rng(0).standard_normal((units, units)) / math.sqrt(units)
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(0.7 * matrix)))[::-1]
    expected = gain.exponents_at_rest(0.7, units, count=900)
    np.testing.assert_allclose(expected, np.log(eigenvalues[:900]), atol=0.06)
    assert expected[0] == pytest.approx(math.log(0.7), abs=1e-3)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_mean_field_of_a_network_at_rest_is_the_logarithm_of_its_gain(strength):
    assert gain.mean_field_exponent(strength, 0.0) == pytest.approx(math.log(strength), abs=1e-12)


def test_just_above_the_transition_chaos_grows_as_the_square_of_the_excess():
    """With g = 1 + ε, q = ε + O(ε²) and ⟨φ'²⟩ = 1 - 2 q + O(q²): to first order λ vanishes."""
    small, twice = (gain.mean_field_exponent(1 + epsilon, 0.0) for epsilon in (0.005, 0.01))
    assert small > 0
    assert twice / small == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("strength", "amplitude"), [(0.5, 2.0), (1.8, 0.0), (1.8, 0.7), (2.5, 2.0)])
def test_mean_field_reproduces_its_own_variance_under_another_quadrature(strength, amplitude):
    variance = 1.0
    for _ in range(60):
        root = math.sqrt(variance)
        variance = strength**2 * gaussian_mean(lambda z, s=root: math.tanh(s * z) ** 2) + amplitude**2
    root = math.sqrt(variance)
    slopes = gaussian_mean(lambda z: (1 - math.tanh(root * z) ** 2) ** 2)
    expected = math.log(strength**2 * slopes) / 2
    assert gain.mean_field_exponent(strength, amplitude) == pytest.approx(expected, abs=1e-7)


def test_a_larger_network_agrees_with_mean_field_theory():
    generator = torch.Generator().manual_seed(0)
    units, steps, strength, amplitude = 300, 300, 2.0, 0.5
    weight = strength * torch.randn(units, units, generator=generator, dtype=torch.float64) / math.sqrt(units)
    x = amplitude * torch.randn(1, steps + 30, units, generator=generator, dtype=torch.float64)

    def step(h, x):
        return torch.tanh(h @ weight.T + x)

    def derivative(h, x):
        return (1 - step(h, x) ** 2).unsqueeze(-1) * weight

    start = torch.randn(1, units, generator=generator, dtype=torch.float64)
    found = lyapunov_spectrum(Map(step, derivative), start, steps, transient=30, inputs=x, count=1)
    assert float(found.exponents) == pytest.approx(gain.mean_field_exponent(strength, amplitude), abs=0.02)


def test_exponents_near_mean_field_and_in_descending_order(settings, activity):
    assert activity.exponents[0] == pytest.approx(gain.mean_field_exponent(*settings.values()), abs=0.06)
    assert (np.diff(activity.exponents) <= 0).all()


@pytest.mark.parametrize(("strength", "amplitude"), [(1.8, 0.0), (2.5, 0.5), (1.2, 1.0)])
def test_largest_exponent_is_that_of_one_small_displacement_followed_by_hand(strength, amplitude):
    matrix, inputs, starts = (tensor.numpy() for tensor in gain._draws())
    h, displaced = starts[0], np.ones(gain.UNITS)
    growth = []
    for x in amplitude * inputs[0]:
        h = np.tanh(strength * matrix @ h + x)
        displaced = (1 - h**2) * (strength * matrix @ displaced)
        growth.append(math.log(np.linalg.norm(displaced)))
        displaced = displaced / np.linalg.norm(displaced)
    expected = np.mean(growth[gain.TRANSIENT :])
    assert gain.model(strength, amplitude).exponents[0] == pytest.approx(expected, abs=0.04)


def test_input_quiets_chaos_and_makes_two_runs_forget_where_they_began():
    chaotic, driven = gain.model(1.8, 0.0), gain.model(1.8, 1.5)
    assert chaotic.exponents[0] > 0.05
    assert chaotic.distances[-gain.LATE :].min() > 0.3
    assert driven.exponents[0] < -0.05
    assert driven.distances[-1] < 0.01 < driven.distances[0]
    assert gain.mean_field_exponent(1.8, 0.0) > 0 > gain.mean_field_exponent(1.8, 1.5)


def test_runs_obey_the_equation_from_two_starts_under_one_input():
    matrix, inputs, starts = (tensor.numpy() for tensor in gain._draws())
    activity = gain.model(1.5, 0.7)
    runs = [starts]
    for x in 0.7 * inputs[0, : gain.SHOWN_STEPS]:
        runs.append(np.tanh(1.5 * runs[-1] @ matrix.T + x))
    expected = np.stack(runs, axis=1)  # (2, 61, 64)
    np.testing.assert_allclose(activity.states, expected[..., : gain.SHOWN_UNITS], atol=1e-6)
    distances = np.sqrt(np.mean((expected[0] - expected[1]) ** 2, axis=1))
    np.testing.assert_allclose(activity.distances, distances, atol=1e-6)


def test_every_corner_is_drawn_and_stays_on_the_figure(drawing, activity):
    picture, blitted = drawing
    picture.draw(activity)
    assert blitted.png()
    low, high = gain.EXPONENT_RANGE
    for exponents in (activity.exponents, activity.at_rest, np.array([activity.mean_field])):
        assert low < exponents.min() <= exponents.max() < high
    assert np.abs(activity.states).max() <= 1
    assert activity.states.shape == (2, gain.SHOWN_STEPS + 1, gain.SHOWN_UNITS)
    assert "nan" not in picture.describe(activity)


@pytest.mark.parametrize(
    ("strength", "fate"), [(0.5, "meet."), (1.0, "keep their distance."), (2.5, "part.")]
)
def test_words_say_what_the_picture_shows(drawing, strength, fate):
    activity = gain.model(strength, 0.0)
    words = drawing[0].describe(activity)
    assert f"Largest Lyapunov exponent {activity.exponents[0]:.3f} per step" in words
    assert f"nearby states {fate}" in words
    assert f"ln g = {math.log(strength):.3f}" in words
