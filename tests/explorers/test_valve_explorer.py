import math

import numpy as np
import pytest
import torch
from scipy.signal import freqz, lfilter

from helpers.explorers import extreme_settings, valve
from helpers.explorers.engine import BlittedFigure
from helpers.recurrent import LSTM, forget_bias_for

DEFAULTS = {control.name: control.value for control in valve.CONTROLS}
SETTINGS = [DEFAULTS, *extreme_settings(valve.CONTROLS)]
WITHOUT_CUTOFF = DEFAULTS | {"forget_bias": -3.0}


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def memory(settings):
    return valve.model(**settings)


@pytest.fixture(scope="module")
def drawing():
    picture = valve.Picture()
    return picture, BlittedFigure(picture.figure, picture.moving)


def logit(share):
    return math.log(share) - math.log1p(-share)


@torch.no_grad()
def frozen_lstm(memory):
    """An LSTM of one unit that hears nothing but its candidate, g = tanh(x): its gates stand still."""
    cell = LSTM(1, 1, generator=torch.Generator(), dtype=torch.float64)
    cell.W_hh.zero_()
    cell.W_xh.copy_(torch.tensor([[0.0], [0.0], [1.0], [0.0]]))
    b_i = logit(memory.i) if memory.i < 1 else 60.0
    cell.b.copy_(torch.tensor([b_i, memory.forget_bias, 0.0, 0.0], dtype=torch.float64))
    return cell


def test_a_pulse_and_a_gradient_fade_as_in_an_lstm_whose_gates_stand_still(memory):
    cell = frozen_lstm(memory)
    x = torch.zeros(1, 60, 1, dtype=torch.float64)
    x[0, 0] = 1.0
    c0 = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    c = cell(x, c0, return_gates=True).c[0, :, 0]
    np.testing.assert_allclose(c.detach(), memory.i * np.tanh(1.0) * memory.kept[:60], rtol=1e-9, atol=1e-300)
    (gradient,) = torch.autograd.grad(c[-1], c0)
    assert gradient[0, 1] == pytest.approx(memory.highway[60], rel=1e-9)


def test_the_response_is_that_of_another_library(memory):
    angles = 2 * np.pi * memory.frequencies * memory.dt
    _, expected = freqz([memory.i], [1, -memory.f], worN=angles)
    np.testing.assert_allclose(memory.amplitude, abs(expected), rtol=1e-9)
    assert memory.frequencies[-1] == pytest.approx(1 / (2 * memory.dt))
    assert memory.amplitude[-1] == pytest.approx(memory.i / (1 + memory.f))


def test_what_does_not_change_is_multiplied_by_the_gain_and_passes_a_leaky_unit_as_it_is(settings, memory):
    c = lfilter([memory.i], [1, -memory.f], np.ones(20_000))
    assert c[-1] == pytest.approx(memory.gain)
    assert memory.amplitude[0] == pytest.approx(memory.gain, rel=0.06)
    if settings["unit"] == valve.LEAKY:
        assert memory.gain == pytest.approx(1)


def test_at_the_time_constant_1_over_e_is_left(memory):
    steps = memory.time_constant / memory.dt
    assert memory.f**steps == pytest.approx(1 / math.e)
    np.testing.assert_allclose(memory.kept, np.exp(-memory.times / memory.time_constant), rtol=1e-9)


def test_where_half_the_power_is_lost_a_long_oscillation_says_so(memory):
    if memory.f < 3 - 2 * math.sqrt(2):
        assert memory.cutoff == math.inf
        assert memory.amplitude.min() > memory.gain / math.sqrt(2)
        return
    z = np.exp(2j * np.pi * memory.cutoff * memory.dt * np.arange(20_000))
    ratio = lfilter([memory.i], [1, -memory.f], z)[-1] / z[-1]
    assert abs(ratio) == pytest.approx(memory.gain / math.sqrt(2))
    assert np.angle(ratio, deg=True) == pytest.approx(memory.phase, abs=1e-6)
    assert -46 < memory.phase < 0


def test_the_lag_s_bias_leaves_1_over_e_and_the_vanilla_unit_its_slope_s_power(memory):
    f = 1 / (1 + math.exp(-memory.bias_for_lag))
    assert f**memory.lag == pytest.approx(1 / math.e)
    assert memory.vanilla[memory.lag] == pytest.approx(0.9**memory.lag)
    assert memory.highway[0] == memory.vanilla[0] == 1


