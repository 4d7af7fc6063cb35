"""The network of squares is the polynomial it was made from, and stays a network."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchdiffeq import odeint

from helpers.dynamics import Flow
from helpers.fields import QuadraticField
from helpers.systems import Lorenz, MassAction

ROUNDING = torch.finfo(torch.float64).eps


def directly(exponents, coefficients, y):
    """Σ_m c_m Π_i y_i^e_mi, power by power."""
    return (y.unsqueeze(-2) ** exponents).prod(-1) @ coefficients


def scale(field, coefficients, y):
    """Σ_m |c_mk| ρ^(2^L), the size of the largest squares that cancel, with ρ = max(1, |y_i|)."""
    return coefficients.abs().sum(0) * max(1.0, y.abs().max().item()) ** 2**field.depth


@st.composite
def polynomials(draw, degree=5):
    """Up to 6 monomials of at most 4 variables, repeated ones and constants among them, and 3 states."""
    variables = draw(st.integers(1, 4))
    factors = st.lists(st.integers(0, variables - 1), max_size=degree)
    monomials = draw(st.lists(factors, min_size=1, max_size=6))
    exponents = torch.tensor([[m.count(i) for i in range(variables)] for m in monomials])
    seed, size = draw(st.integers(0, 1000)), draw(st.sampled_from([0.01, 1.0, 3.0, 100.0]))
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(len(exponents), 2, dtype=torch.float64, generator=generator)
    return exponents, coefficients, size * torch.randn(3, variables, dtype=torch.float64, generator=generator)


@settings(deadline=None, max_examples=150)
@given(polynomials())
def test_any_polynomial_to_rounding(polynomial):
    """Within 8 roundings of the largest squares; for states within ±1 that is 2e-15 Σ|c|."""
    exponents, coefficients, y = polynomial
    field = QuadraticField(exponents, coefficients)
    error = (field(0.0, y) - directly(exponents, coefficients, y)).abs()
    assert (error <= 8 * ROUNDING * scale(field, coefficients, y)).all()


@settings(deadline=None, max_examples=60)
@given(polynomials())
def test_within_the_unit_cube_to_1e_12_of_the_coefficients(polynomial):
    exponents, coefficients, y = polynomial
    y = y / y.abs().max()
    error = (QuadraticField(exponents, coefficients)(0.0, y) - directly(exponents, coefficients, y)).abs()
    assert (error <= 1e-12 * coefficients.abs().sum(0)).all()


@pytest.mark.parametrize("degree", range(18))
def test_depth_is_the_logarithm_of_the_degree(degree):
    field = QuadraticField(torch.tensor([[degree, 0]]), torch.ones(1, 1, dtype=torch.float64))
    assert field.depth == len(field.widths) == (math.ceil(math.log2(degree)) if degree > 1 else 0)
    y = torch.tensor([[0.9, 5.0], [-1.1, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(field(0.0, y)[:, 0], y[:, 0] ** degree, rtol=1e-13, atol=1e-13)


def test_widths():
    """x y takes two squares and x² one; with x³ beside them, a second layer, through which x passes."""
    one = torch.ones(2, 1, dtype=torch.float64)
    assert QuadraticField(torch.tensor([[1, 1], [2, 0]]), one).widths == (3,)
    assert QuadraticField(torch.tensor([[3, 0], [0, 0]]), one).widths == (3, 2)


def test_it_is_layers_of_squares():
    exponents = torch.tensor([[1, 1, 1], [2, 0, 3], [0, 0, 0]])
    coefficients = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, 1.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    field = QuadraticField(exponents, coefficients)
    z = y = torch.tensor([[0.3, -0.7, 1.2]], dtype=torch.float64)
    *hidden, (W_out, b_out) = zip(*[iter(field.parameters())] * 2, strict=True)
    for W, b in hidden:
        assert torch.equal(4 * W, (4 * W).round()) and torch.equal(b, b.round())
        z = (z @ W.T + b) ** 2
    x1, x2, x3 = y[0].tolist()
    expected = x1 * x2 * x3 * coefficients[0] + x1**2 * x3**3 * coefficients[1] + coefficients[2]
    torch.testing.assert_close((z @ W_out.T + b_out)[0], expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(field(0.0, y)[0], expected, rtol=1e-14, atol=1e-14)
    assert [type(module) for module in field.hidden] == [nn.Linear] * 3


def test_lorenz_as_a_network():
    exponents = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 0]])
    coefficients = [[-10.0, 28, 0], [10, -1, 0], [0, 0, -8 / 3], [0, -1, 0], [0, 0, 1]]
    field = QuadraticField(exponents, torch.tensor(coefficients, dtype=torch.float64))
    y = torch.tensor([[1.0, 2.0, 3.0], [-10.0, 4.0, 30.0]], dtype=torch.float64)
    torch.testing.assert_close(field(0.0, y), Lorenz()(0.0, y), rtol=0, atol=1e-11)
    torch.testing.assert_close(field.jacobian(0.0, y), Lorenz().jacobian(0.0, y), rtol=0, atol=1e-12)
    torch.testing.assert_close(Flow(field).jacobian(y), Lorenz().jacobian(0.0, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "reactions",
    [
        pytest.param(["E + S <-> ES", "ES -> E + P"], id="enzyme"),
        pytest.param(["2 X + Y -> 3 X", "-> X", "X -> Y", "X ->"], id="Brusselator"),
        pytest.param(["2 A + 3 B -> C + A", "C -> "], id="of fifth order"),
    ],
)
def test_mass_action(reactions):
    generator = torch.Generator().manual_seed(0)
    k = torch.rand(len(MassAction(reactions, 1.0).steps), dtype=torch.float64, generator=generator)
    system = MassAction(reactions, k)
    field = QuadraticField.from_mass_action(system.stoichiometry, system.reactants, k)
    y = torch.rand(20, len(system.species), dtype=torch.float64, generator=generator)
    torch.testing.assert_close(field(0.0, y), system(0.0, y), rtol=0, atol=1e-12 * k.sum().item())
    torch.testing.assert_close(field.jacobian(0.0, y), system.jacobian(0.0, y), rtol=0, atol=1e-12)
    assert field.depth == math.ceil(math.log2(system.reactants.sum(0).max()))


def test_solutions_are_those_of_mass_action():
    system = MassAction(["2 X + Y -> 3 X", "-> X", "X -> Y", "X ->"], [1.0, 1.0, 2.5, 1.0])
    field = QuadraticField.from_mass_action(system.stoichiometry, system.reactants, system.constants)
    y0 = torch.ones(1, 2, dtype=torch.float64)
    times = torch.linspace(0, 10, 5, dtype=torch.float64)
    network, reactions = (odeint(f, y0, times, rtol=1e-10, atol=1e-10) for f in (field, system))
    torch.testing.assert_close(network, reactions, rtol=1e-7, atol=1e-7)


@settings(deadline=None, max_examples=25)
@given(polynomials())
def test_jacobian_is_autograds(polynomial):
    exponents, coefficients, y = polynomial
    field = QuadraticField(exponents, coefficients)
    y = y / y.abs().max()
    expected = torch.stack([torch.autograd.functional.jacobian(lambda y: field(0.0, y), row) for row in y])
    torch.testing.assert_close(field.jacobian(0.0, y), expected, rtol=1e-12, atol=1e-12)


def test_it_can_be_trained():
    """From a mechanism with a wrong rate constant to data of the right one."""
    S, reactants = torch.tensor([[-1.0], [-1.0], [1.0]]), torch.tensor([[1], [1], [0]])
    right, wrong = (
        QuadraticField.from_mass_action(S, reactants, torch.tensor([k], dtype=torch.float64))
        for k in (2.0, 0.5)
    )
    y = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    optimiser, losses = torch.optim.Adam(wrong.parameters(), lr=0.02), []
    for _ in range(200):
        loss = (wrong(0.0, y) - right(0.0, y).detach()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
    assert torch.autograd.gradcheck(lambda y: wrong(0.0, y), [y[:3].requires_grad_()])


def test_any_leading_shape_and_the_coefficients_dtype(device):
    for dtype in (torch.float32, torch.float64):
        coefficients = torch.ones(2, 3, dtype=dtype, device=device)
        field = QuadraticField(torch.tensor([[1, 1], [3, 0]], device=device), coefficients)
        y = torch.rand(4, 5, 2, dtype=dtype, device=device)
        assert field(0.0, y).shape == (4, 5, 3) and field.jacobian(0.0, y).shape == (4, 5, 3, 2)
        assert field(0.0, y).dtype == dtype and field(0.0, y).device.type == device.type
        torch.testing.assert_close(field(0.0, y)[1, 2], field(0.0, y[1, 2]))


@pytest.mark.parametrize(
    "exponents, coefficients, message",
    [
        pytest.param(
            [1, 2],
            [[1.0]],
            "exponents must have shape (M, D), none of them 0: got (2,)",
            id="exponents no matrix",
        ),
        pytest.param(
            [[1, -2]],
            [[1.0]],
            "exponents must be whole and not negative: exponents[0, 1] = -2",
            id="negative exponent",
        ),
        pytest.param(
            [[1.5]],
            [[1.0]],
            "exponents must be whole and not negative: exponents[0, 0] = 1.5",
            id="exponent not whole",
        ),
        pytest.param(
            [[1]],
            [1.0],
            "coefficients must have shape (M, D_out), none of them 0: got (1,)",
            id="coefficients no matrix",
        ),
        pytest.param(
            [[1]],
            [[math.inf]],
            "coefficients must be finite: coefficients[0, 0] = inf",
            id="coefficient not finite",
        ),
        pytest.param(
            [[1]],
            [[1]],
            "coefficients must be a floating-point tensor: got a torch.int64 tensor",
            id="whole coefficients",
        ),
        pytest.param(
            [[1], [2]],
            [[1.0]],
            "coefficients must have one row for each of 2 monomials: got 1",
            id="too few coefficients",
        ),
    ],
)
def test_wrong_polynomials(exponents, coefficients, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        QuadraticField(torch.tensor(exponents), torch.tensor(coefficients))


@pytest.mark.parametrize(
    "S, reactants, k, message",
    [
        pytest.param(
            [1], [[1]], [1.0], "S must have shape (D, R), none of them 0: got (1,)", id="S no matrix"
        ),
        pytest.param(
            [[1]],
            [[-1]],
            [1.0],
            "reactants must be whole and not negative: reactants[0, 0] = -1",
            id="negative reactant",
        ),
        pytest.param(
            [[1, 2]],
            [[1]],
            [1.0],
            "reactants must have the shape (1, 2) of S: got (1, 1)",
            id="reactants of another shape",
        ),
        pytest.param(
            [[1, 2]],
            [[1, 0]],
            [1.0],
            "rate_constants must hold one for each of 2 reactions: got shape (1,)",
            id="too few constants",
        ),
        pytest.param(
            [[1, 2]],
            [[1, 0]],
            [1.0, math.nan],
            "rate_constants must be finite and not negative: rate_constants[1] = nan",
            id="constant not finite",
        ),
        pytest.param(
            [[1, 2]],
            [[1, 0]],
            [1.0, -3.0],
            "rate_constants must be finite and not negative: rate_constants[1] = -3.0",
            id="negative constant",
        ),
        pytest.param(
            [[1]],
            [[1]],
            [1],
            "coefficients must be a floating-point tensor: got a torch.int64 tensor",
            id="whole constants",
        ),
    ],
)
def test_wrong_reactions(S, reactants, k, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        QuadraticField.from_mass_action(*map(torch.tensor, (S, reactants, k)))


def test_wrong_states():
    field = QuadraticField(torch.tensor([[1, 2]]), torch.ones(1, 1))
    for function in (field, field.jacobian):
        with pytest.raises(ValueError, match=re.escape("y must end in the 2 variables: got shape (5, 3)")):
            function(0.0, torch.ones(5, 3))
        with pytest.raises(ValueError, match="y must have the dtype of the weights: got torch.float64 and"):
            function(0.0, torch.ones(5, 2).double())


def test_a_power_beyond_all_use_is_refused():
    with pytest.raises(ValueError, match=re.escape("exponents must be at most 1000: exponents[1, 0] = 2000")):
        QuadraticField(torch.tensor([[1], [2000]]), torch.ones(2, 1))
