"""Covariances without constraints: there and back, scale, gradients, misuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.statespace import covariance_from_unconstrained, unconstrained_from_covariance
from helpers.statespace.matrices import is_positive_definite


def random_covariance(generator, size, *batch):
    factor = torch.randn(
        *batch, size, size, dtype=torch.float64, generator=generator, device=generator.device
    )
    return factor @ factor.mT + 0.1 * torch.eye(size, dtype=torch.float64, device=generator.device)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_there_and_back(size, generator):
    covariance = random_covariance(generator, size, 3, 2)
    vector = unconstrained_from_covariance(covariance)
    assert vector.shape == (3, 2, size * (size + 1) // 2) and vector.device == covariance.device
    torch.testing.assert_close(covariance_from_unconstrained(vector), covariance, rtol=1e-12, atol=1e-12)


def test_a_small_case_by_hand():
    """L = [[2, 0], [6, 3]]: the second row is 3 · [2, 1]."""
    covariance = torch.tensor([[4.0, 12.0], [12.0, 45.0]], dtype=torch.float64)
    expected = torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64).log()
    expected[2] = 2.0
    torch.testing.assert_close(unconstrained_from_covariance(covariance), expected)


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=3, max_size=3))
def test_any_vector_gives_a_positive_definite_matrix(numbers):
    covariance = covariance_from_unconstrained(torch.tensor(numbers, dtype=torch.float64))
    assert torch.equal(covariance, covariance.mT)
    deviation, determinant = covariance.diagonal().sqrt(), 2 * (numbers[0] + numbers[1])
    assert (deviation > 0).all()
    correlation = covariance / torch.outer(deviation, deviation)
    log_determinant = torch.log1p(-(correlation[0, 1] ** 2)) + 2 * deviation.log().sum()
    assert abs(log_determinant - determinant) < 1e-10


def test_another_unit_shifts_one_entry(generator):
    covariance = random_covariance(generator, 3)
    unit = torch.tensor([1.0, 1000.0, 1.0], dtype=torch.float64, device=covariance.device)
    change = unconstrained_from_covariance(unit.outer(unit) * covariance) - unconstrained_from_covariance(
        covariance
    )
    torch.testing.assert_close(change[:3], unit.log(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(change[3:], torch.zeros_like(change[3:]), rtol=0, atol=1e-9)


def test_gradients():
    vector = torch.randn(
        2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    assert torch.autograd.gradcheck(covariance_from_unconstrained, vector)
    assert torch.autograd.gradcheck(
        lambda v: unconstrained_from_covariance(covariance_from_unconstrained(v)), vector
    )


@pytest.mark.parametrize(
    "covariance, message",
    [
        (torch.ones(2, 3), r"covariance must be square: got shape \(2, 3\)"),
        (torch.ones(3), r"covariance must be square: got shape \(3,\)"),
        (torch.diag(torch.tensor([1.0, -2.0])), "positive definite: its smallest eigenvalue is -2"),
        (torch.zeros(2, 2), "positive definite: its smallest eigenvalue is 0"),
        (torch.tensor([[torch.nan]]), r"covariance must be finite: covariance\[0, 0\] = nan"),
    ],
    ids=[
        "not square",
        "a vector",
        "negative",
        "zero",
        "nan",
    ],
)
def test_what_is_no_covariance_is_refused(covariance, message):
    with pytest.raises(ValueError, match=message):
        unconstrained_from_covariance(covariance)


@pytest.mark.parametrize("length", [0, 2, 5])
def test_a_vector_of_another_length_is_refused(length):
    with pytest.raises(ValueError, match=rf"N \(N \+ 1\) / 2 entries, 1, 3, 6, 10 …: got {length}"):
        covariance_from_unconstrained(torch.zeros(length))


def test_what_is_not_symmetric_is_refused():
    with pytest.raises(
        ValueError, match="covariance must be symmetric: it differs from its transpose by 0.9"
    ):
        unconstrained_from_covariance(torch.tensor([[1.0, 0.9], [0.0, 1.0]]))


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_definite_is_what_rounding_cannot_undo(size, generator):
    """In any units: of rank N - 1 never, with a smallest eigenvalue of 1e-8 always."""
    factor = torch.randn(200, size, size, dtype=torch.float64, generator=generator, device=generator.device)
    exponent = torch.randn(200, size, 1, dtype=torch.float64, generator=generator, device=generator.device)
    unit = 10 ** (6 * exponent)
    singular = factor[..., 1:] @ factor[..., 1:].mT
    full = singular / singular.diagonal(dim1=-2, dim2=-1).amax(-1)[:, None, None]
    full = full + 1e-8 * torch.eye(size, dtype=torch.float64, device=generator.device)
    assert not is_positive_definite(unit * singular * unit.mT).any()
    assert is_positive_definite(unit * full * unit.mT).all()
    assert not is_positive_definite(torch.full_like(full, torch.nan)).any()
    assert not is_positive_definite(-full).any()
