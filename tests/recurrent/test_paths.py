"""path_decomposition against every single path, the binomial theorem and autograd."""

from itertools import product
from math import comb, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.recurrent import LeakyRNN, path_count, path_decomposition, step_jacobians

FACTORS = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), max_size=9)


@settings(deadline=None)
@given(FACTORS)
def test_every_path_is_counted_once(factors):
    """All 2^T paths, walked one by one."""
    skip, branch = torch.tensor(factors, dtype=torch.float64).reshape(-1, 2).unbind(-1)
    expected, walked = [0.0] * (len(factors) + 1), [0] * (len(factors) + 1)
    for choices in product((0, 1), repeat=len(factors)):
        walked[sum(choices)] += 1
        expected[sum(choices)] += prod(factors[t][choice] for t, choice in enumerate(choices))
    found = path_decomposition(skip, branch)
    assert found.contributions.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert list(found.counts) == walked and sum(walked) == path_count(len(factors))


def test_equal_steps_give_the_binomial_theorem():
    found = path_decomposition(torch.tensor(0.9), torch.full((20,), 0.1, dtype=torch.float64))
    expected = [comb(20, n) * 0.9 ** (20 - n) * 0.1**n for n in range(21)]
    assert found.contributions.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.total.item() == pytest.approx(1, rel=1e-6)


def test_paths_of_a_leaky_unit_add_up_to_autograds_derivative():
    """s = 1 - α and f' = α w φ'(z), with φ' = 1 - φ²."""
    generator = torch.Generator().manual_seed(0)
    model = LeakyRNN(1, 1, tau=4.0, dt=1.0, dtype=torch.float64, generator=generator)
    nn.init.constant_(model.W_hh, 2.5)
    x = torch.randn(3, 40, 1, dtype=torch.float64, generator=generator)
    h0 = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    states = model(x, h0)
    (expected,) = torch.autograd.grad(states[:, -1].sum(), h0)
    before = torch.cat([h0.unsqueeze(1), states[:, :-1]], dim=1)
    phi = torch.tanh(x @ model.W_xh.T + before @ model.W_hh.T + model.b)
    branch = (0.25 * 2.5 * (1 - phi**2)).squeeze(-1).detach()
    found = path_decomposition(torch.tensor(0.75, dtype=torch.float64), branch)
    assert found.contributions.shape == (3, 41)
    torch.testing.assert_close(found.total, expected[:, 0], rtol=1e-12, atol=0)
    measured = step_jacobians(model, x)[..., 0, 0] - 0.75
    torch.testing.assert_close(measured, branch, rtol=1e-12, atol=1e-14)


def test_a_vanilla_unit_has_one_path_left():
    branch = torch.tensor([0.5, 2.0, -3.0])
    found = path_decomposition(torch.zeros(()), branch)
    assert found.contributions.tolist() == [0.0, 0.0, 0.0, -3.0]


def test_counts_are_exact_beyond_the_integers_of_a_tensor():
    assert path_count(100) == 1267650600228229401496703205376
    assert path_count(3, routes=64) == 262144 and path_count(0) == 1
    found = path_decomposition(torch.ones(()), torch.ones(100, dtype=torch.float64))
    assert sum(found.counts) == path_count(100)
    assert found.total.item() == pytest.approx(path_count(100), rel=1e-12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: path_count(-1), "T must be a whole number of at least 0: got -1"),
        (lambda: path_count(2.0), "T must be a whole number of at least 0: got 2.0"),
        (lambda: path_count(2, 0), "routes must be a whole number of at least 1: got 0"),
        (
            lambda: path_decomposition(torch.ones(()), torch.ones(())),
            r"branch must have shape \(..., T\): got a scalar",
        ),
        (
            lambda: path_decomposition(torch.ones(3), torch.ones(2, 4)),
            r"skip must broadcast to the shape of branch: got \(3,\) and \(2, 4\)",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
