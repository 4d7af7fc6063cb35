"""continuation against the closed forms of every bifurcation it names; misuse."""

import math

import pytest
import torch

from helpers.dynamics import Flow, Map, continuation
from helpers.systems import Lorenz, ToggleSwitch


def double(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def neuron_by_weight(w):
    return Map(lambda h: torch.tanh(w[:, None] * h))


def logistic(r):
    return Map(lambda x: r[:, None] * x * (1 - x))


def hopf_normal_form(mu):
    """Turns at speed 2, grows at rate μ - r²."""

    def field(t, y):
        growth = (mu - y.square().sum(-1))[:, None]
        return growth * y + 2 * torch.stack((-y[:, 1], y[:, 0]), -1)

    return Flow(field)


def met(branch):
    return [(point.kind, point.parameter) for point in branch.bifurcations]


def near(parameter, within=1e-8):
    return pytest.approx(parameter, abs=within)


@pytest.mark.parametrize(
    "start, begin, direction",
    [pytest.param(0.0, 0.5, 1, id="through the middle"), pytest.param(0.9575, 2.0, -1, id="along the arms")],
)
def test_neurons_pitchfork_on_both_branches(start, begin, direction):
    (branch,) = continuation(neuron_by_weight, double([start]), begin, (0.0, 2.5), direction=direction)
    assert met(branch) == [("pitchfork", near(1.0))]
    assert branch.ended == "left the bounds"
    if start == 0:
        assert torch.equal(branch.stable, branch.parameter < 1) and branch.states.abs().max() == 0
    else:
        torch.testing.assert_close(torch.tanh(branch.parameter[:, None] * branch.states), branch.states)
        assert branch.states[0] > 0.9 and branch.states[-1] < -0.9


def test_neurons_folds_for_four_weights_at_once():
    w = double(1.2, 1.5, 2.0, 4.0)

    def by_bias(b):
        return Map(lambda h: torch.tanh(w[:, None] * h + b[:, None]))

    branches = continuation(by_bias, -torch.ones(4, 1, dtype=torch.float64), -2.5, (-2.5, 3.5))
    folds = (w * (w - 1)).sqrt() - torch.atanh(((w - 1) / w).sqrt())
    for branch, fold in zip(branches, folds.tolist(), strict=True):
        assert met(branch) == [("fold", near(fold)), ("fold", near(-fold))]
        first, second = (point.state.item() for point in branch.bifurcations)
        between = (branch.states[:, 0] > first) & (branch.states[:, 0] < second)
        assert torch.equal(branch.stable, ~between)


@pytest.mark.parametrize(
    "start, begin, direction",
    [
        pytest.param([0.86, 0.86], 1.5, 1, id="through the middle"),
        pytest.param([0.382, 2.618], 3.0, -1, id="along the arms"),
    ],
)
def test_toggle_switchs_pitchfork(start, begin, direction):
    def by_alpha(alpha):
        return Flow(ToggleSwitch(alpha))

    (branch,) = continuation(by_alpha, double(start), begin, (0.5, 4.0), direction=direction)
    assert met(branch) == [("pitchfork", near(2.0))]
    torch.testing.assert_close(branch.bifurcations[0].state, double(1.0, 1.0), rtol=0, atol=1e-6)


def test_logistic_map():
    (up,) = continuation(logistic, double([0.6]), 2.5, (0.5, 3.5))
    assert met(up) == [("period doubling", near(3.0))]
    down, at_zero = continuation(logistic, double([0.6], [0.0]), 2.5, (0.5, 3.5), direction=-1)
    for branch in (down, at_zero):
        assert met(branch) == [("transcritical", near(1.0))]
    torch.testing.assert_close(down.states[:, 0], 1 - 1 / down.parameter)


def test_hopf_and_neimark_sacker():
    """Runge-Kutta steps of 0.05 turn the Hopf at 0 into a Neimark-Sacker at (ω Δt)⁶ / 144 / Δt = 1.39e-7."""
    start = torch.zeros(1, 2, dtype=torch.float64)
    (branch,) = continuation(hopf_normal_form, start, -0.73, (-1.0, 0.5))
    assert met(branch) == [("Hopf", near(0.0))]
    (branch,) = continuation(lambda mu: hopf_normal_form(mu).every(0.05), start, -0.73, (-1.0, 0.5))
    assert met(branch) == [("Neimark-Sacker", near(0.1**6 / 144 / 0.05, within=1e-9))]


def test_lorenz_by_rayleigh_number():
    def by_rho(rho):
        return Flow(Lorenz(rho=rho))

    (rest,) = continuation(by_rho, double([0.0, 0.0, 0.0]), 0.5, (0.0, 30.0))
    assert met(rest) == [("pitchfork", near(1.0))]
    wing = math.sqrt(72)
    (branch,) = continuation(by_rho, double([wing, wing, 27.0]), 28.0, (0.0, 30.0), direction=-1)
    hopf = 10 * (10 + 8 / 3 + 3) / (10 - 8 / 3 - 1)
    assert met(branch) == [("Hopf", near(hopf)), ("pitchfork", near(1.0)), ("Hopf", near(hopf))]


UNITS = [1e-9, 1e-3, 1.0, 1e9]


@pytest.mark.parametrize("unit, time", [(1e-9, 1.0), (1e-3, 1e9), (1.0, 1e-9), (1e9, 1e9), (1e6, 1e-3)])
def test_units_of_states_and_of_time_do_not_matter(unit, time):
    def by_alpha(alpha):
        return Flow(lambda t, y: unit * ToggleSwitch(alpha)(t, y / unit) / time)

    (branch,) = continuation(by_alpha, unit * double([0.382, 2.618]), 3.0, (1.0, 4.0), direction=-1)
    assert met(branch) == [("pitchfork", near(2.0))] and branch.ended == "left the bounds"
    torch.testing.assert_close(branch.bifurcations[0].state / unit, double(1.0, 1.0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_a_parameter_do_not_matter(unit):
    """y' = b + 2 tanh y - y has its folds where 2 / cosh² y = 1: b = ±(√2 - atanh √½)."""

    def by_bias(b):
        return Flow(lambda t, y: b[:, None] + 2 * unit * torch.tanh(y / unit) - y)

    (branch,) = continuation(by_bias, double([-4.0 * unit]), -2 * unit, (-2 * unit, 2 * unit))
    fold = math.sqrt(2) - math.atanh(math.sqrt(0.5))
    assert [(kind, p / unit) for kind, p in met(branch)] == [("fold", near(fold)), ("fold", near(-fold))]


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_a_map_do_not_matter(unit):
    def in_units(r):
        return Map(lambda x: r[:, None] * x * (1 - x / unit))

    starts = unit * double([0.6], [0.0], [1e-14])
    for branch in continuation(in_units, starts, 2.5, (0.5, 2.9), direction=-1):
        assert met(branch) == [("transcritical", near(1.0))]
    (neuron,) = continuation(
        lambda w: Map(lambda h: unit * torch.tanh(w[:, None] * h / unit)), double([0.0]), 0.5, (0.0, 2.0)
    )
    assert met(neuron) == [("pitchfork", near(1.0))]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    "family, start, critical",
    [
        pytest.param(lambda alpha: Flow(ToggleSwitch(alpha)), [1.0, 1.0], 2.0, id="toggle switch"),
        pytest.param(neuron_by_weight, [0.0], 1.0, id="neuron"),
        pytest.param(lambda rho: Flow(Lorenz(rho=rho)), [0.0, 0.0, 0.0], 1.0, id="Lorenz"),
    ],
)
def test_a_branch_may_begin_on_a_pitchfork(family, start, critical, direction):
    bounds = (critical - 0.9, critical + 1.1)
    (branch,) = continuation(family, double(start), critical, bounds, direction=direction)
    assert met(branch) == [("pitchfork", near(critical))] and branch.ended == "left the bounds"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("start", [[0.0, 1.0], [0.6, -0.8]], ids=["at a fold", "between folds"])
def test_an_isola_is_followed_once(start, direction, unit):
    """y' = p² + y² - 1 rests on a circle, whose folds lie at p = ±1."""
    p, y = start

    def circle(p):
        return Flow(lambda t, y: p[:, None] ** 2 + (y / unit).square() - 1)

    (branch,) = continuation(circle, unit * double([y]), p, (-2.0, 2.0), direction=direction)
    assert sorted(met(branch)) == [("fold", near(-1.0)), ("fold", near(1.0))]
    assert branch.ended == "closed on itself" and len(branch.parameter) < 200
    assert torch.equal(branch.states[0], branch.states[-1]) and branch.parameter[-1] == pytest.approx(p)


def test_branches_do_not_depend_on_their_company():
    starts = double([0.0], [0.6])
    together = continuation(logistic, starts, 2.5, (0.5, 3.5))
    for start, one in zip(starts, together, strict=True):
        (alone,) = continuation(logistic, start[None], 2.5, (0.5, 3.5))
        torch.testing.assert_close(one.parameter, alone.parameter, rtol=0, atol=1e-12)
        torch.testing.assert_close(one.states, alone.states, rtol=0, atol=1e-12)
        assert met(one) == met(alone)


def test_endings(device):
    start = torch.full((1, 1), 0.6, dtype=torch.float64, device=device)
    (branch,) = continuation(logistic, start, 2.5, (0.5, 3.5), max_points=5)
    assert branch.ended == "max_points reached" and len(branch.parameter) == 5
    assert branch.states.device.type == device.type

    def square_root(p):
        return Map(lambda h: h + p[:, None].sqrt() - h**3)

    (branch,) = continuation(square_root, torch.full_like(start, 0.7), 0.12, (-1.0, 1.0), direction=-1)
    assert branch.ended == "step underflow" and branch.parameter[-1] >= 0


@pytest.mark.parametrize(
    "options, message",
    [
        pytest.param({"starts": torch.ones(2)}, r"starts must have shape \(B, D\)", id="start without batch"),
        pytest.param(
            {"bounds": (1.0, 1.0)},
            r"bounds must be \(low, high\) with low < high: got \(1.0, 1.0\)",
            id="empty bounds",
        ),
        pytest.param(
            {"bounds": (0.5, 1.0, 3.5)},
            r"bounds must be \(low, high\), two finite numbers: got \(0.5, 1.0, 3.5\)",
            id="three bounds",
        ),
        pytest.param(
            {"bounds": 3.5}, r"bounds must be \(low, high\), two finite numbers: got 3.5", id="one bound"
        ),
        pytest.param(
            {"family": lambda rho: Lorenz(rho=rho), "starts": torch.ones(1, 3)},
            r"family must return a Map or a Flow: got Lorenz; .* by Flow\(Lorenz\(…\)\)",
            id="family of fields",
        ),
        pytest.param(
            {"family": lambda r: Flow(lambda t, y: r[:, None] - y + 0.1 * t)},
            "system must not depend on time",
            id="driven family",
        ),
        pytest.param(
            {"parameter": 9.0},
            r"parameter must lie within bounds \(0.5, 3.5\): got 9.0",
            id="parameter out of bounds",
        ),
        pytest.param({"direction": 0}, "direction must be 1 or -1: got 0", id="direction of zero"),
        pytest.param({"step": 0.0}, "step must be positive and finite: got 0.0", id="step of zero"),
        pytest.param(
            {"max_points": 1}, "max_points must be a whole number of at least 2: got 1", id="one point"
        ),
        pytest.param(
            {"family": lambda r: Flow(lambda t, y: y[:, :0])},
            "family must return the shape of its state",
            id="family of another shape",
        ),
        pytest.param(
            {"family": lambda r: Map(lambda h: h + 1 + h.square()), "starts": double([0.0], [3.0])},
            r"starts must lie near fixed points at parameter 2.5: from starts\[0\] Newton's method left ‖F‖",
            id="start far off",
        ),
    ],
)
def test_misuse(options, message):
    arguments = {
        "family": logistic,
        "starts": double([0.6]),
        "parameter": 2.5,
        "bounds": (0.5, 3.5),
    } | options
    with pytest.raises(ValueError, match=message):
        continuation(**arguments)
