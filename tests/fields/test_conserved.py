"""Conserved quantities: known ones, all of them, and exactly."""

import math
import operator
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fields import conserved_quantities

matrices = st.integers(1, 6).flatmap(
    lambda reactions: st.lists(
        st.lists(st.integers(-3, 3), min_size=reactions, max_size=reactions), min_size=1, max_size=6
    )
)


@pytest.mark.parametrize(
    "S, expected",
    [
        # E, S, ES, P in E + S ⇌ ES → E + P: total enzyme, total substrate
        pytest.param(
            [[-1, 1, 1], [-1, 1, 0], [1, -1, -1], [0, 0, 1]], [[1, 0, 1, 0], [0, 1, 1, 1]], id="enzyme"
        ),
        # 2 A ⇌ B: A and twice B
        pytest.param([[-2, 2], [1, -1]], [[1, 2]], id="dimer"),
        # A + B → nothing: only their difference stays
        pytest.param([[-1], [-1]], [[1, -1]], id="annihilation"),
        # S → I → R: everybody
        pytest.param([[-1, 0], [1, -1], [0, 1]], [[1, 1, 1]], id="epidemic"),
        # 2 H₂ + O₂ → 2 H₂O: hydrogen, and what is left of water and oxygen
        pytest.param([[-2], [-1], [2]], [[1, 0, 1], [0, 2, 1]], id="water"),
        # birth and death: nothing
        pytest.param([[1, -1]], torch.empty(0, 1), id="birth and death"),
    ],
)
def test_known_networks(S, expected):
    L = conserved_quantities(torch.tensor(S, dtype=torch.float64))
    assert torch.equal(L, torch.as_tensor(expected, dtype=torch.float64))


@settings(deadline=None, max_examples=60)
@given(matrices)
def test_whole_numbers_exactly_and_all_of_them(S):
    S = torch.tensor(S, dtype=torch.float64)
    L = conserved_quantities(S)
    assert torch.equal(L @ S, torch.zeros(len(L), S.shape[1], dtype=torch.float64))
    assert torch.equal(L, L.round()) and len(L) == len(S) - torch.linalg.matrix_rank(S)
    assert len(L) == 0 or torch.linalg.matrix_rank(L) == len(L)


@pytest.mark.parametrize("species, reactions", [pytest.param(100, 10, id="100 species"), (40, 30), (30, 1)])
def test_large_networks(species, reactions):
    generator = torch.Generator().manual_seed(species)
    S = torch.randint(-2, 3, (species, reactions), generator=generator).double()
    L = conserved_quantities(S)
    assert len(L) == species - reactions and not (L @ S).any()
    assert torch.linalg.matrix_rank(L) == len(L) and L.abs().max() < 10


def test_numbers_beyond_64_bits_are_exact():
    """Amounts of 30 to 38 bits: products of them are computed on the way, sums are 0 exactly."""
    S = torch.tensor([[2**30 + 1], [2**35 - 3], [-(2**38) + 7]], dtype=torch.float64)
    L = [[Fraction(entry) for entry in row] for row in conserved_quantities(S).tolist()]
    assert len(L) == 2 and not any(sum(map(operator.mul, row, map(Fraction, S[:, 0].tolist()))) for row in L)


@settings(deadline=None, max_examples=30)
@given(matrices, st.floats(0.01, 100.0))
def test_other_numbers_to_rounding_and_orthonormal(S, scale):
    whole = torch.tensor(S, dtype=torch.float64)
    S = whole * scale * math.pi
    L = conserved_quantities(S)
    assert L.shape == conserved_quantities(whole).shape  # as many, whatever the unit
    assert (L @ S).abs().sum() <= 1e-13 * S.abs().sum()


def test_orthonormal_rows():
    column = torch.tensor([[0.5], [0.25], [0.1]], dtype=torch.float64)
    L = conserved_quantities(torch.cat((column, 2 * column), dim=1))
    torch.testing.assert_close(L @ L.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-14)
    torch.testing.assert_close(L @ column, torch.zeros(2, 1, dtype=torch.float64), rtol=0, atol=1e-15)


def test_dtype_and_device_follow(device):
    for S in ([[-1.0], [1.0]], [[-0.5], [0.7]]):
        for dtype in (torch.float32, torch.float64):
            L = conserved_quantities(torch.tensor(S, dtype=dtype, device=device))
            assert L.dtype == dtype and L.device.type == device.type
    assert conserved_quantities(torch.tensor([[-1], [1]], device=device)).dtype == torch.get_default_dtype()


@pytest.mark.parametrize(
    "S, message",
    [
        pytest.param(torch.ones(3), "S must have shape (D, R), none of them 0: got (3,)", id="no matrix"),
        pytest.param(
            torch.ones(0, 3), "S must have shape (D, R), none of them 0: got (0, 3)", id="no species"
        ),
        pytest.param(
            torch.tensor([[1.0, 2.0], [0.5, torch.nan]]), "S must be finite: S[1, 1] = nan", id="not finite"
        ),
        pytest.param(
            torch.ones(2, 2, dtype=torch.complex64),
            "S must be a tensor of real numbers: got a torch.complex",
            id="complex",
        ),
        pytest.param([[1, -1]], "S must be a tensor of real numbers: got list", id="no tensor"),
    ],
)
def test_errors(S, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        conserved_quantities(S)
