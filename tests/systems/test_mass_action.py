"""Mass action against fields written by hand, conservation laws and autograd."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.systems import LotkaVolterra, MassAction, OneCompartment

ENZYME = ["E + S <-> ES", "ES -> E + P"]
ROBERTSON = ["A -> B", "2 B -> B + C", "B + C -> A + C"]


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def amounts(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def jacobian_by_autograd(system, y):
    return (
        torch.autograd.functional.jacobian(lambda y: system(0.0, y), y)
        .diagonal(dim1=0, dim2=2)
        .movedim(-1, 0)
    )


def test_an_enzyme_by_hand():
    on, off, turnover = 1.0, 0.5, 0.3
    system = MassAction(ENZYME, [on, off, turnover])
    assert system.species == system.variables == ("E", "S", "ES", "P")
    y = amounts(7, 4)
    E, S, ES, _ = y.unbind(-1)
    bound = on * E * S - off * ES
    expected = torch.stack((turnover * ES - bound, -bound, bound - turnover * ES, turnover * ES), dim=-1)
    torch.testing.assert_close(system(0.0, y), expected)
    torch.testing.assert_close(system.rates(y), torch.stack((on * E * S, off * ES, turnover * ES), dim=-1))


def test_robertsons_matrices_and_field():
    """His equations: y₁' = -0.04 y₁ + 10⁴ y₂ y₃ and so on; the catalysts have an order but do not change."""
    system = MassAction(ROBERTSON, [0.04, 3e7, 1e4])
    assert system.stoichiometry.tolist() == [[-1, 0, 1], [1, -1, -1], [0, 1, 0]]
    assert system.reactants.tolist() == [[1, 0, 0], [0, 2, 1], [0, 0, 1]]
    y = double(0.9, 3e-5, 0.1)
    fast, back = 3e7 * 3e-5**2, 1e4 * 3e-5 * 0.1
    expected = double(-0.04 * 0.9 + back, 0.04 * 0.9 - back - fast, fast)
    torch.testing.assert_close(system(0.0, y), expected, rtol=1e-14, atol=1e-14)
    jacobian = double(
        [-0.04, 1e4 * 0.1, 1e4 * 3e-5], [0.04, -1e4 * 0.1 - 6e7 * 3e-5, -1e4 * 3e-5], [0, 6e7 * 3e-5, 0]
    )
    torch.testing.assert_close(system.jacobian(0.0, y), jacobian, rtol=1e-14, atol=0)


def test_other_systems_are_mass_action_too():
    y = amounts(5, 2)
    pairs = [
        (
            MassAction(["X -> 2 X", "X + Y -> Y", "X + Y -> X + 2 Y", "Y ->"], [1.1, 0.4, 0.1, 0.4]),
            LotkaVolterra(alpha=1.1, beta=0.4, delta=0.1, gamma=0.4),
        ),
        (
            MassAction(["gut -> central", "central ->"], [1.5, 0.1]),
            OneCompartment(absorption_rate=1.5, elimination_rate=0.1, volume=1.0),
        ),
    ]
    for network, system in pairs:
        torch.testing.assert_close(network(0.0, y), system(0.0, y))
        torch.testing.assert_close(network.jacobian(0.0, y), system.jacobian(0.0, y))


def test_no_factorials():
    """2 A -> B runs at k A² and takes two A each time: A(t) = A₀ / (1 + 2 k A₀ t)."""
    system = MassAction(["2 A -> B"], 0.7)
    y = double(3.0, 0.0)
    assert system.rates(y).tolist() == pytest.approx([0.7 * 9])
    assert system(0.0, y).tolist() == pytest.approx([-2 * 0.7 * 9, 0.7 * 9])


def test_dimers_follow_their_closed_form(scipy_path):
    path = scipy_path(MassAction(["2 A -> B"], 0.7), [3.0, 0.0], np.linspace(0, 5, 11))
    A = 3 / (1 + 2 * 0.7 * 3 * torch.linspace(0, 5, 11, dtype=torch.float64))
    torch.testing.assert_close(path, torch.stack((A, (3 - A) / 2), dim=-1), rtol=1e-10, atol=1e-10)


