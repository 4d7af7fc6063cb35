"""Lotka-Volterra: what Lotka and Volterra proved, seen along SciPy's solutions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from helpers.dynamics import Flow, fixed_points
from helpers.systems import LotkaVolterra

HARE_LYNX = {"alpha": 0.55, "beta": 0.028, "delta": 0.024, "gamma": 0.8}
"""Rates per year, for thousands of pelts."""


def test_invariant_stays_along_a_solution(scipy_path):
    system = LotkaVolterra(**HARE_LYNX)
    path = scipy_path(system, [30.0, 4.0], np.linspace(0, 20, 101))
    invariant = system.invariant(path)
    assert path[:, 0].min() < 10 < 60 < path[:, 0].max()
    torch.testing.assert_close(invariant, invariant[:1].expand(101), rtol=1e-10, atol=0)
    assert system.invariant(path[0] * 1.1) != pytest.approx(invariant[0].item(), rel=1e-3)


@settings(deadline=None, max_examples=30)
@given(*[st.floats(0.01, 100.0)] * 6)
def test_invariant_does_not_change_along_the_field(alpha, beta, delta, gamma, x, y):
    """∇V · f = 0, to the rounding of its four terms."""
    system = LotkaVolterra(alpha=alpha, beta=beta, delta=delta, gamma=gamma)
    state = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(system.invariant(state), state)
    sizes = (delta + gamma / x) * (alpha + beta * y) * x + (beta + alpha / y) * (delta * x + gamma) * y
    assert abs((gradient * system(0.0, state)).sum().item()) < 1e-14 * sizes


def test_rests_at_a_centre_and_at_a_saddle():
    found = fixed_points(
        Flow(LotkaVolterra(**HARE_LYNX)), torch.tensor([[1.0, 1.0], [40.0, 30.0]], dtype=torch.float64)
    )
    expected = torch.tensor([[0.0, 0.0], [0.8 / 0.024, 0.55 / 0.028]], dtype=torch.float64)
    torch.testing.assert_close(found.states, expected, rtol=1e-9, atol=1e-9)
    assert found.stability == ("saddle", "marginal")
    frequency = math.sqrt(0.55 * 0.8)
    assert found.eigenvalues[1].imag.abs().tolist() == pytest.approx([frequency, frequency], rel=1e-9)


def round_trip(system, start):
    """Period of the circle through a start above the rest, and the mean of its states."""

    def field(t, z):  # the state, and its integral
        return np.concatenate((system(t, torch.from_numpy(z[:2])).numpy(), z[:2]))

    def crossing(t, z):
        return z[0] - start[0]

    crossing.direction = 1.0 if field(0, np.array([*start, 0, 0]))[0] > 0 else -1.0
    solution = solve_ivp(
        field, (0, 40), [*start, 0, 0], method="DOP853", rtol=1e-11, atol=1e-11, events=crossing
    )
    period = next(time for time in solution.t_events[0] if time > 1)
    place = list(solution.t_events[0]).index(period)
    return period, solution.y_events[0][place][2:] / period


def test_small_circles_take_two_pi_over_the_root_of_alpha_gamma():
    rest = np.array([0.8 / 0.024, 0.55 / 0.028])
    period, _ = round_trip(LotkaVolterra(**HARE_LYNX), rest * [1.0, 1.001])
    assert period == pytest.approx(2 * math.pi / math.sqrt(0.55 * 0.8), rel=1e-6)


def test_the_mean_of_every_circle_is_its_rest():
    period, mean = round_trip(LotkaVolterra(**HARE_LYNX), np.array([30.0, 4.0]))
    assert period > 1.05 * 2 * math.pi / math.sqrt(0.55 * 0.8)
    assert mean == pytest.approx([0.8 / 0.024, 0.55 / 0.028], rel=1e-8)


def test_prey_alone_multiply_and_predators_alone_decay():
    system = LotkaVolterra(**HARE_LYNX)
    y = torch.tensor([[10.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    torch.testing.assert_close(system(0.0, y), torch.tensor([[5.5, 0.0], [0.0, -8.0]], dtype=torch.float64))
    assert system.invariant(y).isposinf().all()


def test_no_invariant_of_negative_numbers():
    system = LotkaVolterra(**HARE_LYNX)
    y = torch.ones(3, 5, 2)
    y[2, 4, 1] = -0.5
    with pytest.raises(ValueError, match=r"y must not be negative: y\[2, 4, 1\] = -0.5"):
        system.invariant(y)
    with pytest.raises(ValueError, match=r"y\[0\] = nan"):
        system.invariant(torch.tensor([torch.nan, 1.0]))
    with pytest.raises(ValueError, match=r"y must end in the 2 variables \(prey, predator\)"):
        system.invariant(torch.ones(3))
