"""The systems against their own papers, autograd and misuse."""

import math
from dataclasses import fields
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.systems import Lorenz, LotkaVolterra, MassAction, OneCompartment, Repressilator, ToggleSwitch


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def positive_states(dimension, seed=0):
    return 0.1 + 3 * torch.rand(
        5, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


per_sample = double(0.5, 1.0, 2.0, 3.5, 10.0)
SYSTEMS = {
    "toggle switch": ToggleSwitch(3.0),
    "toggle switches by alpha": ToggleSwitch(per_sample, n=2.7),
    "toggle switches by n": ToggleSwitch(4.0, n=1 + per_sample),
    "Lorenz": Lorenz(),
    "Lorenz systems": Lorenz(per_sample, rho=3 * per_sample, beta=per_sample / 2),
    "Lotka-Volterra": LotkaVolterra(alpha=1.1, beta=0.4, delta=0.1, gamma=0.4),
    "Lotka-Volterra systems": LotkaVolterra(
        alpha=per_sample, beta=2 * per_sample, delta=0.3, gamma=per_sample / 2
    ),
    "repressilator": Repressilator(),
    "repressilators": Repressilator(
        alpha=5 * per_sample, n=1 + per_sample, alpha0=per_sample / 10, beta=per_sample
    ),
    "compartment": OneCompartment(absorption_rate=1.5, elimination_rate=0.1, volume=0.5),
    "compartments": OneCompartment(
        absorption_rate=per_sample, elimination_rate=per_sample / 3, volume=per_sample
    ),
    "enzyme": MassAction(["E + S <-> ES", "ES -> E + P"], [1.0, 0.5, 0.3]),
    "networks": MassAction(
        ["3 A + B -> 2 B", "-> A", "B ->"], torch.outer(per_sample, double(0.1, 2.0, 3.0))
    ),
}


def is_per_sample(system):
    return any(isinstance(value, torch.Tensor) and len(value) == 5 for value in vars(system).values())


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_jacobian_is_autograds(system):
    y = positive_states(len(system.variables))
    of_all = torch.autograd.functional.jacobian(lambda y: system(0.0, y), y)  # (B, D, B, D)
    expected = of_all.diagonal(dim1=0, dim2=2).movedim(-1, 0)
    torch.testing.assert_close(system.jacobian(0.0, y), expected, rtol=1e-12, atol=1e-12)
    assert of_all.abs().sum() == pytest.approx(expected.abs().sum().item())  # no sample touches another


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_device_and_dtype_follow_the_state(system, device):
    moved = type(system)(
        **{
            field.name: value.to(device, torch.float32) if isinstance(value, torch.Tensor) else value
            for field in fields(system)
            if field.init
            for value in [getattr(system, field.name)]
        }
    )
    y = positive_states(len(system.variables)).to(device, torch.float32)
    for result in (moved(torch.zeros(5, device=device), y), moved.jacobian(0.0, y)):
        assert result.device.type == device.type and result.dtype == torch.float32


@pytest.mark.parametrize("n", [2.0, 3.0, 4.0, 7.0])
@pytest.mark.parametrize("amount", [1e-30, 0.5, 1e5, 1e9, 1e13, 1e30])
def test_jacobians_of_repression_neither_overflow_nor_vanish(n, amount):
    """-α n xⁿ⁻¹ / (1 + xⁿ)² in float32 as with exact numbers, zero where that is below its range."""
    x = Fraction(torch.tensor(amount).item())
    slope = float(-3 * int(n) * x ** int(n - 1) / (1 + x ** int(n)) ** 2)
    toggle = ToggleSwitch(3.0, n).jacobian(0.0, torch.full((1, 2), amount))
    ring = Repressilator(alpha=3.0, n=n).jacobian(0.0, torch.full((1, 6), amount))
    for found in (toggle[0, 0, 1], toggle[0, 1, 0], ring[0, 0, 5], ring[0, 1, 3], ring[0, 2, 4]):
        assert found.item() == pytest.approx(slope, rel=1e-5, abs=1e-36)
    assert toggle.isfinite().all() and ring.isfinite().all()


@settings(deadline=None)
@given(st.floats(0.1, 10.0))
def test_toggle_switch_rests_where_both_genes_are_equal(u):
    """u = v rests at α = u (1 + u²); its eigenvalues are -1 ± 2u² / (1 + u²), so that α = 2 is critical."""
    system = ToggleSwitch(u * (1 + u**2))
    state = double([u, u])
    torch.testing.assert_close(system(0.0, state), torch.zeros_like(state), rtol=0, atol=1e-12 * (1 + u**3))
    slope = 2 * u**2 / (1 + u**2)
    eigenvalues = torch.linalg.eigvalsh(system.jacobian(0.0, state))
    torch.testing.assert_close(eigenvalues, double([-1 - slope, -1 + slope]), rtol=1e-12, atol=1e-12)


def test_lorenz_rests_in_the_centres_of_its_wings():
    distance = math.sqrt(8 / 3 * 27)
    centres = double([distance, distance, 27.0], [-distance, -distance, 27.0], [0.0, 0.0, 0.0])
    torch.testing.assert_close(Lorenz()(0.0, centres), torch.zeros_like(centres), rtol=0, atol=1e-12)


def test_lorenz_shrinks_volumes_everywhere_alike():
    trace = Lorenz().jacobian(0.0, positive_states(3)).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.full_like(trace, -41 / 3))


def test_lorenz_1963_table_1():
    """His own run: ten times x, y and z at every fifth step from (0, 1, 0), cut to whole numbers.

    One unit is left to the arithmetic of his machine.
    """
    printed = double(
        [4, 12, 0], [9, 20, 0], [16, 36, 2], [30, 66, 7], [54, 115, 24], [93, 192, 74], [150, 268, 201]
    )
    y = double(0.0, 1.0, 0.0)
    for row in printed:
        for _ in range(5):
            slope = Lorenz()(0.0, y)
            y = y + 0.01 * (slope + Lorenz()(0.0, y + 0.01 * slope)) / 2  # his double approximation
        assert ((10 * y).trunc() - row).abs().max() <= 1


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if not is_per_sample(system)])
def test_one_state_is_a_batch_of_one(name):
    system = SYSTEMS[name]
    y = positive_states(len(system.variables))
    torch.testing.assert_close(system(0.0, y[3]), system(0.0, y)[3])
    torch.testing.assert_close(system.jacobian(0.0, y[3]), system.jacobian(0.0, y)[3])


NAMES = [
    (ToggleSwitch(1.0), "u, v"),
    (Lorenz(), "x, y, z"),
    (LotkaVolterra(alpha=1, beta=1, delta=1, gamma=1), "prey, predator"),
    (Repressilator(), "m_lacI, m_tetR, m_cI, p_lacI, p_tetR, p_cI"),
    (OneCompartment(absorption_rate=1, elimination_rate=1, volume=1), "gut, central"),
    (MassAction(["A + B -> C"], 1.0), "A, B, C"),
]


@pytest.mark.parametrize("system, names", NAMES, ids=[case[-1] for case in NAMES])
def test_wrong_number_of_variables(system, names):
    count = names.count(",") + 1
    message = rf"y must end in the {count} variables \({names}\): got shape \(7, 4\)"
    for function in (system, system.jacobian):
        with pytest.raises(ValueError, match=message):
            function(0.0, torch.ones(7, 4))
    with pytest.raises(ValueError, match=r"got shape \(\)"):
        system(0.0, torch.tensor(1.0))
