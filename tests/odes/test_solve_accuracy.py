"""Is the answer right? Orders, tolerances, closed forms, SciPy and torchdiffeq."""

import numpy as np
import pytest
import torch
from ode_problems import (
    ADAPTIVE,
    FIXED,
    HIGH,
    LOW,
    ORDER,
    ForcedPendulum,
    double,
    driven_gene,
    forced_steps,
    lotka_volterra,
    reference,
    relaxing,
    root_mean_square,
    slope,
    times,
)
from scipy.integrate import DOP853, RK23, RK45
from torchdiffeq import odeint

from helpers.odes import TABLEAUX, Tableau, solve
from helpers.systems import Lorenz, ToggleSwitch

# name: field, starts (B, D), end
PROBLEMS = {
    "toggle switch": (
        ToggleSwitch(double(1.5, 3.0, 5.0)),
        double([2.0, 0.1], [0.5, 0.4], [1.0, 1.1]),
        10.0,
    ),
    "Lorenz": (Lorenz(), double([1.0, 1.0, 1.0], [-5.0, -6.0, 20.0]), 2.0),
    "Lotka-Volterra": (lotka_volterra, double([1.5, 1.0], [3.0, 0.5], [1.0, 1.0]), 12.0),
    "two time scales": (relaxing, double([1.0, 0.0], [2.0, 3.0]), 2.0),
    "driven gene": (driven_gene, double([0.0], [0.7], [3.0]), 10.0),
}


@pytest.fixture(params=PROBLEMS, scope="module")
def problem(request):
    """A field, its starts, times, and the answer of SciPy."""
    field, y0, end = PROBLEMS[request.param]
    t = times(0.0, end, 25)
    return field, y0, t, reference(field, y0, t)


# By order, numbers of steps past the error's pre-asymptotic range and short of round-off.
STEP_COUNTS = {
    1: (1024, 2048, 4096),
    2: (128, 256, 512),
    3: (64, 128, 256),
    4: (32, 64, 128, 256),
    5: (128, 256, 512),
    8: (16, 32, 64),
}


@pytest.mark.parametrize("method", FIXED)
def test_order_of_the_fixed_methods(method):
    pendulum, counts = ForcedPendulum(), STEP_COUNTS[ORDER[method]]
    y0, t = pendulum.state(0.0), double(0.0, 5.0)
    ends = [solve(pendulum, y0, t, method=method, step=5.0 / count).y[:, -1] for count in counts]
    errors = [root_mean_square(end - pendulum.state(5.0)) for end in ends]
    assert slope(counts, errors) == pytest.approx(-ORDER[method], abs=0.1)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_order_of_the_adaptive_methods(method):
    pendulum, counts = ForcedPendulum(), STEP_COUNTS[ORDER[method]]
    ends = [forced_steps(pendulum, pendulum.state(0.0), 0.0, 5.0, count, method) for count in counts]
    errors = [root_mean_square(end - pendulum.state(5.0)) for end in ends]
    assert slope(counts, errors) == pytest.approx(-ORDER[method], abs=0.1)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_order_between_the_steps(method):
    """Within one step of length h an interpolant of order q is wrong by h^(q+1)."""
    pendulum = ForcedPendulum()
    how = {} if method in FIXED else {"rtol": 1e12, "atol": 1e12}
    steps = [0.4, 0.2, 0.1] if ORDER[method] > 5 else [0.02, 0.01, 0.005]
    errors = []
    for h in steps:
        first = {} if method in FIXED else {"first_step": h}
        solution = solve(pendulum, pendulum.state(0.0), double(0.0, h), method=method, **how, **first)
        within = h * times(0.05, 0.95, 19)
        errors.append(root_mean_square(solution.interpolant(within) - pendulum.solution(within)))
    assert slope(steps, errors) > TABLEAUX[method].dense_order + 1 - 0.1


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_is_proportional_to_rtol(method):
    """Over rtol = 10⁻³ … 10⁻¹⁰, as far as the method can afford; at 81 times of eight phases at once."""
    pendulum = ForcedPendulum()
    y0, t = pendulum.state(0.0), times(0.0, 5.0, 81)
    tightest = {2: -5, 3: -7}.get(ORDER[method], -10)
    tolerances = [10.0**exponent for exponent in range(-3, tightest - 1, -1)]
    errors = [
        root_mean_square(
            solve(pendulum, y0, t, method=method, rtol=rtol, atol=rtol / 10).y - pendulum.solution(t)
        )
        for rtol in tolerances
    ]
    assert slope(tolerances, errors) == pytest.approx(1.0, abs=0.1)
    ratios = [error / rtol for error, rtol in zip(errors, tolerances, strict=True)]
    assert max(ratios) < 10 * min(ratios)


