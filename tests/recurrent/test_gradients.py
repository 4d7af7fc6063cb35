"""gradient_profile against the loss restarted from each state, path_decomposition against every path."""

from itertools import product
from math import comb, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_cells import JoinedLSTM
from torch import nn

from helpers.recurrent import (
    GRU,
    LSTM,
    LeakyRNN,
    MinGRU,
    VanillaRNN,
    gradient_profile,
    path_count,
    path_decomposition,
    step_jacobians,
)


def models():
    """One model of each kind, with two features and six numbers of state."""
    generator = torch.Generator().manual_seed(0)
    arguments = {"generator": generator, "dtype": torch.float64}
    tau = torch.tensor([1.0, 1.5, 2.0, 4.0, 8.0, 16.0])
    return {
        "tanh": VanillaRNN(2, 6, **arguments),
        "relu": VanillaRNN(2, 6, "relu", **arguments),
        "leaky": LeakyRNN(2, 6, tau=tau, dt=1.0, **arguments),
        "LSTM through the protocol": JoinedLSTM(2, 3),
        "LSTM": LSTM(2, 3, **arguments),
        "GRU, reset after": GRU(2, 6, **arguments),
        "GRU, reset before": GRU(2, 6, reset="before", **arguments),
        "minimal GRU": MinGRU(2, 6, **arguments),
    }


def states_from(model, x, h):
    """h itself and every state after it, (B, 1 + T, S), by a loop of its own."""
    states = [h]
    for p in model.project(x).unbind(1):
        states.append(model.step(states[-1], p))
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("kind", models())
def test_each_gradient_is_that_of_the_loss_restarted_there(kind):
    """∂L/∂h_k by autograd: run on from h_k as a fresh initial state, and count the losses of h_k … h_T."""
    generator = torch.Generator().manual_seed(1)
    model = models()[kind]
    x = torch.randn(3, 9, 2, dtype=torch.float64, generator=generator)
    weights = torch.randn(3, 10, 6, dtype=torch.float64, generator=generator)
    weights[:, 0] = 0  # the loss sees states, not the initial one
    h0 = torch.randn(3, 6, dtype=torch.float64, generator=generator)
    profile = gradient_profile(model, x, lambda states: (states.square() * weights[:, 1:]).sum((1, 2)), h0=h0)
    trajectory = states_from(model, x, h0).detach()
    torch.testing.assert_close(profile.loss, (trajectory.square() * weights).sum((1, 2)))
    for k in range(10):
        h = trajectory[:, k].clone().requires_grad_()
        loss = (states_from(model, x[:, k:], h).square() * weights[:, k:]).sum()
        (expected,) = torch.autograd.grad(loss, h)
        torch.testing.assert_close(profile.gradients[:, k], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(profile.norms[:, k], expected.norm(dim=-1), rtol=1e-12, atol=1e-12)


def test_scalar_linear_network_gives_powers_of_its_weight():
    """∂h_T/∂h_k = w^(T-k)."""
    model = VanillaRNN(0, 1, "linear", dtype=torch.float64)
    nn.init.constant_(model.W_hh, 0.9)
    profile = gradient_profile(model, torch.zeros(1, 50, 0, dtype=torch.float64), lambda h: h[:, -1, 0])
    expected = 0.9 ** torch.arange(50, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(profile.norms[0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_norms_hold_where_their_squares_leave_the_float_range(factor, device):
    """In float32 1e-30 and 1e30 are numbers; their squares are 0 and infinite."""
    model = VanillaRNN(0, 4, "linear", bias=False, device=device)
    with torch.no_grad():
        model.W_hh.copy_(factor * torch.eye(4))
    x = torch.zeros(1, 30, 0, device=device)
    norms = gradient_profile(model, x, lambda h: h[:, -1].sum()).norms[0]
    powers = factor ** torch.arange(30, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(norms.double().cpu(), 2 * powers, rtol=1e-5, atol=0)


def test_zero_and_infinite_gradients_are_reported_as_they_are():
    model = VanillaRNN(0, 2, "relu", bias=False)
    with torch.no_grad():
        model.W_hh.copy_(torch.diag(torch.tensor([1e30, -1.0])))
    h0 = torch.tensor([[1e-30, 1.0]])
    loss = gradient_profile(model, torch.zeros(1, 2, 0), lambda h: 1e-30 * h[:, -1].sum(), h0=h0)
    torch.testing.assert_close(loss.norms, torch.tensor([[1e30, 1.0, 1e-30 * 2**0.5]]))
    dead = gradient_profile(model, torch.zeros(1, 2, 0), lambda h: h[:, -1, 1].sum())
    assert dead.norms.tolist() == [[0.0, 0.0, 1.0]]
    nn.init.constant_(model.W_hh, 1e30)
    exploded = gradient_profile(model, torch.zeros(1, 3, 0), lambda h: h[:, -1].sum(), h0=h0 * 1e-10)
    assert exploded.norms[0, :2].isinf().all() and exploded.norms[0, 2:].isfinite().all()


def test_series_do_not_touch_each_other_and_padding_passes_the_gradient_on(device, generator):
    model = VanillaRNN(2, 5, device=device, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 8, 2, device=device, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([8, 5, 3], device=device)
    together = gradient_profile(model, x, lambda h: h[:, -1].square().sum(-1), lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        alone = gradient_profile(model, x[b : b + 1, :length], lambda h: h[:, -1].square().sum(-1))
        torch.testing.assert_close(together.norms[b, : length + 1], alone.norms[0])
        torch.testing.assert_close(together.norms[b, length:], alone.norms[0, -1].expand(9 - length))


def test_it_leaves_no_trace_and_needs_no_grad_mode():
    model = VanillaRNN(2, 3)
    h0 = torch.zeros(1, 3, requires_grad=True)
    with torch.no_grad():
        profile = gradient_profile(model, torch.ones(1, 4, 2), lambda h: h.sum(), h0=h0)
    assert all(weight.grad is None for weight in model.parameters()) and h0.grad is None
    assert not profile.gradients.requires_grad and not profile.loss.requires_grad
    assert profile.gradients.shape == (1, 5, 3)


@pytest.mark.parametrize(
    "loss, message",
    [
        pytest.param(
            lambda h: h.sum((0, 1)),
            r"loss must return a Tensor of shape \(\) or \(B,\) = \(2,\): got \(3,\)",
            id="wrong shape",
        ),
        pytest.param(
            lambda h: 1.0,
            r"loss must return a Tensor of shape \(\) or \(B,\) = \(2,\): got float",
            id="no tensor",
        ),
        pytest.param(lambda h: h.detach().sum(), "loss must depend on the states", id="detached"),
    ],
)
def test_bad_losses_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        gradient_profile(VanillaRNN(1, 3), torch.ones(2, 4, 1), loss)


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
        pytest.param(
            lambda: path_count(-1), "T must be a whole number of at least 0: got -1", id="negative T"
        ),
        pytest.param(
            lambda: path_count(2.0), "T must be a whole number of at least 0: got 2.0", id="T not whole"
        ),
        pytest.param(
            lambda: path_count(2, 0), "routes must be a whole number of at least 1: got 0", id="no routes"
        ),
        pytest.param(
            lambda: path_decomposition(torch.ones(()), torch.ones(())),
            r"branch must have shape \(..., T\): got a scalar",
            id="scalar branch",
        ),
        pytest.param(
            lambda: path_decomposition(torch.ones(3), torch.ones(2, 4)),
            r"skip must broadcast to the shape of branch: got \(3,\) and \(2, 4\)",
            id="shapes do not broadcast",
        ),
    ],
)
def test_bad_paths_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
