"""A failing sample says why and where, and spoils nobody else's answers or gradients."""

import math
import pickle

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, double, lotka_volterra, times

from helpers.odes import SolveError, Status, solve

T = times(0.0, 2.0, 9)
ROUND_OFF = {"rtol": 1e-12, "atol": 1e-13}


def blow_up(t, y):
    """y' = y²: from y0 it reaches infinity at t = 1 / y0."""
    return y**2


def broken(t, y):
    """y' = -√y, of which only a start below 0 is not a number."""
    return -y.sqrt()


def cliff(t, y):
    """y' = -1 as far as y = 0.55, and not a number below."""
    return torch.where(y > 0.55, -torch.ones_like(y), torch.nan)


# name: field, a start that fails, two that do not, why it fails
FAILURES = {
    "blow-up": (blow_up, [1.0], [[0.1], [-2.0]], Status.STEP_UNDERFLOW),
    "not a number at once": (broken, [-1.0], [[9.0], [4.0]], Status.NON_FINITE_FIELD),
    "not a number later": (cliff, [1.0], [[9.0], [4.0]], Status.NON_FINITE_FIELD),
}


@pytest.fixture(params=FAILURES)
def failure(request):
    return FAILURES[request.param]


def counts(solution, samples):
    stats = solution.stats
    return [count[samples].tolist() for count in (stats.accepted, stats.rejected, stats.evaluations)]


@pytest.mark.parametrize("method", ADAPTIVE)
def test_others_answers_are_untouched(failure, method):
    field, bad, good, why = failure
    how = {"method": method, "rtol": 1e-3, "atol": 1e-3}
    mixed = solve(field, double(good[0], bad, good[1]), T, on_failure="return", **how)
    alone = solve(field, double(*good), T, **how)
    assert mixed.status.tolist() == [Status.OK, why, Status.OK]
    torch.testing.assert_close(mixed.y[[0, 2]], alone.y, **ROUND_OFF)
    within = T[:-1] + 0.1
    torch.testing.assert_close(mixed.interpolant(within)[[0, 2]], alone.interpolant(within), **ROUND_OFF)
    assert counts(mixed, [0, 2]) == counts(alone, [0, 1])


@pytest.mark.parametrize("method", FIXED)
def test_others_answers_are_untouched_on_a_fixed_grid(method):
    field, bad, good, why = FAILURES["not a number at once"]
    mixed = solve(field, double(good[0], bad, good[1]), T, method=method, on_failure="return")
    assert mixed.status.tolist() == [Status.OK, why, Status.OK]
    alone = solve(field, double(*good), T, method=method)
    torch.testing.assert_close(mixed.y[[0, 2]], alone.y, **ROUND_OFF)
    assert mixed.y[1, 0].item() == -1.0 and mixed.y[1, 1:].isnan().all()


def shared_gradients(field, starts, keep, **how):
    """Of the kept samples, for their starts, for a rate of each sample and for one that all share."""
    y0 = double(*starts).requires_grad_()
    own = torch.ones_like(y0).requires_grad_()
    shared = double(1.0).squeeze().requires_grad_()
    solution = solve(lambda t, y: shared * own * field(t, y), y0, T, on_failure="return", **how)
    loss = solution.y[keep].square().sum()
    of_y0, of_own, of_shared = torch.autograd.grad(loss, (y0, own, shared))
    return of_y0[keep], of_own[keep], of_shared


@pytest.mark.parametrize("method", ["euler", "rk4", "bosh3", "dopri5", "dopri8"])
def test_others_gradients_are_untouched(failure, method):
    """Also that of a parameter that the failing sample shares: its NaN must not pass through 0 · NaN."""
    field, bad, good, _ = failure
    how = {"method": method, "rtol": 1e-5, "atol": 1e-6}
    mixed = shared_gradients(field, [good[0], bad, good[1]], [0, 2], **how)
    alone = shared_gradients(field, good, [0, 1], **how)
    for actual, expected in zip(mixed, alone, strict=True):
        assert expected.isfinite().all()
        torch.testing.assert_close(actual, expected, **ROUND_OFF)


