"""∂y/∂y₀ and ∂y/∂θ carried along, against matrix exponentials and against gradients of `solve`."""

import pytest
import torch
from gradient_problems import Pulsed, starts
from ode_problems import ADAPTIVE, FIXED, double, times

from helpers.fields import ControlledField, ZeroOrderHold
from helpers.odes import SolveError, forward_sensitivity, solve

TIGHT = {"rtol": 1e-11, "atol": 1e-12}


def test_a_linear_equation():
    A, y0, t = double([-0.3, 1.0], [-1.2, 0.1]), starts().detach(), double(0.0, 0.5, 1.7)

    def exact(A):
        return torch.einsum("tij,bj->bti", torch.stack([torch.matrix_exp(A * time) for time in t]), y0)

    leaf = A.clone().requires_grad_()
    found = forward_sensitivity(lambda t, y: y @ leaf.mT, y0, t, [leaf], **TIGHT)
    propagators = torch.stack([torch.matrix_exp(A * time) for time in t])
    torch.testing.assert_close(found.y, exact(A), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.by_y0, propagators.expand(3, -1, -1, -1), rtol=1e-10, atol=1e-10)
    expected = torch.autograd.functional.jacobian(exact, A)
    torch.testing.assert_close(found.by_params[0], expected, rtol=1e-10, atol=1e-10)
    one = forward_sensitivity(lambda t, y: leaf @ y, y0[0], t, [leaf], **TIGHT)
    for whole, alone in ((found.y, one.y), (found.by_y0, one.by_y0), (found.by_params[0], one.by_params[0])):
        torch.testing.assert_close(whole[0], alone, rtol=1e-9, atol=1e-10)
    assert not any(each.requires_grad for each in (found.y, found.by_y0, *found.by_params))


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_it_is_the_transpose_of_the_gradients(method):
    """With fixed steps the very same: both differentiate the steps."""
    field, y0, t = Pulsed(), starts(2), times(0.0, 1.5, 4)
    how = (
        {"method": method, "step": 0.1} if method in FIXED else {"method": method, "rtol": 1e-7, "atol": 1e-9}
    )
    if method == "heun":
        how |= {"rtol": 1e-4, "atol": 1e-5}
    params = list(field.parameters())
    found = forward_sensitivity(field, y0, t, params, **how)
    y = solve(field, y0, t, **how).y
    within = {"rtol": 1e-11, "atol": 1e-12} if method in FIXED else {"rtol": 1e-3, "atol": 1e-3}
    for k in range(2):
        by_y0, *by_params = torch.autograd.grad(y[1, 2, k], (y0, *params), retain_graph=True)
        torch.testing.assert_close(found.by_y0[1, 2, k], by_y0[1], **within)
        for ours, theirs in zip(found.by_params, by_params, strict=True):
            torch.testing.assert_close(ours[1, 2, k], theirs, **within)


def test_parameters_of_samples_unused_ones_and_breaks():
    rate, idle = double([0.5], [1.5]).requires_grad_(), double(1.0)[0].requires_grad_()
    hold = ZeroOrderHold(double(0.0, 1.0), double([0.0], [1.0]))
    field = ControlledField(lambda t, y, u: u - rate * y, hold)
    found = forward_sensitivity(field, double([1.0], [2.0]), double(0.0, 0.5), [rate, idle], **TIGHT)
    decayed = double(1.0, 2.0) * torch.exp(-0.5 * rate[:, 0].detach())
    expected = torch.diag(-0.5 * decayed)[:, None, :, None]
    torch.testing.assert_close(found.by_params[0][:, 1], expected, rtol=1e-9, atol=1e-12)
    assert found.by_params[1].shape == (2, 2, 1) and found.by_params[1].eq(0).all()
    constant = forward_sensitivity(lambda t, y: torch.ones_like(y), double([1.0]), double(0.0, 2.0))
    assert (
        constant.by_y0.eq(1).all()
        and constant.by_params == ()
        and constant.y[0, 1].item() == pytest.approx(3)
    )


def test_times_of_each_sample_and_states_of_two_axes():
    rate = double(0.5)[0].requires_grad_()
    y0 = double([[1.0, 2.0], [3.0, 4.0]], [[0.5, 0.1], [0.2, 0.3]])
    t = double([0.0, 1.0, 2.0], [1.0, 0.5, 0.5])
    found = forward_sensitivity(lambda t, y: -rate * y, y0, t, [rate], lengths=torch.tensor([3, 2]), **TIGHT)
    passed = (t - t[:, :1])[:, :, None, None]
    torch.testing.assert_close(
        found.by_params[0], -passed * torch.exp(-0.5 * passed) * y0[:, None], rtol=1e-9, atol=1e-11
    )
    assert found.by_y0.shape == (2, 3, 2, 2, 2, 2)
    assert found.by_y0[1, 1].reshape(4, 4).allclose(torch.eye(4).double() * torch.exp(double(0.25)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"params": [torch.ones(2)]}, r"params\[0\] must require a gradient"),
        ({"params": torch.ones(2)}, r"params must be several tensors"),
        ({"y0": (torch.ones(1, 2),)}, r"y0 must be a float32 or float64 tensor: got tuple"),
        ({"rtol": torch.ones(2)}, r"rtol must be positive and finite"),
    ],
    ids=["no gradient", "one tensor", "states of parts", "tolerances of each"],
)
def test_messages(change, message):
    arguments = {"y0": double([1.0, 2.0]), "t": double(0.0, 1.0), **change}
    with pytest.raises(ValueError, match=message):
        forward_sensitivity(lambda t, y: -y, **arguments)


def test_a_failure_is_told():
    with pytest.raises(SolveError, match="sample 1 failed"):
        forward_sensitivity(lambda t, y: y.square(), double([0.1], [1.0]), double(0.0, 2.0))
