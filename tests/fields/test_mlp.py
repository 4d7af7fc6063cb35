"""The perceptron as a field: its Jacobian, its shapes, and that solvers and optimisers take it."""

import math
import re

import pytest
import torch
from torchdiffeq import odeint

from helpers.dynamics import Flow
from helpers.fields import MLPField
from helpers.odes import solve

ACTIVATIONS = ("tanh", "softplus", "silu", "gelu", "sin")


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def field(*args, **options):
    options = {"dtype": torch.float64, "weight_scale": 1.0, "width": 8} | options
    return MLPField(*args, generator=torch.Generator().manual_seed(1), **options)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobian_is_autograds(activation, depth):
    law = field(3, depth=depth, time=True, inputs=2, outputs=4, activation=activation)
    t, y, u = random(5), 3 * random(5, 3, seed=1), random(5, 2, seed=2)
    of_all = torch.autograd.functional.jacobian(lambda y: law(t, y, u), y)  # (B, 4, B, 3)
    expected = of_all.diagonal(dim1=0, dim2=2).movedim(-1, 0)
    torch.testing.assert_close(law.jacobian(t, y, u), expected, rtol=1e-12, atol=1e-13)
    assert of_all.abs().sum() == pytest.approx(expected.abs().sum().item())  # no sample touches another


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_hold_far_out(activation):
    """Also across z = 20, where PyTorch's own softplus switches, and at exponentials below 1e-16."""
    law = field(1, activation=activation)
    z = torch.linspace(-39, 39, 1001, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(law.phi(z).sum(), z)
    torch.testing.assert_close(law.slope(z), expected, rtol=1e-12, atol=1e-15)


def test_softplus_does_not_jump():
    phi = field(1, activation="softplus").phi
    z = torch.tensor([20.0, 20.000001, 39.9, 40.1], dtype=torch.float64)
    expected = torch.tensor([x + math.log1p(math.exp(-x)) for x in z.tolist()], dtype=torch.float64)
    torch.testing.assert_close(phi(z), expected, rtol=1e-15, atol=0)


def test_it_is_the_network_of_its_docstring():
    law = field(2, depth=2, time=True, inputs=1)
    t, y, u = random(5), random(5, 2, seed=1), random(5, 1, seed=2)
    (W1, b1, W2, b2, W3, b3) = law.parameters()
    z = torch.tanh(torch.cat((y, t[:, None], u), dim=1) @ W1.T + b1)
    torch.testing.assert_close(law(t, y, u), torch.tanh(z @ W2.T + b2) @ W3.T + b3, rtol=1e-13, atol=1e-14)


def test_any_leading_shape_and_time():
    law = field(2, time=True)
    t, y = random(4), random(4, 3, 2, seed=1)
    rows = torch.stack([torch.stack([law(t[i], y[i, j]) for j in range(3)]) for i in range(4)])
    torch.testing.assert_close(law(t, y), rows, rtol=1e-12, atol=1e-13)
    one_time = torch.stack([law(torch.full((3,), 0.3), row) for row in y])
    torch.testing.assert_close(law(0.3, y), one_time, rtol=1e-6, atol=1e-7)
    assert law(0.3, y[0, 0]).shape == (2,) and law.jacobian(t, y).shape == (4, 3, 2, 2)
    assert law(0.0, y[0]).ne(law(1.0, y[0])).all()


def test_a_field_without_time_does_not_read_it():
    law, y = field(2), random(5, 2)
    assert torch.equal(law(0.0, y), law(torch.full((5,), math.nan), y))


def test_inputs_may_be_shared():
    law, y, u = field(2, inputs=3), random(5, 2), random(3, seed=1)
    torch.testing.assert_close(law(0.0, y, u), law(0.0, y, u.expand(5, 3)), rtol=1e-14, atol=0)


def test_weight_scale_makes_a_tame_start():
    y = random(20, 2)
    loud, tame = field(2), field(2, weight_scale=0.01)
    torch.testing.assert_close(tame(0.0, y), 0.01 * loud(0.0, y), rtol=1e-12, atol=1e-15)
    assert field(2, weight_scale=0.0)(0.0, y).eq(0).all()


def test_weights_come_from_the_generator_alone(device):
    before = torch.random.get_rng_state()
    first, second = (
        MLPField(2, 50, generator=torch.Generator(device=device).manual_seed(3), device=device)
        for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    bounds = [2**-0.5, 2**-0.5, 50**-0.5, 50**-0.5, 0.1 * 50**-0.5, 0.1 * 50**-0.5]
    for weight, bound in zip(first.parameters(), bounds, strict=True):
        assert weight.abs().max() <= bound and (weight.numel() < 50 or weight.abs().max() > 0.9 * bound)
    assert len(torch.unique(first.hidden[1].weight)) > 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_device_and_dtype(device, dtype):
    law = MLPField(2, time=True, device=device, dtype=dtype)
    y = torch.ones(3, 2, device=device, dtype=dtype)
    for result in (law(0.1, y), law(torch.tensor(0.1), y), law.jacobian(0.1, y)):
        assert result.dtype == dtype and result.device.type == device.type


def test_flow_finds_the_jacobian():
    law, y = field(2), random(5, 2)
    assert torch.equal(Flow(law).jacobian(y), law.jacobian(0.0, y))


def test_tanh_field_is_bounded():
    law = field(2)
    bound = law.readout.weight.abs().sum(1) + law.readout.bias.abs()
    assert (law(0.0, 1e9 * random(100, 2)).abs() <= bound).all()


def spiral(times):
    """y(t) = e^(-0.3 t) (cos 2t, -sin 2t), (T, 1, 2)."""
    return (torch.exp(-0.3 * times) * torch.stack((torch.cos(2 * times), -torch.sin(2 * times)))).T[:, None]


def test_it_learns_through_torchdiffeq():
    law, times = field(2, width=16, weight_scale=0.1), torch.linspace(0, 1, 6, dtype=torch.float64)
    y = spiral(times)
    optimiser = torch.optim.Adam(law.parameters(), lr=0.02)
    losses = []
    for _ in range(100):
        loss = (odeint(law, y[0], times, method="rk4") - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_gradients_of_the_field():
    law = field(2, width=3, time=True, inputs=1, activation="softplus")
    arguments = [random(4).requires_grad_(), random(4, 2).requires_grad_(), random(4, 1).requires_grad_()]
    assert torch.autograd.gradcheck(law, arguments)
    assert torch.autograd.gradcheck(law.jacobian, arguments)


def test_it_is_solved_by_helpers_odes():
    law, y, times = field(2, time=True), random(5, 2), torch.linspace(0, 2, 4, dtype=torch.float64)
    expected = odeint(law, y, times, rtol=1e-10, atol=1e-12).movedim(0, 1)
    found = solve(law, y, times, rtol=1e-10, atol=1e-12).y
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "options, message",
    [
        pytest.param({"dim": 0}, "dim must be a whole number of at least 1: got 0", id="no variables"),
        pytest.param(
            {"width": 2.5}, "width must be a whole number of at least 1: got 2.5", id="width not whole"
        ),
        pytest.param({"depth": 0}, "depth must be a whole number of at least 1: got 0", id="no layers"),
        pytest.param({"outputs": 0}, "outputs must be a whole number of at least 1: got 0", id="no outputs"),
        pytest.param(
            {"inputs": -1}, "inputs must be a whole number of at least 0: got -1", id="negative inputs"
        ),
        pytest.param(
            {"weight_scale": -1.0},
            "weight_scale must be finite and not negative: got -1.0",
            id="negative scale",
        ),
        pytest.param(
            {"weight_scale": math.nan},
            "weight_scale must be finite and not negative: got nan",
            id="scale not a number",
        ),
        pytest.param(
            {"activation": "relu"},
            "activation must be one of tanh, softplus, silu, gelu, sin: got 'relu'; a",
            id="unknown activation",
        ),
        pytest.param({"activation": []}, "softplus, silu, gelu, sin: got []; a", id="list of activations"),
        pytest.param(
            {"inputs": [1]}, "inputs must be a whole number of at least 0: got [1]", id="list of inputs"
        ),
        pytest.param(
            {"activation": "relu"}, "kinks, as relu makes, costs an ODE solver its order", id="why not relu"
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MLPField(**({"dim": 2} | options))


def test_wrong_arguments():
    law, y = MLPField(2, time=True, inputs=1), torch.ones(5, 2)
    u = torch.ones(5, 1)
    cases = [
        ((0.0, torch.ones(5, 3), u), "y must end in the 2 variables: got shape (5, 3)"),
        ((0.0, torch.tensor(1.0), u), "y must end in the 2 variables: got shape ()"),
        ((0.0, y.double(), u), "y must have the dtype of the weights: got torch.float64 and torch.float32"),
        ((0.0, y, None), "u must hold the 1 inputs of this field: got none"),
        ((0.0, y, torch.ones(5, 2)), "u must end in the 1 inputs: got shape (5, 2)"),
        ((torch.ones(4), y, u), "t must be one number or one for each sample of y (5, 2): got shape (4,)"),
        ((torch.ones(5, 2), y, u), "one for each sample of y (5, 2): got shape (5, 2)"),
    ]
    for function in (law, law.jacobian):
        for arguments, message in cases:
            with pytest.raises(ValueError, match=re.escape(message)):
                function(*arguments)
    with pytest.raises(
        ValueError, match=re.escape("u must hold the 0 inputs of this field: got shape (5, 1)")
    ):
        MLPField(2)(0.0, y, u)