def test_others_gradients_are_untouched_by_the_step_limit():
    rate = double([1.0], [1000.0], [2.0])

    def gradients(samples):
        y0 = torch.ones(len(samples), 1, dtype=torch.float64).requires_grad_()
        shared = double(1.0).squeeze().requires_grad_()
        solution = solve(lambda t, y: -shared * rate[samples] * y, y0, T, max_steps=60, on_failure="return")
        kept = [k for k, sample in enumerate(samples) if sample != 1]
        loss = solution.y[kept].square().sum()
        of_y0, of_shared = torch.autograd.grad(loss, (y0, shared))
        return solution.status.tolist(), solution.y[kept], of_y0[kept], of_shared

    status, *mixed = gradients([0, 1, 2])
    assert status == [Status.OK, Status.STEP_LIMIT, Status.OK]
    status, *alone = gradients([0, 2])
    assert status == [Status.OK, Status.OK]
    for actual, expected in zip(mixed, alone, strict=True):
        torch.testing.assert_close(actual, expected, **ROUND_OFF)


def test_outputs_before_the_failure_are_kept_and_those_after_are_nan():
    solution = solve(blow_up, double([1.0], [0.1]), T, rtol=1e-8, atol=1e-8, on_failure="return")
    before = T < 0.9
    torch.testing.assert_close(solution.y[0, before, 0], 1 / (1 - T[before]), rtol=1e-6, atol=0)
    assert solution.y[0, T > 1.0].isnan().all()
    torch.testing.assert_close(solution.y[1, :, 0], 1 / (10 - T), rtol=1e-6, atol=0)
    within = double(0.3, 1.5)
    expected = double([1 / 0.7, torch.nan], [1 / 9.7, 1 / 8.5])
    torch.testing.assert_close(
        solution.interpolant(within)[..., 0], expected, rtol=1e-6, atol=0, equal_nan=True
    )


def test_a_field_that_is_not_a_number_at_the_start():
    solution = solve(broken, double([-1.0]), T, on_failure="return")
    assert solution.status.tolist() == [Status.NON_FINITE_FIELD]
    assert solution.y[0, 0].item() == -1.0 and solution.y[0, 1:].isnan().all()
    assert solution.stats.accepted.item() == 0


def test_a_field_that_is_not_a_number_only_further_on_is_followed_up_to_there():
    solution = solve(cliff, double([1.0]), times(0.0, 0.8, 9), on_failure="return")
    torch.testing.assert_close(solution.y[0, :5, 0], 1 - times(0.0, 0.4, 5), rtol=1e-9, atol=0)
    assert solution.y[0, 5:].isnan().all()


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_state_that_outgrows_its_numbers_does_not_creep_towards_their_end(method, dtype):
    largest = torch.finfo(dtype).max
    y0, t = torch.tensor([[0.01 * largest], [1.0]], dtype=dtype), torch.tensor([0.0, 10.0], dtype=dtype)
    solution = solve(lambda t, y: y, y0, t, method=method, rtol=1e-3, atol=1e-3, on_failure="return")
    assert solution.status.tolist() == [Status.NON_FINITE_FIELD, Status.OK]
    assert solution.stats.rejected[0] <= 3
    reached = solution.interpolant.dense.path.t[-1][0].item()
    assert 0.5 < reached <= math.log(100) + 1e-2
    with pytest.raises(
        SolveError, match=r"outgrew its numbers: float\d\d ends at (.|\n)*norm \d.*without bound"
    ):
        solve(lambda t, y: y, y0, t, method=method, rtol=1e-3, atol=1e-3)


def test_a_large_state_alone_is_no_failure():
    y0 = double([0.5 * torch.finfo(torch.float64).max], [1.0])
    solution = solve(lambda t, y: -y, y0, T)
    torch.testing.assert_close(solution.y[..., 0], y0 * torch.exp(-T), rtol=1e-5, atol=0)


def test_the_limit_counts_the_steps_that_were_tried():
    for limit in (1, 7, 30):
        solution = solve(
            lambda t, y: -1000 * y, double([1.0]), double(0.0, 2.0), max_steps=limit, on_failure="return"
        )
        assert solution.status.tolist() == [Status.STEP_LIMIT]
        assert (solution.stats.accepted + solution.stats.rejected).item() == limit
        assert solution.y[0, 0].item() == 1.0 and solution.y[0, 1].isnan().all()


def test_as_many_steps_as_are_needed_are_enough():
    y0, t = double([1.5, 1.0]), double(0.0, 10.0)
    free = solve(lotka_volterra, y0, t)
    needed = (free.stats.accepted + free.stats.rejected).item()
    assert solve(lotka_volterra, y0, t, max_steps=needed).y.equal(free.y)
    with pytest.raises(SolveError):
        solve(lotka_volterra, y0, t, max_steps=needed - 1)


