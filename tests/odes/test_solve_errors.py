"""Every wrong argument is refused by name, with what was expected, what came, and where."""

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, double

from helpers.odes import solve

Y0 = torch.ones(6, 2, dtype=torch.float64)
T = double(0.0, 1.0, 2.0, 3.0)


def decay(t, y):
    return -y


def refused(message, f=decay, y0=Y0, t=T, **how):
    with pytest.raises(ValueError, match=message):
        solve(f, y0, t, **how)


def test_times_that_turn_back():
    refused(r"times must increase throughout: t\[2\] = 0\.5 after 1\.0", t=double(0.0, 1.0, 0.5, 2.0))
    refused(r"times must decrease throughout: t\[3\] = 2\.5 after 1\.0", t=double(3.0, 2.0, 1.0, 2.5))
    refused(r"times must decrease throughout: t\[3\] = 3\.0 after 1\.0", t=double(2.0, 2.0, 1.0, 3.0))


def test_times_of_one_sample_that_turn_back():
    t = T.repeat(6, 1)
    t[5, 3] = 1.5
    refused(r"times must increase within each series: series 5 has t\[3\] = 1\.5 after 2\.0", t=t)


@pytest.mark.parametrize(
    "lengths, message",
    [
        (torch.tensor([4, 4]), r"lengths must have shape \(B,\) = \(6,\): got \(2,\)"),
        (torch.full((6,), 2.0), r"lengths must be integers: got torch\.float32"),
        (torch.tensor([4, 4, 5, 4, 4, 4]), r"lengths must lie between 0 and T = 4: series 2 has length 5"),
        ([4] * 6, "lengths must be a tensor: got list"),
    ],
    ids=["of another batch", "no integers", "too long", "a list"],
)
def test_lengths(lengths, message):
    refused(message, lengths=lengths)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_times_that_are_not_finite(wrong):
    t = T.clone()
    t[2] = wrong
    refused(rf"t must be finite: t\[2\] = {wrong}", t=t)


def test_shapes_of_times():
    expected = r"t must have shape \(T,\) or \(B, T\) with B = 6 and T ≥ 1: got "
    refused(expected + r"\(\)", t=torch.tensor(1.0, dtype=torch.float64))
    refused(expected + r"\(5, 4\)", t=T.repeat(5, 1))
    refused(expected + r"\(1, 6, 4\)", t=T.repeat(6, 1).unsqueeze(0))
    refused(expected + r"\(0,\)", t=T[:0])


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.complex128, torch.bool, torch.half, torch.bfloat16], ids=str
)
def test_kind_of_the_start(dtype):
    refused(rf"y0 must be a float32 or float64 tensor: got a {dtype} tensor", y0=Y0.to(dtype))


def test_a_start_without_a_batch():
    expected = r"y0 must have shape \(B, ...\) with at least one sample and entry: got shape "
    refused(expected + r"\(\)", y0=torch.tensor(1.0, dtype=torch.float64))
    refused(expected + r"\(0, 2\)", y0=Y0[:0])
    refused(expected + r"\(6, 0\)", y0=Y0[:, :0])


def test_a_start_that_is_no_tensor():
    refused(r"y0 must be a float32 or float64 tensor: got list", y0=[1.0, 2.0])


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_start_that_is_not_finite(wrong):
    y0 = Y0.clone()
    y0[4, 1] = wrong
    refused(rf"y0 must be finite: y0\[4, 1\] = {wrong}", y0=y0)


def test_kind_of_the_times():
    refused(r"t must be a floating-point tensor: got a torch\.int64 tensor", t=torch.arange(4))
    refused(r"t must be a floating-point tensor: got list", t=[0.0, 1.0])
    refused(r"t must be a float32 or float64 tensor: got a torch\.bfloat16 tensor", t=T.bfloat16())


def test_times_on_another_device():
    refused(r"t must have the device of y0: got meta and cpu", t=T.to("meta"))


def test_a_field_that_returns_another_shape():
    refused(r"f must return the shape of y, \(6, 2\): got \(6, 1\)", f=lambda t, y: y[:, :1])
    refused(r"f must return the shape of y, \(6, 2\): got \(2,\)", f=lambda t, y: y[0])


def test_a_field_that_returns_another_dtype():
    refused(r"f must return the dtype of y, torch\.float64: got torch\.float32", f=lambda t, y: y.float())


def test_a_field_that_returns_to_another_device():
    refused(r"f must return the device of y, cpu: got meta", f=lambda t, y: y.to("meta"))


def test_a_field_that_returns_no_tensor():
    refused(r"f must return a tensor: got NoneType", f=lambda t, y: None)
    refused(r"f must return a tensor: got tuple", f=lambda t, y: (y, y))


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("wrong", [0.0, -1e-6, float("nan"), float("inf"), "tight", True])
def test_tolerances(name, wrong):
    refused(rf"{name} must be positive and finite: got {wrong!r}", **{name: wrong})


def test_unknown_method():
    with pytest.raises(ValueError, match=r"method must be one of .*: got 'rk45'") as caught:
        solve(decay, Y0, T, method="rk45")
    for method in FIXED + ADAPTIVE:
        assert method in str(caught.value)


def test_unknown_gradient():
    refused(
        r"gradient must be one of direct, replay, adjoint, backsolve: got 'symplectic'", gradient="symplectic"
    )


