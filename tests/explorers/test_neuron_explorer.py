import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from helpers.dynamics import MARGINAL, STABLE, UNSTABLE
from helpers.explorers import extreme_settings, neuron
from helpers.explorers.engine import BlittedFigure

DEFAULTS = {control.name: control.value for control in neuron.CONTROLS}
SETTINGS = [DEFAULTS, *extreme_settings(neuron.CONTROLS)]
weight_stops = st.integers(-40, 60).map(lambda stop: stop / 20)
bias_stops = st.integers(-40, 40).map(lambda stop: stop / 20)


@pytest.fixture(scope="module")
def drawing():
    picture = neuron.Picture()
    return picture, BlittedFigure(picture.figure, picture.moving)


def roots(weight, bias):
    """Zeros of tanh(w h + b) - h, one search on each piece on which it only rises or only falls."""

    def defect(h):
        return np.tanh(weight * h + bias) - h

    turn = np.arctanh(np.sqrt((weight - 1) / weight)) if weight > 1 else 0.0
    turns = [(-turn - bias) / weight, (turn - bias) / weight] if weight > 1 else []
    ends = [-1.0, *np.clip(turns, -1.0, 1.0), 1.0]
    pieces = zip(ends[:-1], ends[1:], strict=True)
    return [brentq(defect, low, high, xtol=1e-14) for low, high in pieces if defect(low) * defect(high) < 0]


@settings(max_examples=60, deadline=None)
@given(weight_stops, bias_stops)
@example(1.05, 0.0)
@example(1.55, 0.25)
@example(1.6, 0.25)
@example(3.0, 1.3)
def test_fixed_points_are_those_of_a_search_between_the_turns(weight, bias):
    assume((abs(weight), bias) != (1, 0))  # marginal: tested below
    found = neuron.model(weight, bias, start=0.0, noise=0.0)
    expected = np.array(roots(weight, bias))
    assert len(expected) in (1, 3)
    np.testing.assert_allclose(found.fixed, expected, atol=1e-9)
    slopes = weight * (1 - expected**2)
    assert found.stability == tuple(STABLE if abs(slope) < 1 else UNSTABLE for slope in slopes)


@settings(max_examples=40, deadline=None)
@given(st.integers(21, 60).map(lambda stop: stop / 20), bias_stops)
def test_three_fixed_points_lie_between_the_folds_and_one_beyond(weight, bias):
    between = abs(bias) < neuron.critical_bias(weight, 1)
    found = neuron.model(weight, bias, start=0.0, noise=0.0)
    assert len(found.fixed) == (3 if between else 1)
    assert found.stability == ((STABLE, UNSTABLE, STABLE) if between else (STABLE,))


@pytest.mark.parametrize("weight", [1.0, 1.05, 1.5, 2.0, 3.0])
def test_folds_are_those_of_the_closed_form(weight):
    expected = np.arctanh(np.sqrt((weight - 1) / weight)) - np.sqrt(weight * (weight - 1))
    assert neuron.critical_bias(weight, 1) == pytest.approx(abs(expected), abs=1e-12)