def test_the_error_says_which_sample_when_and_what_to_try():
    with pytest.raises(SolveError, match=r"sample 2") as caught:
        solve(blow_up, double([0.1], [-1.0], [1.0]), T)
    message = str(caught.value)
    for part in ("underflow", "t = 1:", "step", "norm", "chapter 09", "stiff"):
        assert part in message
    solution = caught.value.solution
    assert solution.status.tolist() == [Status.OK, Status.OK, Status.STEP_UNDERFLOW]
    torch.testing.assert_close(solution.y[0, :, 0], 1 / (10 - T), rtol=1e-5, atol=0)
    assert isinstance(caught.value, RuntimeError)


def test_the_error_names_a_field_that_is_not_finite():
    with pytest.raises(SolveError, match=r"sample 1(.|\n)*t = 0(.|\n)*") as caught:
        solve(broken, double([4.0], [-1.0]), T)
    assert "finite" in str(caught.value) and "norm" in str(caught.value)


def test_the_error_names_the_step_limit():
    with pytest.raises(SolveError, match=r"sample 0(.|\n)*max_steps = 20(.|\n)*chapter 09"):
        solve(lambda t, y: -1000 * y, double([1.0]), T, max_steps=20)


def test_a_fixed_grid_is_not_told_of_tolerances():
    with pytest.raises(SolveError, match=r"raise max_steps or allow a longer step") as caught:
        solve(lambda t, y: -y, double([1.0]), T, method="rk4", step=0.01, max_steps=20)
    assert "rtol" not in str(caught.value)


def test_the_error_counts_the_samples_that_failed():
    with pytest.raises(SolveError, match=r"sample 0 failed(.|\n)*1 other sample failed too"):
        solve(blow_up, double([1.0], [0.1], [2.0]), T)


@pytest.mark.parametrize("method", ["euler", "rk4", "bosh3", "dopri5", "dopri8"])
def test_asking_for_gradients_changes_no_answer(failure, method):
    field, bad, good, _ = failure
    y0 = double(good[0], bad, good[1])
    how = {"method": method, "rtol": 1e-5, "atol": 1e-6, "on_failure": "return"}
    without, asked = solve(field, y0, T, **how), solve(field, y0.clone().requires_grad_(), T, **how)
    assert asked.status.equal(without.status)
    for name in ("accepted", "rejected"):
        assert getattr(asked.stats, name).equal(getattr(without.stats, name))
    within = double(0.0, 0.1, 0.6, 2.0)
    for actual, expected in [(asked.y, without.y), (asked.interpolant(within), without.interpolant(within))]:
        torch.testing.assert_close(actual, expected, **ROUND_OFF, equal_nan=True)