@pytest.mark.parametrize("bias", [2.0, 4.0, 6.0])
def test_a_step_of_the_bias_multiplies_the_time_constant_by_e_nearly(bias):
    longer, shorter = (valve.model(**DEFAULTS | {"forget_bias": b}).time_constant for b in (bias, bias - 1))
    assert (longer - 0.5) / (shorter - 0.5) == pytest.approx(math.e, rel=0.02)


def test_a_forget_bias_of_one_passes_back_less_than_the_vanilla_unit():
    one, three = (valve.model(**DEFAULTS | {"forget_bias": bias}) for bias in (1.0, 3.0))
    assert one.highway[50] < one.vanilla[50] < three.highway[50]
    crossing = valve.model(**DEFAULTS | {"forget_bias": logit(0.9)})
    np.testing.assert_allclose(crossing.highway, crossing.vanilla)


def test_every_corner_is_drawn_and_its_marks_lie_on_the_figure(drawing, memory):
    picture, blitted = drawing
    picture.draw(memory)
    assert blitted.png()
    pulse, response, gradient = picture.figure.axes
    assert pulse.get_xlim()[0] < memory.time_constant < pulse.get_xlim()[1]
    low, high = response.get_ylim()
    assert low < memory.amplitude.min() <= memory.amplitude.max() < high
    assert memory.frequencies[-1] < response.get_xlim()[1]
    if math.isfinite(memory.cutoff):
        assert response.get_xlim()[0] < memory.cutoff < memory.frequencies[-1]
    low, high = gradient.get_ylim()
    for line in gradient.get_lines():
        drawn = np.asarray(line.get_ydata())
        assert (low / 10 <= drawn).all()
        assert (drawn <= high).all()
    words = picture.describe(memory)
    assert "nan" not in words
    assert "inf" not in words


def test_the_lag_s_number_stays_within_the_figure(drawing, memory):
    picture, blitted = drawing
    picture.draw(memory)
    blitted.png()
    (number,), gradient = picture.figure.axes[2].texts, picture.figure.axes[2]
    box, frame = number.get_window_extent(), gradient.get_window_extent()
    assert frame.x0 <= box.x0 and box.x1 <= frame.x1
    assert frame.y0 <= box.y0 and box.y1 <= frame.y1
    assert number.get_text() == picture.describe(memory).split("steps, ")[1].split(" of a gradient")[0]


def test_the_mark_of_half_the_power_is_drawn_only_where_there_is_one(drawing):
    picture, _ = drawing
    mark = next(line for line in picture.figure.axes[1].get_lines() if line.get_marker() == "D")
    picture.draw(valve.model(**DEFAULTS))
    assert len(mark.get_xdata()) == 1
    picture.draw(valve.model(**WITHOUT_CUTOFF))
    assert len(mark.get_xdata()) == 0
    assert "No oscillation loses half of its power" in picture.describe(valve.model(**WITHOUT_CUTOFF))


def test_a_leaky_unit_s_only_gate_overrules_the_input_gate(drawing):
    leaky = [
        valve.model(**DEFAULTS | {"unit": valve.LEAKY, "input_gate": i, "forget_bias": 2.0})
        for i in (0.05, 1.0)
    ]
    assert leaky[0].i == leaky[1].i == pytest.approx(1 - leaky[0].f)
    assert drawing[0].describe(leaky[0]) == drawing[0].describe(leaky[1])


def test_the_worked_answer_s_numbers_at_the_default_settings(drawing):
    """By hand: f = σ(3), τ = −1/ln f, f^50, 0.9^50, and ln(50 − ½) nearly for the bias."""
    memory = valve.model(**DEFAULTS)
    words = drawing[0].describe(memory)
    f = 1 / (1 + math.exp(-3))
    assert f"f = {f:.4f}: of a pulse, 1/e is left after τ = {-1 / math.log(f):.1f} h" in words
    assert "i/(1 − f) = 10.5" in words
    assert "once in 129 h (0.0077 per hour) loses half of its power, and lags by 44°" in words
    assert "Over 50 steps, 0.088 of a gradient arrives along the highway, and 0.0052 through" in words
    assert f"b_f must be {math.log(49.5):.2f}." in words
    assert 1 / memory.cutoff == pytest.approx(2 * math.pi * memory.time_constant, rel=0.01)
    assert float(forget_bias_for(400.0)) < valve.CONTROLS[0].high


def test_too_little_to_be_a_number_is_said_to_be(drawing):
    nothing = valve.model(**WITHOUT_CUTOFF | {"lag": 400.0})
    assert nothing.highway[400] == 0
    assert "Over 400 steps, less than 1e-300 of a gradient arrives" in drawing[0].describe(nothing)