def test_inflow_and_decay_need_nothing_to_be_there():
    system = MassAction(["-> A", "A ->"], [2.0, 0.5])
    torch.testing.assert_close(system(0.0, double([0.0], [4.0])), double([2.0], [0.0]))
    assert system.jacobian(0.0, double([0.0], [4.0])).flatten().tolist() == [-0.5, -0.5]
    assert MassAction(["-> A"], 1.0).jacobian(0.0, double(3.0)).tolist() == [[0.0]]


NETWORKS = {
    "enzyme": ENZYME,
    "Robertson": ROBERTSON,
    "cubic": ["3 A + B -> 2 B", "-> A"],
    "quintic": ["2 A + 2 B + C <-> D", "D ->"],
}


@pytest.mark.parametrize("reactions", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("zeros", ["none", "one", "all"])
def test_jacobian_is_autograds_where_species_are_missing_too(reactions, zeros):
    system = MassAction(reactions, 0.7)
    species = len(system.species)
    y = amounts(species + 1, species)
    y = y * {"none": 1, "one": 1 - torch.eye(species + 1, species), "all": 0}[zeros]
    expected = jacobian_by_autograd(system, y)
    assert expected.isfinite().all()
    torch.testing.assert_close(system.jacobian(0.0, y), expected, rtol=1e-13, atol=1e-13)


def test_gradients_through_field_and_jacobian_at_zero():
    y = double([0.0, 0.0, 0.4], [0.0, 0.3, 0.0]).requires_grad_()
    constants = double([1.0, 2.0, 3.0], [0.5, 0.2, 0.1]).requires_grad_()
    for compute in (
        lambda y, k: MassAction(ROBERTSON, k)(0.0, y),
        lambda y, k: MassAction(ROBERTSON, k).jacobian(0.0, y),
    ):
        assert torch.autograd.gradcheck(compute, (y, constants))
        assert torch.autograd.gradgradcheck(compute, (y, constants))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_what_no_reaction_changes_is_conserved(seed):
    """L S = 0 gives L y' = 0, for any rates."""
    system = MassAction([*ENZYME, "2 P <-> D", "D + S -> ES + D"], amounts(6, seed=seed))
    conserved = torch.from_numpy(scipy.linalg.null_space(system.stoichiometry.T.numpy()).T)
    assert len(conserved) == 1  # the enzyme, E + ES
    change = system(0.0, 3 * amounts(20, 5, seed=seed + 1)) @ conserved.mT
    assert change.abs().max() < 1e-14 * 100


def test_mass_stays_along_a_path(scipy_path):
    system = MassAction(ENZYME, [1.0, 0.5, 0.3])
    path = scipy_path(system, [1.0, 5.0, 0.0, 0.0], np.linspace(0, 200, 21))
    E, S, ES, P = path.unbind(-1)
    torch.testing.assert_close(E + ES, torch.ones(21, dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(S + ES + P, torch.full((21,), 5.0, dtype=torch.float64), rtol=1e-12, atol=0)
    assert P[-1] > 4.99


def test_scarce_enzyme_obeys_michaelis_and_menten(scipy_path):
    """S' → -V S / (K + S) with V = k₂ E₀ and K = (k₋₁ + k₂) / k₁, up to a share E₀ / (S₀ + K)."""
    on, off, turnover, enzyme = 100.0, 50.0, 30.0, 1e-3
    system = MassAction(ENZYME, [on, off, turnover])
    half = (off + turnover) / on
    late = scipy_path(system, [enzyme, 1.0, 0.0, 0.0], np.linspace(0, 10, 6))[1:]
    expected = -turnover * enzyme * late[:, 1] / (half + late[:, 1])
    torch.testing.assert_close(system(0.0, late)[:, 1], expected, rtol=2 * enzyme, atol=0)


def test_rows_of_constants_belong_to_the_samples():
    constants = 1 + amounts(3, 3)
    y = amounts(3, 3, 4, seed=1)  # (B, T, D) with T = B = R
    together = MassAction(ENZYME, constants)
    for sample in range(3):
        alone = MassAction(ENZYME, constants[sample])
        torch.testing.assert_close(together(0.0, y)[sample], alone(0.0, y[sample]))
        torch.testing.assert_close(together.rates(y)[sample], alone.rates(y[sample]))
        torch.testing.assert_close(together.jacobian(0.0, y)[sample], alone.jacobian(0.0, y[sample]))
    one_state = torch.stack([MassAction(ENZYME, row).jacobian(0.0, y[0, 0]) for row in constants])
    torch.testing.assert_close(together.jacobian(0.0, y[0, 0]), one_state)


def test_numbers_keep_all_their_digits():
    constants = [0.04, 3e7, 1 / 3]
    system = MassAction(ROBERTSON, constants)
    assert system.constants.tolist() == constants
    assert MassAction(ROBERTSON, 1 / 3).constants.tolist() == [1 / 3] * 3
    assert MassAction(ROBERTSON, np.array(constants)).constants.tolist() == constants


@pytest.mark.parametrize(
    "constants", [0.5, [0.5, 1.0, 2.0], double(0.5, 1.0, 2.0)], ids=["number", "list", "tensor"]
)
def test_dtype_and_device_are_the_states(constants, device):
    y = amounts(5, 3).to(device, torch.float32)
    system = MassAction(ROBERTSON, constants)
    for result in (system(0.0, y), system.rates(y), system.jacobian(0.0, y)):
        assert result.dtype == torch.float32 and result.device.type == device.type
    placed = MassAction(ROBERTSON, torch.ones(3, device=device, dtype=torch.float32))
    for matrix in (placed.stoichiometry, placed.reactants):
        assert matrix.dtype == torch.float32 and matrix.device.type == device.type


def test_replacing_the_constants_keeps_the_network():
    system = MassAction(ENZYME, [1.0, 0.5, 0.3])
    changed = dataclasses.replace(system, constants=double(2.0, 1.0, 0.6))
    y = amounts(5, 4)
    torch.testing.assert_close(changed(0.0, y), 2 * system(0.0, y))
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.constants = double(1.0, 1.0, 1.0)


MISTAKES = [
    ([1.0, 2.0], r"constants must have shape \(R,\) or \(B, R\) with R = 3, one for each of E \+ S -> ES, "
                 r"ES -> E \+ S, ES -> E \+ P: got shape \(2,\)"),
    (torch.ones(4, 2, 3), r"got shape \(4, 2, 3\)"),
    (-1.0, r"constants must be finite and not negative: constants\[0\] = -1.0, of E \+ S -> ES"),
    ([1.0, 2.0, math.nan], r"constants\[2\] = nan, of ES -> E \+ P"),
    (torch.tensor([[1.0, 1.0, 1.0], [1.0, math.inf, 1.0]]), r"constants\[1, 1\] = inf, of ES -> E \+ S"),
    (torch.tensor([1, 2, 3]), r"constants must be a floating-point tensor: got a torch.int64 tensor"),
    ([torch.tensor(1.0)] * 3, r"a list of numbers or one tensor: constants\[0\] is a Tensor"),
    (["1", "2", "3"], r"constants\[0\] is a str"),
    (None, "constants must be a number, a list of numbers or one tensor: got NoneType"),
    ({1.0, 2.0, 3.0}, "constants must be a number, a list of numbers or one tensor: got set"),
]  # fmt: skip


@pytest.mark.parametrize("constants, message", MISTAKES, ids=[case[-1] for case in MISTAKES])
def test_constants_that_are_none(constants, message):
    with pytest.raises(ValueError, match=message):
        MassAction(ENZYME, constants)


def test_states_that_are_none():
    system = MassAction(ENZYME, torch.ones(2, 3))
    for function in (system.rates, lambda y: system(0.0, y), lambda y: system.jacobian(0.0, y)):
        with pytest.raises(
            ValueError, match=r"y must end in the 4 variables \(E, S, ES, P\): got shape \(2, 3\)"
        ):
            function(torch.ones(2, 3))
        with pytest.raises(ValueError, match="y must be a floating-point tensor: got a torch.int64 tensor"):
            function(torch.ones(2, 4, dtype=torch.int64))
        with pytest.raises(ValueError, match="one row for each of the 5 samples: got 2 rows"):
            function(torch.ones(5, 4))


def test_unreadable_reactions():
    with pytest.raises(ValueError, match=r"reactions\[1\] = 'ES => E': expected|must have one arrow"):
        MassAction(["E + S <-> ES", "ES => E"], 1.0)
