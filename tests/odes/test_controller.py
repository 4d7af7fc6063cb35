"""The controllers as functions from a state and a step to the next state."""

from math import sqrt

import pytest
import torch

from helpers.odes.controller import FixedGrid, PIController, error_ratio, fixed_grid, joint_ratio, rms
from helpers.odes.loop import State, Step, initial_state

ORDER = 5  # q + 1
EPSILON = torch.finfo(torch.float64).eps


def double(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def controller(end, per_sample=True, rtol=1e-3, atol=1e-3):
    return PIController(ORDER - 1, 0 * end, end, *double(rtol, atol), per_sample)


def state(t, h, y=None) -> State:
    y = torch.ones(len(t), 1, dtype=torch.float64) if y is None else y
    return initial_state(t, t + h, y, -y)


def step_with_ratio(*ratios) -> Step:
    """A step from y = 1 or -1 to y₁ = -1 whose error is so many tolerances of 1e-3 + 1e-3 · 1."""
    y = torch.full((len(ratios), 1), -1.0, dtype=torch.float64)
    return Step(y, -y, (y,), (double(*ratios)[:, None] * 2e-3,))


class TestNorms:
    def test_rms_is_over_a_samples_own_entries(self):
        values = double([[3.0, 4.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]])
        torch.testing.assert_close(rms(values), double(2.5, 1.0))

    def test_scale_takes_the_larger_end(self):
        errors, y, y_next = (double([1.0, 1.0]),), double([-3.0, 1.0]), double([2.0, 7.0])
        expected = sqrt(((1 / (0.5 + 0.1 * 3)) ** 2 + (1 / (0.5 + 0.1 * 7)) ** 2) / 2)
        assert error_ratio(errors, y, y_next, *double(0.1, 0.5)).item() == pytest.approx(expected, rel=1e-14)

    def test_two_estimates(self):
        """r₅² / √(r₅² + 0.01 r₃²), and 0 without any error."""
        one, many = double([3.0], [0.0]), double([40.0], [0.0])
        ratio = error_ratio((one, many), 0 * one, 0 * one, *double(1.0, 1.0))
        torch.testing.assert_close(ratio, double(9 / sqrt(9 + 0.01 * 1600), 0.0))

    def test_joint_ratio_is_the_rms_of_those_chosen(self):
        ratios = joint_ratio(double(3.0, torch.nan, 4.0), torch.tensor([True, False, True]))
        torch.testing.assert_close(ratios, torch.full((3,), sqrt(12.5), dtype=torch.float64))

    def test_joint_ratio_is_the_norm_of_the_whole_batch(self):
        errors = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)
        whole = errors.square().mean().sqrt()
        torch.testing.assert_close(joint_ratio(rms(errors), torch.ones(4, dtype=torch.bool))[0], whole)


class TestPIController:
    def test_accepts_up_to_the_tolerance(self):
        t, h = torch.zeros(3, dtype=torch.float64), double(0.5, 0.5, 0.5)
        after = controller(t + 10)(state(t, h), step_with_ratio(0.999999, 1.000001, torch.nan), 0)
        assert after.accepted.tolist() == [True, False, False]
        assert after.t.tolist() == [0.5, 0.0, 0.0]
        assert after.y[:, 0].tolist() == [-1.0, 1.0, 1.0]
        assert after.slope[:, 0].tolist() == [1.0, -1.0, -1.0]

    @pytest.mark.parametrize("ratio", [0.02, 0.3, 1.0, 3.0])
    def test_next_step_is_by_the_formula(self, ratio):
        t, h = double(0.0), double(0.1)
        after = controller(t + 100)(state(t, h), step_with_ratio(ratio), 0)
        assert after.h.item() == pytest.approx(0.1 * 0.9 * ratio ** (-0.7 / ORDER), rel=1e-9)

    def test_the_last_accepted_error_counts_in_the_next_step(self):
        control, t, h = controller(double(100.0)), double(0.0), double(0.1)
        after = control(control(state(t, h), step_with_ratio(0.5), 0), step_with_ratio(0.5), 0)
        first = 0.1 * 0.9 * 0.5 ** (-0.7 / ORDER)
        assert after.h.item() == pytest.approx(first * 0.9 * 0.5 ** (-0.7 / ORDER + 0.4 / ORDER), rel=1e-9)

    def test_grows_at_most_tenfold_and_shrinks_at_most_fivefold(self):
        t, h = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
        after = controller(t + 1000)(state(t, h), step_with_ratio(0.0, 1e9, torch.inf, torch.nan), 0)
        torch.testing.assert_close(after.h, double(10.0, 0.2, 0.2, 0.2))

    def test_does_not_grow_after_a_rejection(self):
        control, t, h = controller(double(100.0)), double(0.0), double(1.0)
        after = control(control(state(t, h), step_with_ratio(2.0), 0), step_with_ratio(1e-6), 0)
        once_more = control(after, step_with_ratio(1e-6), 0)
        assert after.h.item() == pytest.approx(0.9 * 2 ** (-0.7 / ORDER), rel=1e-9)
        assert once_more.h.item() > 2 * after.h.item()

    @pytest.mark.parametrize("sign", [1, -1], ids=["forwards", "backwards"])
    def test_ends_exactly_at_the_end(self, sign):
        """A step that nearly gets there goes all the way; none leads beyond."""
        control = controller(double(*[sign * 1.1] * 4))
        t = torch.zeros(4, dtype=torch.float64)
        ends = control.end_of_step(t, sign * double(1.08, 1.0999, 1.2, 100.0))
        assert ends.tolist() == [sign * 1.08, sign * 1.1, sign * 1.1, sign * 1.1]

    def test_who_has_arrived_stays(self):
        t, control = double(0.0), controller(double(0.25))
        arrived = control(state(t, double(0.25)), step_with_ratio(0.5), 0)
        assert (arrived.t.item(), arrived.h.item()) == (0.25, 0.0)
        assert control.steps_left(arrived, 0) == 0
        later = control(arrived, Step(arrived.y, arrived.slope, (), (0 * arrived.y,)), 1)
        assert (later.t.item(), later.h.item()) == (0.25, 0.0)

    def test_a_step_below_ten_epsilon_is_the_end(self):
        t = double(1.0, 1.0)
        after = controller(t + 1)(state(t, double(2e-15, 1e-14)), step_with_ratio(2.0, 2.0), 0)
        assert after.h[0].item() == 0 and after.h[1].item() > 0

    def test_steps_left_are_those_of_the_slowest(self):
        t = double(0.0, 1.0, 5.0)
        control = controller(double(4.0, 2.0, 5.0))
        assert control.steps_left(state(t, double(0.5, 0.5, 0.0)), 0) == 8

    def test_a_joint_step_is_accepted_by_the_common_error(self):
        t, h = torch.zeros(2, dtype=torch.float64), double(0.1, 0.1)
        control = controller(t + 10, per_sample=False)
        after = control(state(t, h), step_with_ratio(1.2, 0.4), 0)
        assert after.accepted.all() and after.h[0] == after.h[1]
        after = control(state(t, h), step_with_ratio(torch.nan, 0.4), 0)
        assert not after.accepted.any() and after.h[0] == after.h[1] == pytest.approx(0.02)

    def test_of_a_joint_step_only_the_culprit_fails(self):
        t, h = double(1.0, 1.0), double(2e-15, 2e-15)
        after = controller(t + 1, per_sample=False)(state(t, h), step_with_ratio(5.0, 0.5), 0)
        assert after.h[0] == 0 and after.h[1] > 0 and not after.accepted.any()