@pytest.mark.parametrize("weight", [-1.05, -1.5, -2.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_period_doubling_is_where_the_slope_is_minus_one(weight, sign):
    bias = sign * neuron.critical_bias(weight, -1)
    (h,) = roots(weight, bias)
    assert weight * (1 - h**2) == pytest.approx(-1, abs=1e-9)
    assert neuron.find_rest_states(weight, bias * 1.01).stability == (STABLE,)
    assert neuron.find_rest_states(weight, bias * 0.99).stability == (UNSTABLE,)


@pytest.mark.parametrize("weight", [-1.0, 1.0])
def test_at_the_two_bifurcations_without_bias_the_only_fixed_point_is_marginal(weight):
    found = neuron.model(weight, 0.0, start=0.5, noise=0.0)
    assert found.stability == (MARGINAL,)
    np.testing.assert_allclose(found.fixed, [0.0], atol=1e-3)
    assert neuron.critical_bias(weight, weight) == 0


@pytest.mark.parametrize(("start", "home"), [(-1.0, 0), (-0.25, 0), (-0.15, 2), (1.0, 2)])
def test_the_unstable_fixed_point_divides_what_is_remembered(start, home):
    motion = neuron.model(2.0, 0.2, start, noise=0.0)
    assert motion.states[-1] == pytest.approx(motion.fixed[home], abs=1e-9)


@pytest.mark.parametrize("bias", [-0.5, 0.0, 1.0])
def test_a_strong_negative_weight_ends_in_a_cycle_of_two(bias):
    motion = neuron.model(-2.0, bias, start=0.5, noise=0.0)
    before, after = motion.states[-2:]
    assert abs(after - before) > 0.3
    assert np.tanh(-2.0 * after + bias) == pytest.approx(before, abs=1e-9)
    assert motion.stability == (UNSTABLE,)


def test_noise_enters_with_the_bias_in_proportion_to_sigma():
    weight, bias, noise = 1.2, -0.3, 0.5
    states = neuron.model(weight, bias, 0.4, noise).states
    shocks = (np.arctanh(states[1:]) - weight * states[:-1] - bias) / noise
    np.testing.assert_allclose(shocks, neuron._shocks(), atol=1e-9)
    assert abs(shocks.mean()) < 3 / np.sqrt(neuron.STEPS)
    assert shocks.std() == pytest.approx(1, abs=0.25)


def test_a_deep_bit_survives_the_noise_that_a_shallow_one_does_not():
    assert neuron.model(3.0, 0.0, -0.3, noise=0.4).crossings == 0
    shallow = neuron.model(1.2, 0.0, -0.3, noise=0.4)
    assert shallow.crossings > 2
    assert shallow.states[-1] > 0


def test_cobweb_and_crossings_of_a_case_worked_by_hand():
    motion = neuron.Motion(2.0, 0.0, neuron.GRID, np.zeros(1), (UNSTABLE,), np.array([0.1, 0.5, -0.2]))
    corners = [(0.1, 0.1), (0.1, 0.5), (0.5, 0.5), (0.5, -0.2), (-0.2, -0.2)]
    np.testing.assert_array_equal(motion.cobweb, corners)
    assert motion.crossings == 1


@pytest.mark.parametrize("corner", SETTINGS, ids=str)
def test_every_corner_is_drawn_and_stays_on_the_figure(drawing, corner):
    picture, blitted = drawing
    motion = neuron.model(**corner)
    picture.draw(motion)
    assert blitted.png()
    assert len(motion.states) == neuron.STEPS + 1
    for values in (motion.after, motion.fixed, motion.states):
        assert np.abs(values).max() <= 1
    np.testing.assert_allclose(np.tanh(motion.weight * motion.fixed + motion.bias), motion.fixed, atol=1e-9)
    assert "nan" not in picture.describe(motion)


def test_each_kind_of_fixed_point_has_its_own_mark(drawing):
    picture, _ = drawing
    motion = neuron.model(**DEFAULTS)
    picture.draw(motion)
    marks = {line.get_label(): line.get_xdata() for line in picture.figure.axes[0].get_lines()}
    np.testing.assert_array_equal(marks[STABLE], motion.fixed[[0, 2]])
    np.testing.assert_array_equal(marks[UNSTABLE], motion.fixed[[1]])
    assert len(marks[MARGINAL]) == 0


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (2.0, "two of three fixed points vanish at b = ±0.533."),
        (0.5, "no b gives it a memory."),
        (-2.0, "the state alternates while |b| < 2.296."),
    ],
)
def test_words_say_what_the_picture_shows(drawing, weight, words):
    motion = neuron.model(weight, 0.0, 1.0, 0.0)
    description = drawing[0].describe(motion)
    points = "3 fixed points" if weight > 1 else "1 fixed point:"
    assert f"With w = {weight:.2f} and b = 0.00 the neuron has {points}" in description
    assert words in description
    assert f"from 1.00 to {motion.states[-1]:.3f} in 60 steps" in description
