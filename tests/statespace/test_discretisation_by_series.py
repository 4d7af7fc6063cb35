"""Exact discretisation with rates that differ from series to series."""

import pytest
import torch
from helpers.statespace.discretisation import discretise


def test_each_series_may_have_its_own_rates():
    """Two people's compartments together are each person's alone."""
    rates = torch.tensor([[0.5, 2.0], [1.5, 0.1]], dtype=torch.float64)
    F = torch.diag_embed(-rates)
    L, q = torch.eye(2, dtype=torch.float64), torch.diag(torch.tensor([0.3, 0.7], dtype=torch.float64))
    gaps = torch.tensor([[0.0, 0.4, 3.0], [0.0, 1.0, 0.2]], dtype=torch.float64)
    A, Q, _ = discretise(F, L, q, gaps)
    decay = torch.exp(-rates[:, None] * gaps[..., None])
    torch.testing.assert_close(A, torch.diag_embed(decay))
    expected = q.diagonal() * (1 - decay.square()) / (2 * rates[:, None])
    torch.testing.assert_close(Q, torch.diag_embed(expected))


def test_series_must_be_equally_many():
    F, one = torch.eye(2, dtype=torch.float64).expand(3, 2, 2), torch.eye(2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"F must be one matrix or one per series.*F 3, deltas 2"):
        discretise(F, one, one, torch.zeros(2, 5, dtype=torch.float64))