class TestFixedGrid:
    def test_takes_as_few_equal_steps_as_it_can(self):
        grid = fixed_grid(double([0.0, 0.3, 1.0], [0.0, -0.05, -0.1]), 0.1, EPSILON, most=100)
        expected = [*torch.linspace(0, 0.3, 4).tolist(), *torch.linspace(0.3, 1, 8).tolist()[1:]]
        torch.testing.assert_close(grid.times[0], double(*expected), rtol=0, atol=1e-7)
        torch.testing.assert_close(grid.times[1], double(0, -0.05, *[-0.1] * 9), rtol=0, atol=0)

    @pytest.mark.parametrize("step", [0.1, 0.07, 1 / 3, 2.0, None])
    def test_meets_every_output_exactly(self, step):
        t = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)).double().sort(1).values
        grid = fixed_grid(t, step, EPSILON, most=10_000)
        for ours, theirs in zip(grid.times.tolist(), t.tolist(), strict=True):
            assert set(theirs) <= set(ours)
            assert (ours[0], ours[-1]) == (theirs[0], theirs[-1])
        longest = 1.0 if step is None else step
        assert (grid.times.diff() >= 0).all() and grid.times.diff().max() <= longest * (1 + 1e-9)

    def test_is_cut_at_most(self):
        assert fixed_grid(double([0.0, 1.0]), 1e-9, EPSILON, most=5).times.shape == (1, 6)

    def test_each_sample_follows_its_own_times(self):
        grid = FixedGrid(double([0.0, 1.0, 2.0], [0.0, 0.5, 0.5]))
        y = torch.ones(2, 1, dtype=torch.float64)
        at = initial_state(grid.times[:, 0], grid.end_of_trial(0), y, None)
        seen = []
        for trial in range(2):
            seen.append(at.t.tolist())
            at = grid(at, Step(at.y + at.h[:, None], None, (at.y,), ()), trial)
        assert seen == [[0.0, 0.0], [1.0, 0.5]]
        assert at.t.tolist() == [2.0, 0.5] and at.h.tolist() == [0.0, 0.0]
        assert at.y[:, 0].tolist() == [3.0, 1.5]

    def test_who_leaves_the_numbers_stays_at_the_last_finite_state(self):
        grid = FixedGrid(double([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]))
        y = torch.ones(2, 1, dtype=torch.float64)
        at = initial_state(grid.times[:, 0], grid.end_of_trial(0), y, None)
        at = grid(at, Step(double([torch.nan], [2.0]), None, (at.y,), ()), 0)
        assert at.t.tolist() == [0.0, 1.0] and at.h.tolist() == [0.0, 1.0]
        assert at.y[:, 0].tolist() == [1.0, 2.0]
        at = grid(at, Step(double([1.0], [3.0]), None, (at.y,), ()), 1)
        assert at.t.tolist() == [0.0, 2.0] and at.y[:, 0].tolist() == [1.0, 3.0]
