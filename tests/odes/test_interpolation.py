"""The dense output: on its own, from paths that the loop made."""

import numpy as np
import pytest
import torch
from scipy.integrate import DOP853, RK45

from helpers.odes import TABLEAUX, solve
from helpers.odes.interpolation import dense_weights

ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.adaptive]


def double(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def spiral(t, y):
    return torch.stack((-0.2 * y[:, 0] - 2 * y[:, 1], 2 * y[:, 0] - 0.2 * y[:, 1]), dim=-1) * (1 + t[:, None])


START, ENDS = double([1.0, 0.0], [0.3, -0.7], [5.0, 2.0]), double(0.0, 2.0)


@pytest.mark.parametrize("method", TABLEAUX)
def test_weights_are_the_polynomials(method):
    share = double(0.0, 0.3, 1.0)
    rows = np.array(TABLEAUX[method].dense, dtype=float)
    expected = sum(
        rows[:, j, None] * share.numpy() ** (j + 1) for j in range(rows.shape[1])
    )  # fmt: skip
    np.testing.assert_allclose(
        dense_weights(TABLEAUX[method], share).numpy(), expected, rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("method", TABLEAUX)
@pytest.mark.parametrize("sign", [1, -1], ids=["forwards", "backwards"])
def test_polynomials_up_to_the_dense_order_are_exact(method, sign):
    """y' = d/dt Σ tᵏ for k ≤ the dense order: no error at any time, in one step of any size."""
    order = TABLEAUX[method].dense_order

    def field(t, y):
        return sum(k * t[:, None] ** (k - 1) for k in range(1, order + 1)) + 0 * y

    how = {"first_step": sign * 1.5} if TABLEAUX[method].adaptive else {}
    solution = solve(field, double([0.0]), sign * double(0.0, 1.5), method=method, rtol=0.1, atol=10.0, **how)
    assert solution.stats.accepted.item() == 1
    t = sign * torch.linspace(0, 1.5, 7, dtype=torch.float64)
    exact = sum(t**k for k in range(1, order + 1))
    torch.testing.assert_close(solution.interpolant(t)[0, :, 0], exact, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method, theirs", [("dopri5", RK45), ("dopri8", DOP853)])
def test_the_same_as_scipys_within_a_step(method, theirs):
    solver = theirs(
        lambda t, y: spiral(double(t), torch.from_numpy(y)[None])[0].numpy(),
        0.0,
        START[0].numpy(),
        0.2,
        first_step=0.2,
        rtol=1.0,
        atol=1.0,
    )
    solver.step()
    t = torch.linspace(0, 0.2, 9, dtype=torch.float64)
    solution = solve(spiral, START[:1], double(0.0, 0.2), method=method, rtol=1.0, atol=1.0, first_step=0.2)
    theirs_at = solver.dense_output()(t.numpy()).T
    largest_increment = 0.2 * spiral(t, START[:1].expand(9, 2)).abs().max().item()
    rounding = np.finfo(float).eps * np.abs(TABLEAUX[method].dense).sum() * largest_increment
    np.testing.assert_allclose(solution.interpolant(t)[0].numpy(), theirs_at, rtol=0, atol=2 * rounding)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_continuous_where_steps_meet(method):
    """Just before a step's end and just after it, and there it is the step's own state."""
    solution = solve(spiral, START, ENDS, method=method, rtol=1e-4, atol=1e-4)
    path = solution.interpolant.dense.path
    times, accepted = path.times(), path.accepted()
    sample = 1
    knots = times[sample, 1:][accepted[sample]][:-1]
    states = torch.stack(path.y[1:])[accepted[sample], sample][:-1]
    at = solution.interpolant(knots)[sample]
    torch.testing.assert_close(at, states, rtol=0, atol=0)
    before = solution.interpolant(knots - 1e-12)[sample]
    torch.testing.assert_close(before, states, rtol=0, atol=1e-10)


def test_first_and_last_are_exact():
    solution = solve(spiral, START, double(0.0, 0.5, 2.0))
    ends = solution.interpolant(ENDS)
    assert ends[:, 0].equal(START)
    assert ends[:, 1].equal(solution.y[:, -1])


def test_outputs_do_not_change_the_steps():
    few, many = solve(spiral, START, ENDS), solve(spiral, START, torch.linspace(0, 2, 300).double())
    assert few.y[:, -1].equal(many.y[:, -1])
    assert few.stats.accepted.equal(many.stats.accepted)


def test_times_of_each_samples_own_in_any_order():
    solution = solve(spiral, START, ENDS)
    t = double([1.7, 0.0, 0.4], [0.1, 2.0, 0.1], [1.0, 0.5, 1.5])
    together = solution.interpolant(t)
    for sample in range(3):
        torch.testing.assert_close(
            together[sample], solution.interpolant(t[sample])[sample], rtol=1e-13, atol=1e-13
        )


class TestDopri8:
    """Three further stages for the dense output, and only where it is asked for."""

    def counting(self):
        calls = []

        def field(t, y):
            calls.append(len(y))
            return spiral(t, y)

        return field, calls

    def test_evaluated_only_where_there_is_an_output(self):
        field, calls = self.counting()
        ends = solve(field, START[:1], ENDS, method="dopri8")
        assert len(calls) == ends.stats.evaluations.item()
        trials = (ends.stats.accepted + ends.stats.rejected).item()
        assert len(calls) == 2 + 12 * trials
        calls.clear()
        one = solve(field, START[:1], double(0.0, 1.0, 1.00001, 2.0), method="dopri8")
        assert len(calls) == one.stats.evaluations.item() == 2 + 12 * trials + 3

    def test_evaluated_once_when_the_interpolant_first_asks(self):
        field, calls = self.counting()
        solution = solve(field, START[:1], ENDS, method="dopri8")
        calls.clear()
        first = solution.interpolant(double(1.0))
        assert len(calls) == 3
        again = solution.interpolant(double(1.0))
        assert len(calls) == 3 and first.equal(again)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4"])
def test_gradient_through_the_interpolant(method):
    t = double(0.05, 0.31)
    how = {"step": 0.1} if method == "rk4" else {"first_step": 0.1}

    def between(y0):
        return solve(spiral, y0, double(0.0, 0.4), method=method, rtol=1.0, atol=1.0, **how).interpolant(t)

    assert torch.autograd.gradcheck(between, START.clone().requires_grad_())


class TestArguments:
    solution = solve(spiral, START, ENDS)

    @pytest.mark.parametrize(
        "t, message",
        [
            pytest.param([0.5], "a floating-point tensor: got list", id="list"),
            pytest.param(torch.tensor([1]), "a floating-point tensor: got a torch.int64", id="integers"),
            pytest.param(double(0.5)[0], r"with B = 3 and T ≥ 0: got \(\)", id="a single time"),
            pytest.param(torch.zeros(2, 4), r"with B = 3 and T ≥ 0: got \(2, 4\)", id="another batch"),
            pytest.param(double(0.5, 2.5), r"0.0 to 2.0 in sample 0: t\[1\] = 2.5", id="too late"),
            pytest.param(double(-0.1), r"0.0 to 2.0 in sample 0: t\[0\] = -0.1", id="too early"),
            pytest.param(
                double([1.0], [1.0], [3.0]),
                r"0.0 to 2.0 in sample 2: t\[2, 0\] = 3.0",
                id="own time too late",
            ),
            pytest.param(double(torch.nan), r"t\[0\] = nan", id="nan"),
        ],
    )
    def test_refused(self, t, message):
        with pytest.raises(ValueError, match=message):
            self.solution.interpolant(t)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_another_device(self):
        with pytest.raises(ValueError, match="t must have the device of the solution: got cuda:0 and cpu"):
            self.solution.interpolant(double(1.0).cuda())