def test_one_step_for_all_goes_on_without_the_sample_that_failed(failure):
    """It slows the others down as long as it runs; it does not stop them."""
    field, bad, good, why = failure
    solution = solve(field, double(good[0], bad, good[1]), T, per_sample=False, on_failure="return")
    assert solution.status.tolist() == [Status.OK, why, Status.OK]
    alone = solve(field, double(*good), T)
    torch.testing.assert_close(solution.y[[0, 2]], alone.y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_statistics_count_what_was_done(method, per_sample):
    """One sample: every call of the field is one of its evaluations."""
    calls = []

    def counting(t, y):
        calls.append(t)
        return lotka_volterra(t, y)

    solution = solve(
        counting, double([1.5, 1.0]), times(0.0, 10.0, 11), method=method, rtol=1e-4, per_sample=per_sample
    )
    stats = solution.stats
    assert stats.evaluations.tolist() == [len(calls)]
    assert (stats.accepted > 0).all() and (stats.rejected >= 0).all()
    for count in (stats.accepted, stats.rejected, stats.evaluations, solution.status):
        assert count.shape == (1,) and not count.dtype.is_floating_point


STAGES = {"heun": (1, 2), "bosh3": (3,), "dopri5": (6,), "tsit5": (6,), "dopri8": (11, 12, 14, 15)}


@pytest.mark.parametrize("method", STAGES)
def test_evaluations_are_steps_times_stages(method):
    """First same as last: a step costs its stages less one; dopri8's dense output three more."""
    stats = solve(lotka_volterra, double([1.5, 1.0]), double(0.0, 10.0), method=method, rtol=1e-4).stats
    steps = (stats.accepted + stats.rejected).item()
    least, most = STAGES[method][0] * steps, STAGES[method][-1] * steps
    assert least <= stats.evaluations.item() <= most + 3


def test_a_wrong_guess_of_the_first_step_is_rejected():
    y0, t = double([1.5, 1.0]), double(0.0, 10.0)
    good = solve(lotka_volterra, y0, t, rtol=1e-9, atol=1e-9)
    rash = solve(lotka_volterra, y0, t, rtol=1e-9, atol=1e-9, first_step=10.0)
    assert rash.stats.rejected.item() >= 2
    torch.testing.assert_close(rash.y, good.y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("field", [blow_up, lambda t, y: y * torch.nan], ids=["blow-up", "nan"])
@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_backwards_a_failure_is_what_it_is_forwards(field, method, per_sample):
    how = {"method": method, "per_sample": per_sample, "on_failure": "return"}
    y0, t = double([1.0], [0.1]), times(0.0, 2.0, 5)
    forwards = solve(field, y0, t, **how)
    backwards = solve(lambda t, y: -field(-t, y), y0, -t, **how)
    assert backwards.status.equal(forwards.status)
    assert backwards.stats.rejected.equal(forwards.stats.rejected)
    torch.testing.assert_close(backwards.y, forwards.y, equal_nan=True)


def test_a_failure_at_time_zero_is_found_soon():
    """The field ends just after the start, where 10 ε |t| is 0."""
    for dtype in (torch.float32, torch.float64):
        y0, t = torch.zeros(1, 1, dtype=dtype), torch.tensor([0.0, 2.0], dtype=dtype)
        solution = solve(lambda t, y: y.sqrt() - 1, y0, t, on_failure="return")
        assert solution.status.tolist() == [Status.NON_FINITE_FIELD]
        assert solution.stats.rejected.item() < 100


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_a_fixed_grid_stops_where_any_stage_is_not_finite(method):
    solution = solve(cliff, double([0.6], [3.0]), times(0.0, 1.0, 5), method=method, on_failure="return")
    assert solution.status.tolist() == [Status.NON_FINITE_FIELD, Status.OK]
    assert not solution.y[0, -1].isfinite().any() and solution.y[1].isfinite().all()
    steep = solve(lambda t, y: t[:, None] ** -0.5, double([1.0]), T, method="midpoint", on_failure="return")
    assert steep.status.tolist() == [Status.NON_FINITE_FIELD]


def test_a_fixed_grid_ends_when_all_have_failed():
    calls = []
    field = lambda t, y: calls.append(t) or y * torch.nan  # noqa: E731
    solve(field, double([1.0]), double(0.0, 1.0), method="rk4", step=1e-3, on_failure="return")
    assert len(calls) < 50


def test_very_long_and_very_short_times_are_no_failure():
    for scale in (1e-140, 1e303):
        t = double(0.0, scale)
        solution = solve(lambda t, y: -y / scale, double([1.0]), t)  # noqa: B023
        torch.testing.assert_close(solution.y[0, -1], double(math.exp(-1)), rtol=1e-5, atol=0)


def test_a_finite_field_of_any_size_is_no_failure_in_float32():
    t = torch.tensor([0.0, 1e-3])
    solution = solve(lambda t, y: torch.full_like(y, 1e11), torch.tensor([[1.0, 0.0]]), t)
    torch.testing.assert_close(solution.y[0, -1], torch.tensor([1e8, 1e8]), rtol=1e-4, atol=0)


def test_the_error_can_be_pickled():
    with pytest.raises(SolveError) as caught:
        solve(blow_up, double([1.0]), T)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value)
    assert copied.solution.status.tolist() == [Status.STEP_UNDERFLOW]


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-300], ids=["usual", "tiny"])
@pytest.mark.parametrize("rate", [1e200, 1e300], ids=str)
def test_a_field_too_steep_for_any_norm_fails_by_name(per_sample, tolerance, rate):
    """‖f‖ in units of the tolerance is infinite, and with a tiny one ‖y‖ too: there is no first guess."""
    y0, how = double([0.6, 1.9], [1.9, 1.0]), {"rtol": tolerance, "atol": tolerance, "per_sample": per_sample}
    with pytest.raises(SolveError, match="sample 0 failed at t = 0"):
        solve(lambda t, y: -rate * y, y0, double(0.0, 1.0), **how)