def test_unknown_way_to_fail():
    refused(r"on_failure must be one of raise, return: got 'ignore'", on_failure="ignore")


@pytest.mark.parametrize("wrong", [0.0, -0.1, float("nan"), float("inf"), "long"])
def test_the_longest_step(wrong):
    refused(rf"step must be positive and finite: got {wrong!r}", method="rk4", step=wrong)


@pytest.mark.parametrize("wrong", [0.0, float("nan"), float("inf"), "long"])
def test_the_first_step(wrong):
    refused(rf"first_step must be a finite number other than 0: got {wrong!r}", first_step=wrong)


def test_a_first_step_that_leads_away():
    refused(r"first_step must lead from the first time to the last: got -0\.1 for times", first_step=-0.1)
    t = T.repeat(6, 1)
    t[4] *= -1
    refused(r"got 0\.1 for times from -?0\.0 to -3\.0 \(sample 4\)", t=t, first_step=0.1)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True])
def test_step_limit(wrong):
    refused(rf"max_steps must be a whole number of at least 1: got {wrong!r}", max_steps=wrong)


def test_arguments_that_the_method_does_not_take():
    refused(r"step is for the fixed-grid methods: dopri5 chooses its own steps", step=0.1)
    refused(r"first_step is for the adaptive methods: rk4 takes step", method="rk4", first_step=0.1)


@pytest.mark.parametrize("outside", [-0.1, 3.1])
def test_interpolant_outside_the_span(outside):
    solution = solve(decay, Y0, T)
    message = rf"t must lie within the times solved for, 0.0 to 3.0 in sample 0: t\[1\] = {outside}"
    with pytest.raises(ValueError, match=message):
        solution.interpolant(double(0.5, outside))


def test_interpolant_at_times_of_another_batch():
    solution = solve(decay, Y0, T)
    with pytest.raises(
        ValueError, match=r"t must have shape \(T,\) or \(B, T\) with B = 6 and T ≥ 0: got \(5, 1\)"
    ):
        solution.interpolant(torch.ones(5, 1, dtype=torch.float64))


def test_errors_of_the_field_are_its_own():
    def field(t, y):
        raise KeyError("my own mistake")

    with pytest.raises(KeyError, match="my own mistake"):
        solve(field, Y0, T)


def test_steps_that_round_away():
    refused(r"first_step must be long enough to change t: got 1e-20", t=double(1.0, 2.0), first_step=1e-20)
    late = double(1e16, 1e16 + 4)
    refused(r"step must be long enough to change t: got 0\.5", t=late, method="rk4", step=0.5)


def test_tolerance_that_is_zero_among_the_states_numbers():
    refused(r"atol must be at least 1\.2e-38 for torch\.float32 states", y0=Y0.float(), atol=1e-50)


def test_method_that_is_no_name():
    refused(r"method must be one of euler, (.|\n)*: got \[\]", method=[])


@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_tolerances_of_each_entry(name):
    expected = rf"{name} must be a number, or a tensor of a state's shape \(2,\): got shape \(3,\)"
    refused(expected, **{name: torch.ones(3)})
    refused(rf"{name} must be positive and finite: {name}\[1\] = 0\.0", **{name: double(1e-3, 0.0)})
    refused(rf"{name} must be a floating-point tensor: got a torch\.int64", **{name: torch.ones(2).long()})


@pytest.mark.parametrize("late", [1e5, -1e6, 1e8])
def test_a_clock_too_coarse_for_a_field_that_looks_at_it(late):
    """float32 states, and times of which their dtype tells few apart; a field without time does not mind."""
    start, t = torch.zeros(6, 2), late + double(0.0, 5.0)

    def driven(t, y):
        return torch.cos(t - late)[:, None].expand_as(y)

    expected = r"t must be resolved by y0's dtype(.|\n)*a span of 5 \(sample 0\)"
    for method in ("dopri5", "rk4"):
        refused(expected, f=driven, y0=start, t=t, method=method)
    y = solve(driven, start.double(), t).y[:, 1]
    torch.testing.assert_close(y, torch.sin(double(5.0)).expand(6, 2), rtol=1e-5, atol=0)
    decayed = solve(decay, start + 1, t).y[:, 1]
    torch.testing.assert_close(decayed, torch.exp(torch.tensor(-5.0)).expand(6, 2), rtol=1e-3, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_vmap():
    """Over states, over times, over what the field is made of; forward derivatives within do work."""
    message = r"must not be split by torch\.vmap(.|\n)*as one batch"
    for answer, batch in (
        (lambda y0: solve(decay, y0, T).y, Y0[:, None]),
        (lambda t: solve(decay, Y0, t).y, T.repeat(3, 1)),
        (lambda k: solve(lambda t, y: -k * y, Y0, T).y, double(1.0, 2.0)),
    ):
        with pytest.raises(ValueError, match=message):
            torch.vmap(answer)(batch)
    jacobian = torch.func.jacfwd(lambda k: solve(lambda t, y: -k * y, Y0, T, rtol=1e-9).y)(double(1.0))
    expected = (-T * torch.exp(-T))[:, None].expand(6, 4, 2)
    torch.testing.assert_close(jacobian[..., 0], expected, rtol=1e-6, atol=1e-8)