@pytest.mark.parametrize("method", HIGH)
def test_equals_scipy(problem, method):
    field, y0, t, expected = problem
    tolerance = 1e-11 if ORDER[method] > 5 else 1e-9
    solution = solve(field, y0, t, method=method, rtol=tolerance, atol=tolerance, max_steps=100_000)
    torch.testing.assert_close(solution.y, expected, rtol=3e3 * tolerance, atol=3e3 * tolerance)


@pytest.mark.parametrize("method", LOW)
def test_low_orders_equal_scipy(problem, method):
    field, y0, t, expected = problem
    tolerance = 1e-4 if ORDER[method] == 2 else 1e-6
    solution = solve(field, y0, t, method=method, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(solution.y, expected, rtol=1e3 * tolerance, atol=1e3 * tolerance)


FIXED_STEP = {1: 2e-3, 2: 5e-3, 3: 1e-2, 4: 2e-2}


@pytest.mark.parametrize("method", [method for method in FIXED if ORDER[method] > 1])
def test_fixed_grids_equal_scipy(problem, method):
    field, y0, t, expected = problem
    solution = solve(field, y0, t, method=method, step=FIXED_STEP[ORDER[method]])
    assert (solution.y - expected).abs().max() < 3e-3 * expected.abs().max()


def test_equals_torchdiffeq(problem):
    field, y0, t, _ = problem
    theirs = odeint(lambda now, y: field(now.expand(len(y)), y), y0, t, method="dopri5", rtol=1e-9, atol=1e-9)
    ours = solve(field, y0, t, method="dopri5", rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.y, theirs.movedim(0, 1), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("method", ["euler", "midpoint"])
def test_one_step_per_output_equals_torchdiffeq(problem, method):
    field, y0, t, _ = problem
    t = t / 20  # short enough for both to be stable: both take the same steps
    theirs = odeint(lambda now, y: field(now.expand(len(y)), y), y0, t, method=method)
    torch.testing.assert_close(
        solve(field, y0, t, method=method).y, theirs.movedim(0, 1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("method, power_sum", [("euler", 0.0), ("midpoint", 1 / 16), ("rk4", 5 / 24)])
def test_one_step_is_the_methods_quadrature(method, power_sum):
    """Of y' = t⁴ from 0 to 1: left end, middle, Simpson's rule (the other rk4, of 3/8, would give 11/54)."""
    solution = solve(lambda t, y: t.unsqueeze(-1) ** 4, double([0.0]), double(0.0, 1.0), method=method)
    assert solution.y[0, -1, 0].item() == pytest.approx(power_sum, abs=1e-15)


@pytest.mark.parametrize("method, longest, count", [("rk4", 0.3, 4), ("rk4", 0.25, 4), ("midpoint", 5.0, 1)])
def test_step_is_the_longest_allowed(method, longest, count):
    """One unit of time is divided into equal steps: y' = y grows by R(1/n)ⁿ."""
    h = 1 / count
    factor = 1 + h + h**2 / 2 + (h**3 / 6 + h**4 / 24 if method == "rk4" else 0)
    solution = solve(lambda t, y: y, double([1.0], [2.0]), double(0.0, 1.0, 2.0), method=method, step=longest)
    expected = double([1.0], [2.0]).unsqueeze(1) * factor ** (count * double(0.0, 1.0, 2.0)).unsqueeze(-1)
    torch.testing.assert_close(solution.y, expected, rtol=1e-14, atol=0)
    assert solution.stats.accepted.tolist() == [2 * count, 2 * count]
    assert solution.stats.rejected.tolist() == [0, 0]


PEERS = {"bosh3": RK23, "dopri5": RK45, "dopri8": DOP853}


@pytest.mark.parametrize("method", PEERS)
def test_one_step_equals_scipys(method):
    """To round-off: the same tableau and the same interpolant."""
    pendulum = ForcedPendulum()
    y0, h = pendulum.state(0.3), 0.25

    def flat(t, y):
        return pendulum(double(t).expand(8), torch.from_numpy(y).reshape(8, 2)).reshape(-1).numpy()

    peer = PEERS[method](flat, 0.3, y0.reshape(-1).numpy(), 0.3 + h, first_step=h, rtol=1e12, atol=1e12)
    peer.step()
    t = double(0.3, 0.35, 0.42, 0.5, 0.55)
    solution = solve(pendulum, y0, t, method=method, rtol=1e12, atol=1e12, first_step=h)
    expected = torch.from_numpy(np.array(peer.dense_output()(t.numpy()))).T.reshape(-1, 8, 2).movedim(0, 1)
    torch.testing.assert_close(solution.y[:, -1], expected[:, -1], rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(solution.y, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", PEERS)
def test_a_first_step_is_accepted_where_scipys_is(method):
    """The same estimate of the error, in the same norm, against the same tolerance."""
    y0, how = double([1.5, 1.0, 0.3, 2.0]), {"rtol": 1e-5, "atol": 1e-6}

    def field(t, y):
        return torch.cat((lotka_volterra(t, y[:, :2]), 0.1 * lotka_volterra(t, y[:, 2:])), dim=1)

    def flat(t, y):
        return field(t, torch.from_numpy(y).unsqueeze(0)).squeeze(0).numpy()

    ours, theirs = [], []
    for h in torch.logspace(-2, 0.5, 60).tolist():
        stats = solve(field, y0, double(0.0, h), method=method, first_step=h, **how).stats
        ours.append(stats.rejected.item() == 0)
        peer = PEERS[method](flat, 0.0, y0[0].numpy(), h, first_step=h, **how)
        peer.step()
        theirs.append(peer.t == h)
    assert ours == theirs and 0 < sum(ours) < 60


@pytest.mark.parametrize("method, sixth", [("dopri5", 1 / 600), ("heun", None)])
def test_one_step_of_linear_growth(method, sixth):
    """R(z) of y' = z y: 1 + z + z²/2 for Heun, up to z⁵/120 + z⁶/600 for dopri5.

    Source: Hairer and Wanner, Solving Ordinary Differential Equations II, chapter IV.2.
    """
    z = double([-2.0], [-0.5], [0.7], [1.5])
    solution = solve(
        lambda t, y: z * y,
        torch.ones_like(z),
        double(0.0, 1.0),
        method=method,
        rtol=1e12,
        atol=1e12,
        first_step=1.0,
    )
    taylor = 1 + z + z**2 / 2
    if sixth is not None:
        taylor = taylor + z**3 / 6 + z**4 / 24 + z**5 / 120 + sixth * z**6
    torch.testing.assert_close(solution.y[:, -1], taylor, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_interpolant_agrees_with_the_outputs_and_the_truth_between(method):
    pendulum = ForcedPendulum(stiffness=1.0)
    t = double(0.0, 0.7, 0.71, 2.0, 3.0)
    how = {"step": FIXED_STEP[ORDER[method]]} if method in FIXED else {"rtol": 1e-5, "atol": 1e-5}
    solution = solve(pendulum, pendulum.state(0.0), t, method=method, **how)
    torch.testing.assert_close(solution.interpolant(t), solution.y, rtol=1e-12, atol=1e-12)
    between = times(0.0, 3.0, 137)
    tolerance = 2e-2 if ORDER[method] == 1 else 2e-4
    torch.testing.assert_close(
        solution.interpolant(between), pendulum.solution(between), rtol=0, atol=tolerance
    )


def test_interpolant_takes_times_of_each_sample_in_any_order():
    pendulum = ForcedPendulum(samples=3)
    solution = solve(pendulum, pendulum.state(0.0), double(0.0, 2.0), rtol=1e-9, atol=1e-9)
    t = double([0.0, 1.7, 0.2, 2.0], [2.0, 2.0, 0.1, 0.0], [0.5, 0.4, 0.3, 1.1])
    torch.testing.assert_close(solution.interpolant(t), pendulum.solution(t), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_float32(method):
    pendulum = ForcedPendulum(stiffness=1.0)
    y0, t = pendulum.state(0.0), times(0.0, 3.0, 31)
    single = ForcedPendulum(stiffness=1.0)
    single.phase = pendulum.phase.float()
    solution = solve(single, y0.float(), t.float(), method=method, rtol=1e-4, atol=1e-5)
    assert solution.y.dtype == torch.float32
    torch.testing.assert_close(solution.y, pendulum.solution(t).float(), rtol=0, atol=2e-3)


def first_trial(rtol, *shape, **how):
    """Was the first step of Heun's method from 0 to 1 accepted? Only one entry of the first sample moves.

    It has y' = 2 t from y = 0: y₁ = 1, Euler's method stays at 0, so that the estimated error is |1 - 0| = 1
    in units of rtol max(|y|, |y₁|) = rtol. The other entries make no error.
    """
    moving = torch.zeros(shape, dtype=torch.float64)
    moving.view(-1)[0] = 1.0

    def field(t, y):
        return 2 * t.reshape(-1, *[1] * (y.ndim - 1)) * moving

    y0, t = torch.zeros_like(moving), double(0.0, 1.0)
    stats = solve(field, y0, t, method="heun", rtol=rtol, atol=1e-9, first_step=1.0, **how).stats
    return stats.rejected[0].item() == 0


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
@pytest.mark.parametrize("shape, entries", [((1, 1), 1), ((1, 2), 2), ((1, 3, 2), 6)], ids=str)
def test_the_tolerance_bounds_the_root_mean_square_over_the_entries(per_sample, shape, entries):
    """The largest of |y| and |y₁| counts; the error of one of D entries is 1 / √D of its own."""
    limit = entries**-0.5
    assert first_trial(1.001 * limit, *shape, per_sample=per_sample)
    assert not first_trial(0.999 * limit, *shape, per_sample=per_sample)


def test_one_step_for_all_bounds_the_root_mean_square_over_the_samples():
    assert first_trial(0.501, 4, 1, per_sample=False) and not first_trial(0.499, 4, 1, per_sample=False)
    assert first_trial(1.001, 4, 1) and not first_trial(0.999, 4, 1)


def test_a_looser_absolute_tolerance_lets_a_larger_error_pass():
    def field(t, y):
        return 2 * t.unsqueeze(-1)

    for atol, rejected in ((1.001, False), (0.98, True)):
        stats = solve(
            field, double([0.0]), double(0.0, 1.0), method="heun", rtol=1e-3, atol=atol, first_step=1.0
        ).stats
        assert (stats.rejected > 0).item() == rejected


# Ralston's method of order 2, and the one of Heun that evaluates f twice and at no step's end.
FURTHER = {
    "ralston": Tableau(
        name="ralston",
        order=2,
        c=(0, 2 / 3),
        a=((2 / 3,),),
        b=(1 / 4, 3 / 4),
        dense=((1, -3 / 4), (0, 3 / 4)),
        dense_order=2,
    ),
    "short heun": Tableau(
        name="short heun",
        order=2,
        c=(0, 1),
        a=((1,),),
        b=(1 / 2, 1 / 2),
        dense=((1, -1 / 2), (0, 1 / 2)),
        dense_order=2,
        error=((-1 / 2, 1 / 2),),
        error_order=1,
    ),
}


@pytest.fixture
def further_methods(monkeypatch):
    for name, tableau in FURTHER.items():
        monkeypatch.setitem(TABLEAUX, name, tableau)


def test_a_further_method_is_one_tableau(further_methods):
    """Order 2 integrates y' = 2 t exactly; y' = 4 t³ from 0 to 1 gives 3/4 · 4 · (2/3)³ = 8/9."""
    for power, expected in ((1, 1.0), (3, 8 / 9)):
        field = lambda t, y: (power + 1) * t.unsqueeze(-1) ** power  # noqa: B023, E731
        solution = solve(field, double([0.0]), double(0.0, 1.0), method="ralston")
        assert solution.y[0, -1, 0].item() == pytest.approx(expected, abs=1e-15)
        assert solution.stats.evaluations.item() == 2


def test_an_adaptive_method_need_not_evaluate_f_at_the_end_of_its_step(further_methods):
    """The same answers as Heun's with that stage, also the gradients, and every call is counted."""
    calls = []

    def answer(method, **how):
        def field(t, y):
            calls.append(t)
            return 1 - y.sqrt()

        y0 = double([4.0]).requires_grad_()
        solution = solve(field, y0, times(0.0, 10.0, 6), method=method, rtol=1e-4, **how)
        return solution, torch.autograd.grad(solution.y.sum(), y0)

    for how in ({}, {"first_step": 10.0}):  # the second leaves the domain of √y and is rejected
        heun, gradient = answer("heun", **how)
        calls.clear()
        short, short_gradient = answer("short heun", **how)
        torch.testing.assert_close(short.y, heun.y, rtol=1e-14, atol=0)
        torch.testing.assert_close(short_gradient, gradient, rtol=1e-13, atol=0)
        assert short.stats.rejected.equal(heun.stats.rejected) and short.stats.evaluations == len(calls)
