"""The bookkeeping field: what it conserves, what stays positive, and its Jacobian."""

import re

import pytest
import torch
from torch import nn
from torchdiffeq import odeint

from helpers.dynamics import Flow
from helpers.fields import MLPField, StoichiometricField, conserved_quantities
from helpers.systems import MassAction

# E + S ⇌ ES → E + P
ENZYME = torch.tensor([[-1, 1, 1], [-1, 1, 0], [1, -1, -1], [0, 0, 1]])
# 2 A + C → B + C and B → 2 A
CATALYSED = torch.tensor([[-2, 2], [1, -1], [0, 0]])
CATALYSTS = torch.tensor([[2, 0], [0, 1], [1, 0]])


def amounts(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(dim, reactions, **options):
    generator = torch.Generator().manual_seed(2)
    return MLPField(
        dim, 8, outputs=reactions, weight_scale=1.0, dtype=torch.float64, generator=generator, **options
    )


class Silent(nn.Module):
    """Raw rates without a Jacobian of their own, from a network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, t, y):
        return self.network(t, y)


class Constant(nn.Module):
    """The same raw rates everywhere."""

    def __init__(self, raw):
        super().__init__()
        self.raw = nn.Parameter(raw)

    def forward(self, t, y):
        return self.raw.expand(*y.shape[:-1], -1)


def test_it_is_mass_action_where_the_network_is_constant():
    """softplus(ln(eᵏ - 1)) = k: then 2 A + C → B + C runs at k₁ A² C and B → 2 A at k₂ B."""
    k = torch.tensor([0.7, 3.0], dtype=torch.float64)
    field = StoichiometricField(CATALYSED, Constant(k.expm1().log()), CATALYSTS)
    A, B, C = (y := amounts(6, 3)).unbind(-1)
    there, back = k[0] * A**2 * C, k[1] * B
    expected = torch.stack((2 * back - 2 * there, there - back, 0 * C), dim=-1)
    torch.testing.assert_close(field(0.0, y), expected, rtol=1e-13, atol=1e-14)


def test_it_is_the_mass_action_of_helpers_systems():
    k = torch.tensor([1.0, 0.5, 0.3], dtype=torch.float64)
    system = MassAction(["E + S <-> ES", "ES -> E + P"], k)
    field = StoichiometricField(system.stoichiometry, Constant(k.expm1().log()), system.reactants)
    y = amounts(6, 4)
    torch.testing.assert_close(field(0.0, y), system(0.0, y), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("reactants", [None, CATALYSTS], ids=["no reactants", "reactants"])
@pytest.mark.parametrize("wrap", [lambda g: g, Silent], ids=["own Jacobian", "derived Jacobian"])
def test_jacobian_is_autograds(reactants, wrap):
    field = StoichiometricField(CATALYSED, wrap(network(3, 2)), reactants)
    y = amounts(6, 3)
    y[0] = 0.0  # also where every power is that of zero
    of_all = torch.autograd.functional.jacobian(lambda y: field(0.0, y), y)
    expected = of_all.diagonal(dim1=0, dim2=2).movedim(-1, 0)
    torch.testing.assert_close(field.jacobian(0.0, y), expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(Flow(field).jacobian(y), field.jacobian(0.0, y))
    two_axes = field.jacobian(0.0, y.reshape(2, 3, 3))
    torch.testing.assert_close(two_axes.reshape(6, 3, 3), expected, rtol=1e-12, atol=1e-14)


def test_time_and_inputs_reach_the_network():
    field = StoichiometricField(ENZYME, network(4, 3, time=True, inputs=2))
    t, y, u = amounts(5), amounts(5, 4), amounts(5, 2, seed=1)
    raw = field.raw_rates(t, y, u)
    torch.testing.assert_close(field.rates(t, y, u), torch.log1p(raw.exp()), rtol=1e-13, atol=0)
    assert field.jacobian(t, y, u).shape == (5, 4, 4)
    assert field(t, y, u).ne(field(t, y, u + 1)).any() and field(t, y, u).ne(field(t + 1, y, u)).any()


@pytest.mark.parametrize("reactants", [None, (-ENZYME).clamp(min=0)], ids=["no reactants", "reactants"])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_conserved_quantities_stay(method, reactants):
    """Enzyme + complex and substrate + complex + product, whatever the network and the solver's accuracy."""
    field = StoichiometricField(ENZYME, network(4, 3), reactants)
    L = conserved_quantities(field.S)
    times = torch.linspace(0, 5, 11, dtype=torch.float64)
    y = odeint(field, amounts(8, 4), times, method=method, rtol=1e-3, atol=1e-3)
    totals = y @ L.mT  # (T, B, K)
    assert (y[-1] - y[0]).abs().max() > 0.1
    torch.testing.assert_close(totals, totals[:1].expand_as(totals), rtol=1e-13, atol=1e-13)


def test_amounts_stay_positive_with_reactants_only():
    y0 = torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.5, 0.0, 0.0, 0.2]], dtype=torch.float64)
    times = torch.linspace(0, 20, 41, dtype=torch.float64)
    minimum = {}
    for name, reactants in {"with": (-ENZYME).clamp(min=0), "without": None}.items():
        field = StoichiometricField(ENZYME, network(4, 3), reactants)
        minimum[name] = odeint(field, y0, times, rtol=1e-8, atol=1e-10).min()
    assert minimum["with"] > -1e-9 and minimum["without"] < -0.1


