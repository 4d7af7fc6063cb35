"""fixed_points on cases with known answers; slow points; misuse."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from helpers.dynamics import Flow, Map, fixed_points
from helpers.fields import ControlledField, ZeroOrderHold
from helpers.systems import Lorenz, ToggleSwitch


def starts(count, dimension, scale=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, dimension, dtype=torch.float64, generator=generator)


def neuron(w, b=0.0):
    return Map(lambda h: torch.tanh(w * h + b))


@settings(deadline=None, max_examples=15)
@given(st.floats(1.05, 5.0))
def test_neuron_with_two_memories(w):
    found = fixed_points(neuron(w), starts(30, 1))
    upper = brentq(lambda h: math.tanh(w * h) - h, 1e-3, 1.0, xtol=1e-14)
    expected = torch.tensor([[-upper], [0.0], [upper]], dtype=torch.float64)
    torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-10)
    assert found.stability == ("stable", "unstable", "stable")
    torch.testing.assert_close(found.eigenvalues.real, w * (1 - expected.square()), rtol=0, atol=1e-8)
    assert found.residuals.max() < 1e-11


@settings(deadline=None, max_examples=15)
@given(st.floats(-3.0, 0.95))
def test_neuron_with_none(w):
    found = fixed_points(neuron(w), starts(30, 1))
    assert found.states.tolist() == [[pytest.approx(0.0, abs=1e-10)]]
    assert found.stability == ("stable" if w > -1 else "unstable" if w < -1 else "marginal",)


def test_toggle_switch_below_and_beyond_its_pitchfork():
    """Beyond α = 2 the off-diagonal states are (α ± √(α² - 4)) / 2."""
    assert fixed_points(Flow(ToggleSwitch(1.5)), starts(30, 2).abs()).stability == ("stable",)
    found = fixed_points(Flow(ToggleSwitch(3.0)), starts(30, 2).abs())
    low, high = (3 - math.sqrt(5)) / 2, (3 + math.sqrt(5)) / 2
    middle = brentq(lambda u: 3 / (1 + u**2) - u, 1, 2, xtol=1e-14)
    expected = torch.tensor([[low, high], [middle, middle], [high, low]], dtype=torch.float64)
    torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-10)
    assert found.stability == ("stable", "saddle", "stable")


def test_a_critical_state_is_marginal():
    found = fixed_points(neuron(1.0), starts(30, 1))
    assert found.stability == ("marginal",) and found.states.abs().item() < 1e-3


def test_lorenz_has_three(device):
    found = fixed_points(Flow(Lorenz()), starts(60, 3, 20.0).to(device))
    wing = math.sqrt(72)
    expected = torch.tensor([[-wing, -wing, 27], [0, 0, 0], [wing, wing, 27]], dtype=torch.float64)
    torch.testing.assert_close(found.states.cpu(), expected, rtol=0, atol=1e-9)
    origin = torch.tensor([-11 / 2 + math.sqrt(1201) / 2, -8 / 3, -11 / 2 - math.sqrt(1201) / 2])
    torch.testing.assert_close(found.eigenvalues[1].real.cpu().float(), origin)
    assert set(found.stability) == {"saddle"} and found.states.device.type == device.type


def test_henon_map_in_two_dimensions():
    henon = Map(lambda h: torch.stack((1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]), -1))
    found = fixed_points(henon, starts(40, 2))
    x = [(-0.7 - math.sqrt(0.49 + 5.6)) / 2.8, (-0.7 + math.sqrt(0.49 + 5.6)) / 2.8]
    expected = torch.tensor([[x[0], 0.3 * x[0]], [x[1], 0.3 * x[1]]], dtype=torch.float64)
    torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-10)


def test_a_ghost_is_a_slow_point_and_no_fixed_point():
    """Just beyond its fold, tanh(2h + b) - h has no zero near -1/√2 but comes as close as b - b_fold."""
    fold = math.sqrt(2) - math.atanh(math.sqrt(0.5))
    found = fixed_points(neuron(2.0, fold + 1e-4), starts(40, 1))
    assert len(found.states) == 1 and found.states.item() > 0.9
    assert found.slow_states.tolist() == [[pytest.approx(-math.sqrt(0.5), abs=1e-3)]]
    assert found.slow_speeds.item() == pytest.approx(0.5e-4, rel=1e-2)
    assert set(found.outcomes) == {"fixed point", "slow point"}


UNITS = [1e-9, 1e-6, 1.0, 1e6, 1e9]


def in_other_units(field, unit, time):
    """The same flow with states in another unit, and time too."""
    return Flow(lambda t, y: unit * field(t, y / unit) / time)


@pytest.mark.parametrize("time", UNITS)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "field, given",
    [
        pytest.param(ToggleSwitch(3.0), starts(30, 2).abs(), id="toggle switch"),
        pytest.param(Lorenz(), starts(60, 3, 20.0), id="Lorenz"),
        pytest.param(lambda t, y: 2 - y**2, starts(20, 1), id="parabola"),
        pytest.param(lambda t, y: y**2 + 0.01, starts(20, 1), id="ghost"),
        pytest.param(lambda t, y: -(y**3), starts(20, 1), id="triple root"),
    ],
)
def test_units_of_states_and_of_time_do_not_matter(field, given, unit, time):
    expected, found = (
        fixed_points(Flow(field), given),
        fixed_points(in_other_units(field, unit, time), unit * given),
    )
    size = given.abs().max().item()
    assert found.stability == expected.stability and found.outcomes == expected.outcomes
    torch.testing.assert_close(found.states / unit, expected.states, rtol=1e-9, atol=1e-3 * size)
    regular = expected.eigenvalues.abs().amax(-1) > 1e-3
    torch.testing.assert_close(
        (found.states / unit)[regular], expected.states[regular], rtol=1e-9, atol=1e-12 * size
    )
    torch.testing.assert_close(
        (found.eigenvalues * time)[regular], expected.eigenvalues[regular], rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(found.slow_states / unit, expected.slow_states, rtol=0, atol=1e-4 * size)


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_a_map_do_not_matter(unit):
    given = starts(30, 1)
    found = fixed_points(Map(lambda h: unit * torch.tanh(2 * h / unit + 0.1)), unit * given)
    expected = fixed_points(neuron(2.0, 0.1), given)
    assert found.stability == expected.stability == ("stable", "unstable", "stable")
    torch.testing.assert_close(found.states / unit, expected.states, rtol=1e-9, atol=1e-12)


def test_each_variable_may_have_its_own_unit():
    units = torch.tensor([1e-7, 1e5], dtype=torch.float64)
    given = starts(40, 2).abs()
    found = fixed_points(Flow(lambda t, y: units * ToggleSwitch(3.0)(t, y / units)), units * given)
    expected = fixed_points(Flow(ToggleSwitch(3.0)), given)
    assert found.stability == expected.stability
    torch.testing.assert_close(found.states / units, expected.states, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "field, place, speed",
    [
        pytest.param(lambda t, y: y**2 + 0.01, 0.0, 0.01, id="parabola"),
        pytest.param(lambda t, y: (y - 0.3) ** 2 + 1e-6, 0.3, 1e-6, id="deeper"),
        pytest.param(lambda t, y: -3 - (y + 0.2) ** 2, -0.2, 3.0, id="shallow"),
        pytest.param(lambda t, y: torch.cosh(y), 0.0, 1.0, id="cosh"),
        pytest.param(lambda t, y: 2 + torch.sin(y), -math.pi / 2, 1.0, id="uneven turning"),
    ],
)
def test_from_everywhere_a_minimum_of_speed_is_found(field, place, speed):
    found = fixed_points(
        Flow(field), torch.linspace(place - 1.4, place + 1.5, 20, dtype=torch.float64)[:, None]
    )
    assert set(found.outcomes) == {"slow point"} and len(found.states) == 0
    torch.testing.assert_close(
        found.slow_states, torch.full((1, 1), place, dtype=torch.float64), rtol=0, atol=1e-6
    )
    assert found.slow_speeds.tolist() == pytest.approx([speed])


@pytest.mark.parametrize(
    "system, message",
    [
        pytest.param(
            Lorenz(), r"system must be a Map or a Flow: got Lorenz; .* by Flow\(Lorenz\(…\)\)", id="field"
        ),
        pytest.param(None, "system must be a Map or a Flow: got NoneType$", id="none"),
        pytest.param(
            Flow(lambda t, y: torch.cos(torch.as_tensor(t)) - y),
            "system must not depend on time: .* at t = 0.75",
            id="drive",
        ),
        pytest.param(
            Flow(
                ControlledField(
                    lambda t, y, u: u - y,
                    ZeroOrderHold(torch.tensor([0.0, 30, 30.5]), torch.tensor([[0.0], [5], [0]])),
                )
            ),
            "system must not depend on time: its field at t = 30 is not that at t = 0",
            id="pulse",
        ),
    ],
)
def test_systems_that_have_no_fixed_points(system, message):
    with pytest.raises(ValueError, match=message):
        fixed_points(system, torch.ones(2, 3))


def test_what_did_not_converge_is_not_returned():
    found = fixed_points(Map(lambda h: h + h.exp()), starts(4, 1), max_steps=8)  # e^h never reaches zero
    assert len(found.states) == 0 and found.outcomes == ("not converged",) * 4 and found.stability == ()


def test_a_start_that_leads_nowhere_leaves_the_others_alone():
    """The square root of a negative number is NaN: that start fails, alone."""
    root = Map(lambda h: (h + 1).sqrt())
    found = fixed_points(root, torch.tensor([[-3.0], [2.0], [0.1]], dtype=torch.float64))
    assert found.states.tolist() == [[pytest.approx((1 + math.sqrt(5)) / 2)]]
    assert found.outcomes[0] != "fixed point" and found.outcomes[1:] == ("fixed point",) * 2


def test_the_order_of_starts_does_not_matter():
    one, other = starts(40, 3, 20.0), starts(40, 3, 20.0).flip(0)
    found = [fixed_points(Flow(Lorenz()), order).states for order in (one, other)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "system, given, options, message",
    [
        pytest.param(
            neuron(2.0),
            torch.ones(3),
            {},
            r"starts must have shape \(B, D\): got shape \(3,\)",
            id="starts without batch",
        ),
        pytest.param(
            neuron(2.0),
            torch.ones(3, 1).int(),
            {},
            "starts must be a floating-point tensor: got a torch.int32",
            id="integers",
        ),
        pytest.param(
            neuron(2.0), [0.0], {}, "starts must be a floating-point tensor: got list", id="no tensor"
        ),
        pytest.param(
            neuron(2.0), torch.ones(0, 1), {}, "starts must hold at least one state", id="no starts"
        ),
        pytest.param(
            neuron(2.0),
            torch.tensor([[1.0], [torch.nan]]),
            {},
            r"starts must be finite: starts\[1, 0\] = nan",
            id="starts not finite",
        ),
        pytest.param(
            Map(lambda h: h[:, :1]),
            torch.ones(3, 2),
            {},
            r"shape of its state, \(3, 2\): got \(3, 1\)",
            id="map of another shape",
        ),
        pytest.param(
            Map(lambda h: h.double()),
            torch.ones(3, 2),
            {},
            "system must return the dtype of its state",
            id="map of another dtype",
        ),
        pytest.param(
            Flow(lambda t, y: y[:, :1]),
            torch.ones(3, 2),
            {},
            r"shape of its state, \(3, 2\): got \(3, 1\)",
            id="flow of another shape",
        ),
        pytest.param(
            neuron(2.0),
            torch.ones(3, 1),
            {"tolerance": 0.0},
            "tolerance must be positive and finite: got 0",
            id="tolerance of zero",
        ),
        pytest.param(
            neuron(2.0),
            torch.ones(3, 1),
            {"same_within": -1.0},
            "same_within must be positive",
            id="negative same_within",
        ),
        pytest.param(
            neuron(2.0),
            torch.ones(3, 1),
            {"max_steps": 0},
            "max_steps must be a whole number of at least 1",
            id="no steps",
        ),
    ],
)
def test_misuse(system, given, options, message):
    with pytest.raises(ValueError, match=message):
        fixed_points(system, given, **options)


def test_a_field_that_overflows_is_at_rest_nowhere():
    """From starts of size 1e150 y³ is infinite, and so is what it would be measured by."""
    starts = 1e150 * torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)[:, None]
    found = fixed_points(Flow(lambda t, y: y - y**3), starts[starts != 0][:, None])
    assert not len(found.states) and not len(found.slow_states)
    assert set(found.outcomes) == {"not converged"}


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_a_residual_whose_square_is_no_float_is_right(unit):
    found = fixed_points(Flow(lambda t, y: unit * (1 + y**2)), torch.tensor([[0.3]], dtype=torch.float64))
    assert found.slow_speeds.tolist() == [pytest.approx(unit)]
