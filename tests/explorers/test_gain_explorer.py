import math

import numpy as np
import pytest

from helpers.dynamics import mean_field_exponent
from helpers.explorers import extreme_settings, gain
from helpers.explorers.engine import BlittedFigure

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
    return picture, BlittedFigure(picture.figure, picture.moving)


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


def test_exponents_near_mean_field_and_in_descending_order(settings, activity):
    assert activity.exponents[0] == pytest.approx(mean_field_exponent(*settings.values()), abs=0.06)
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
    assert chaotic.distances[-gain.LATE_STEPS :].min() > 0.3
    assert driven.exponents[0] < -0.05
    assert driven.distances[-1] < 0.01 < driven.distances[0]
    assert mean_field_exponent(1.8, 0.0) > 0 > mean_field_exponent(1.8, 1.5)


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