@pytest.mark.parametrize("missing", range(4))
def test_what_is_absent_is_not_used_up(missing):
    field = StoichiometricField(ENZYME, network(4, 3), (-ENZYME).clamp(min=0))
    y = amounts(50, 4)
    y[:, missing] = 0.0
    assert (field(0.0, y)[:, missing] >= 0).all() and (field.rates(0.0, y) >= 0).all()
    assert (field.rates(0.0, y)[:, ENZYME[missing] < 0] == 0).all()


def test_a_step_lowers_the_loss():
    field = StoichiometricField(CATALYSED, network(3, 2), CATALYSTS)
    y, target = amounts(30, 3), torch.zeros(30, 3, dtype=torch.float64)
    optimiser, losses = torch.optim.SGD(field.parameters(), lr=0.1), []
    for _ in range(3):
        loss = (field(0.0, y) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    assert all(weight.grad.abs().sum() > 0 for weight in field.parameters())


def test_gradients_also_at_zero_amounts():
    field = StoichiometricField(CATALYSED, network(3, 2), CATALYSTS)
    y = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.3, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: field(0.0, y), [y])


def test_dtype_and_device_follow_the_network(device):
    field = StoichiometricField(ENZYME, MLPField(4, outputs=3, device=device), (-ENZYME).clamp(min=0))
    assert field.S.dtype == field.orders.dtype == torch.float32
    assert field.S.device.type == field.orders.device.type == device.type
    y = torch.ones(2, 4, dtype=torch.float64, device=device)
    assert field.double()(0.0, y).dtype == torch.float64  # S and the orders move with the module
    assert StoichiometricField(ENZYME, nn.Identity()).S.dtype == torch.get_default_dtype()


S = ENZYME.double()


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param((S[0],), "S must have shape (D, R), none of them 0: got (3,)", id="S no matrix"),
        pytest.param((S[:, :0],), "S must have shape (D, R), none of them 0: got (4, 0)", id="no reactions"),
        pytest.param((S / 0,), "S must be finite: S[0, 0] = -inf", id="S not finite"),
        pytest.param((S.bool(),), "S must be a tensor of real numbers: got a torch.bool tensor", id="S bool"),
        pytest.param(([[1.0]],), "S must be a tensor of real numbers: got list", id="no tensor"),
        pytest.param(
            (S.float(),),
            "S must have the dtype of the weights of rates: got torch.float32 and torch.float64",
            id="S of another dtype",
        ),
        pytest.param(
            (S, None, S.T.abs()),
            "reactants must have the shape (4, 3) of S: got (3, 4)",
            id="reactants of another shape",
        ),
        pytest.param(
            (S, None, -S),
            "reactants must be whole and not negative: reactants[0, 1] = -1.0",
            id="negative reactant",
        ),
        pytest.param(
            (S, None, S.abs() / 2),
            "reactants must be whole and not negative: reactants[0, 0] = 0.5",
            id="reactant not whole",
        ),
        pytest.param(
            (S, None, S.clamp(min=0)),
            "reactants must be at least 1 where S is negative: reactants[0, 0] = 0.0",
            id="used up but no reactant",
        ),
    ],
)
def test_wrong_construction(arguments, message):
    S, _, reactants = (*arguments, None, None)[:3]
    with pytest.raises(ValueError, match=re.escape(message)):
        StoichiometricField(S, network(4, 3), reactants)


def test_rates_that_are_no_module():
    message = "rates must be a torch.nn.Module, or its weights would not be trained: got <function"
    with pytest.raises(ValueError, match=re.escape(message)):
        StoichiometricField(S, lambda t, y: y)


def test_wrong_states_and_rates():
    field, two = StoichiometricField(S, network(4, 3)), StoichiometricField(S, network(4, 2))
    cases = [
        (field, torch.ones(5, 3), "y must end in the 4 species: got shape (5, 3)"),
        (field, torch.ones(5, 4), "y must have the dtype of S: got torch.float32 and torch.float64"),
        (
            two,
            amounts(5, 4),
            "rates must return one number for each of 3 reactions, (5, 3): got shape (5, 2)",
        ),
    ]
    for field, y, message in cases:
        for function in (field, field.jacobian):
            with pytest.raises(ValueError, match=re.escape(message)):
                function(0.0, y)
