"""VanillaRNN and LeakyRNN against torch.nn.RNN, closed forms and misuse."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from helpers.recurrent import (
    LeakyRNN,
    VanillaRNN,
    from_torch,
    gradient_profile,
    jacobian_product,
    step_jacobians,
)
from helpers.series import IrregularBatch

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def like_torchs(nonlinearity, dtype, device, generator, bias=True):
    """A torch.nn.RNN and a VanillaRNN with its weights."""
    theirs = nn.RNN(3, 8, nonlinearity=nonlinearity, bias=bias, batch_first=True, dtype=dtype, device=device)
    for weight in theirs.parameters():
        nn.init.uniform_(weight, -0.4, 0.4, generator=generator)
    return theirs, from_torch(theirs)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_states_and_gradients_are_torchs(nonlinearity, dtype, bias, device, generator):
    theirs, ours = like_torchs(nonlinearity, dtype, device, generator, bias)
    x = torch.randn(5, 20, 3, generator=generator, dtype=dtype, device=device, requires_grad=True)
    h0 = torch.randn(5, 8, generator=generator, dtype=dtype, device=device, requires_grad=True)
    weighting = torch.randn(5, 20, 8, generator=generator, dtype=dtype, device=device) / 100
    expected, found = theirs(x, h0.unsqueeze(0))[0], ours(x, h0)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected, **tolerance)
    wanted = [x, h0, theirs.weight_ih_l0, theirs.weight_hh_l0] + ([theirs.bias_ih_l0] if bias else [])
    own = [x, h0, ours.W_xh, ours.W_hh] + ([ours.b] if bias else [])
    torch.testing.assert_close(
        torch.autograd.grad((found * weighting).sum(), own),
        torch.autograd.grad((expected * weighting).sum(), wanted),
        **tolerance,
    )


def test_linear_network_is_a_sum_over_the_past():
    """h_T = Σ_t W^(T-t) (W_xh x_t + b)."""
    model = VanillaRNN(2, 4, "linear", dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = torch.randn(3, 6, 2, dtype=torch.float64)
    powers = [torch.linalg.matrix_power(model.W_hh, 5 - t) for t in range(6)]
    expected = sum((x[:, t] @ model.W_xh.T + model.b) @ powers[t].T for t in range(6))
    torch.testing.assert_close(model(x)[:, -1], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_gradients_of_first_and_second_order(activation):
    generator = torch.Generator().manual_seed(2)
    model = LeakyRNN(
        2, 3, activation, tau=torch.tensor([2.0, 3.0, 5.0]), dt=1.0, learn_tau=True, dtype=torch.float64
    )
    x = torch.randn(2, 4, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    names, weights = zip(*model.named_parameters(), strict=True)

    def states(x, *weights):
        return torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x,))

    weights = [weight.detach().clone().requires_grad_() for weight in weights]
    assert len(weights) == 4
    assert torch.autograd.gradcheck(states, (x, *weights))
    assert torch.autograd.gradgradcheck(states, (x, *weights))


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_leaky_network_with_tau_equal_to_dt_is_the_vanilla_one(activation, device, generator):
    vanilla = VanillaRNN(3, 8, activation, device=device, generator=generator)
    leaky = LeakyRNN(3, 8, activation, tau=0.5, dt=0.5, device=device)
    leaky.load_state_dict(vanilla.state_dict(), strict=False)
    x = torch.randn(4, 10, 3, generator=generator, device=device)
    torch.testing.assert_close(leaky(x), vanilla(x), rtol=0, atol=0)


def test_leaky_units_without_input_forget_by_the_factor_one_minus_alpha():
    tau = torch.tensor([1.0, 4.0, 100.0], dtype=torch.float64)
    model = LeakyRNN(0, 3, tau=tau, dt=0.5, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.W_hh)
    h = model(torch.zeros(1, 7, 0, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))[0, -1]
    torch.testing.assert_close(h, (1 - 0.5 / tau) ** 7)


@pytest.mark.parametrize("dt", [torch.tensor(0.5), torch.tensor(0.5).numpy()[()]], ids=["tensor", "NumPy"])
def test_a_time_step_may_be_whatever_holds_one_number(dt):
    assert LeakyRNN(1, 2, tau=2.0, dt=dt).alpha.tolist() == [0.25, 0.25]


def test_leaky_network_converges_to_its_differential_equation_at_first_order():
    """τ dh/dt = -h + tanh(w h + p): the error of Euler's method halves with the step."""
    reference, errors = None, []
    for dt in (1 / 4096, 1 / 16, 1 / 32, 1 / 64):
        model = LeakyRNN(1, 1, tau=2.0, dt=dt, bias=False, dtype=torch.float64)
        nn.init.constant_(model.W_hh, 1.7), nn.init.constant_(model.W_xh, 1.0)
        steps = round(3 / dt)
        time = dt * torch.arange(steps, dtype=torch.float64)
        with torch.no_grad():
            end = model(torch.cos(time).reshape(1, -1, 1))[0, -1, 0]
        reference = end if reference is None else reference
        errors.append((end - reference).abs().item())
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.1)
    assert errors[2] / errors[3] == pytest.approx(2, abs=0.1)


def test_learnt_time_constants_start_as_given_and_stay_above_dt():
    tau = torch.tensor([1.1, 3.0, 1000.0], dtype=torch.float64)
    model = LeakyRNN(1, 3, tau=tau, dt=1.0, learn_tau=True, dtype=torch.float64)
    torch.testing.assert_close(model.tau, tau)
    optimiser = torch.optim.SGD(model.parameters(), lr=100.0)
    for _ in range(5):
        optimiser.zero_grad()
        model(torch.ones(2, 5, 1, dtype=torch.float64)).square().mean().backward()
        optimiser.step()
    assert not torch.isclose(model.tau, tau).any() and (model.tau > 1).all()


def test_a_step_without_observation_and_padding_hold_the_state(device, generator):
    model = VanillaRNN(2, 4, device=device, generator=generator)
    x = torch.randn(3, 6, 2, device=device, generator=generator)
    mask = torch.ones(3, 6, 2, dtype=torch.bool, device=device)
    mask[1, 2] = False
    lengths = torch.tensor([6, 6, 4], device=device)
    x = torch.where(mask, x, torch.nan)
    x[2, 4:] = torch.nan
    states = model(x, mask=mask, lengths=lengths)
    kept = torch.cat([x[1:2, :2], x[1:2, 3:]], dim=1)
    torch.testing.assert_close(states[1, 2], states[1, 1])
    torch.testing.assert_close(states[1:2, [0, 1, 3, 4, 5]], model(kept))
    torch.testing.assert_close(states[2:, :4], model(x[2:, :4]))
    torch.testing.assert_close(states[2, 4:], states[2, 3].expand(2, 4))
    states.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_an_unobserved_feature_adds_nothing():
    model = VanillaRNN(2, 4)
    x = torch.randn(1, 3, 2)
    mask = torch.tensor([[[True, False], [True, True], [False, True]]])
    alone = torch.where(mask, x, 0.0)
    torch.testing.assert_close(model(torch.where(mask, x, torch.nan), mask=mask), model(alone))


def test_lengths_agree_with_torchs_packed_sequences(generator, device):
    theirs, ours = like_torchs("tanh", torch.float64, device, generator)
    x = torch.randn(4, 9, 3, dtype=torch.float64, generator=generator, device=device)
    lengths = torch.tensor([9, 1, 5, 3])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    last = theirs(packed)[1][0]
    torch.testing.assert_close(ours(x, lengths=lengths.to(device))[:, -1], last, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 4), st.integers(0, 6), st.integers(0, 3), st.integers(1, 5), st.randoms())
def test_each_series_is_computed_as_if_alone(series, steps, features, units, random):
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    model = VanillaRNN(features, units, generator=generator, dtype=torch.float64)
    x = torch.randn(series, steps, features, generator=generator, dtype=torch.float64)
    states = model(x)
    assert states.shape == (series, steps, units)
    for b in range(series):
        torch.testing.assert_close(states[b : b + 1], model(x[b : b + 1]), rtol=1e-12, atol=1e-12)


def test_one_bad_series_leaves_the_others_alone():
    model = VanillaRNN(2, 4)
    x = torch.randn(3, 5, 2)
    bad = x.clone()
    bad[1, 2] = torch.nan
    torch.testing.assert_close(model(bad)[[0, 2]], model(x)[[0, 2]])


def test_the_generator_decides_the_weights_and_pytorchs_stream_is_left_alone():
    before = torch.get_rng_state()
    first, again = (VanillaRNN(2, 5, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.W_hh, again.W_hh) and first.W_hh.abs().max() <= 5**-0.5
    assert VanillaRNN(2, 5, bias=False).b is None


def test_a_network_can_be_pickled_and_printed():
    for activation in ("tanh", "relu", "linear"):
        model = VanillaRNN(2, 3, activation)
        x = torch.randn(1, 4, 2)
        torch.testing.assert_close(pickle.loads(pickle.dumps(model))(x), model(x), rtol=0, atol=0)
        assert repr(model) == f"VanillaRNN(2, 3, activation='{activation}')"


def test_a_constrained_weight_is_computed_once_per_sequence():
    model = VanillaRNN(2, 4).train()
    parametrizations.spectral_norm(model, "W_hh", n_power_iterations=1)
    vector = model.parametrizations.W_hh[0]._u.clone()
    matrix = model.parametrizations.W_hh.original.detach()
    model(torch.randn(1, 50, 2))
    one_iteration = nn.functional.normalize(matrix @ nn.functional.normalize(matrix.T @ vector, dim=0), dim=0)
    torch.testing.assert_close(model.parametrizations.W_hh[0]._u, one_iteration)


BAD_CALLS = [
    pytest.param(
        lambda: VanillaRNN(-1, 3),
        "input_size must be a whole number of at least 0: got -1",
        id="negative input size",
    ),
    pytest.param(
        lambda: VanillaRNN(1, 2.0),
        "hidden_size must be a whole number of at least 1: got 2.0",
        id="size not whole",
    ),
    pytest.param(
        lambda: VanillaRNN(1, 2, "gelu"),
        "activation must be one of tanh, relu, linear: got 'gelu'",
        id="unknown activation",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 2)),
        r"x must have shape \(B, T, 2\): got \(4, 2\)",
        id="x without batch",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 3)),
        r"x must have shape \(B, T, 2\): got \(4, 5, 3\)",
        id="x of another size",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2).double()),
        "x must have the dtype of the weights: got torch.float64 and torch.float32",
        id="x of another dtype",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2, device="meta")),
        "x must have the device of the weights: got meta and cpu",
        id="x on another device",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2), torch.zeros(1, 3)),
        r"h0 must have shape \(B, 3\) = \(4, 3\): got \(1, 3\)",
        id="h0 of another batch",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2), torch.zeros(4, 3).double()),
        "h0 must have the dtype of the inputs: got torch.float64 and torch.float32",
        id="h0 of another dtype",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2), mask=torch.ones(4, 5, 2)),
        "mask must be bool: got torch.float32",
        id="mask not bool",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(4, 5, 2), mask=torch.ones(4, 5, dtype=torch.bool)),
        r"mask must have the shape \(4, 5, 2\) of x: got \(4, 5\)",
        id="mask of another shape",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(
            torch.ones(4, 5, 2), mask=torch.ones(4, 5, 2, dtype=torch.bool, device="meta")
        ),
        "mask must have the device of x: got meta and cpu",
        id="mask on another device",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), lengths=torch.tensor([5])),
        r"lengths must have shape \(B,\) = \(2,\): got \(1,\)",
        id="lengths of another batch",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), lengths=torch.tensor([5.0, 1.0])),
        "lengths must be integers: got torch.float32",
        id="lengths not whole",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), lengths=torch.ones(2, dtype=torch.int, device="meta")),
        "lengths must have the device of x: got meta and cpu",
        id="lengths on another device",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), lengths=torch.tensor([5, 6])),
        "lengths must lie between 0 and T = 5: series 1 has length 6",
        id="length beyond T",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=1.0, dt=0.0), "dt must be positive and finite: got 0.0", id="dt of zero"
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=1.0, dt=torch.tensor(torch.nan)),
        r"dt must be positive and finite: got tensor\(nan\)",
        id="dt of NaN",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=torch.ones(2), dt=1.0),
        r"tau must be one number or have shape \(H,\) = \(3,\): got \(2,\)",
        id="tau of another size",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=torch.tensor([1.0, 2.0, 0.5]), dt=1.0),
        "tau must be finite and at least dt = 1.0: unit 2 has tau = 0.5",
        id="tau below dt",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=[1.0, 2.0, 3.0], dt=1.0),
        r"tau must be one number or a tensor: got list; torch.as_tensor\(tau\) makes it a tensor",
        id="tau as a list",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), lengths=[5, 4]),
        r"lengths must be a tensor: got list; torch.as_tensor\(lengths\) makes it a tensor",
        id="lengths as a list",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), mask=np.ones((2, 5, 2), dtype=bool)),
        r"mask must be a bool tensor: got ndarray; torch.as_tensor\(mask\) makes it a tensor",
        id="mask as an array",
    ),
    pytest.param(
        lambda: VanillaRNN(2, 3)(torch.ones(2, 5, 2), torch.zeros(2, 3).double()),
        "h0 must have the dtype of the inputs: got torch.float64 and torch.float32",
        id="h0 in float64",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=math.inf, dt=1.0),
        "tau must be finite and at least dt = 1.0: unit 0 has tau = inf",
        id="infinite tau",
    ),
    pytest.param(
        lambda: LeakyRNN(2, 3, tau=1.0, dt=1.0, learn_tau=True),
        "tau must be larger than dt where it is learnt: unit 0 has tau = dt",
        id="learnt tau of dt",
    ),
]


@pytest.mark.parametrize("call, message", BAD_CALLS)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


HOSTILE = {
    "list": ([[[0.0, 1.0]]], "x must be a tensor.*: got list"),
    "numpy": (np.zeros((2, 5, 2)), r"x must be a tensor.*: got ndarray; torch.as_tensor\(x\)"),
    "None": (None, "x must be a tensor.*: got None"),
    "float64": (torch.ones(2, 5, 2).double(), "x must have the dtype of the weights: got torch.float64 and"),
    "one axis": (torch.ones(2), r"x must have shape \(B, T, 2\): got \(2,\)"),
    "features": (torch.ones(2, 5, 3), r"x must have shape \(B, T, 2\): got \(2, 5, 3\)"),
}
RUNS = {
    "forward": lambda model, x: model(x),
    "gradient_profile": lambda model, x: gradient_profile(model, x, torch.sum),
    "jacobian_product": lambda model, x: jacobian_product(model, x, 0),
    "step_jacobians": lambda model, x: step_jacobians(model, x),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(("x", "message"), HOSTILE.values(), ids=HOSTILE)
def test_every_run_of_a_cell_names_what_is_wrong_with_its_input(run, x, message):
    with pytest.raises(ValueError, match=message):
        run(VanillaRNN(2, 3), x)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 1, 2)], ids=["no series", "one step"])
def test_every_run_takes_small_batches(run, shape):
    run(VanillaRNN(2, 3), torch.ones(shape))


def test_a_network_without_input_moves_at_every_step_of_its_series():
    """Nothing is there to be observed: only the lengths hold it."""
    model = VanillaRNN(0, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, lengths = torch.zeros(3, 6, 0, dtype=torch.float64), torch.tensor([6, 2, 0])
    free, states = model(x), model(x, lengths=lengths)
    assert (free.diff(dim=1).abs().amax(-1) > 0).all()
    for series, length in enumerate(lengths.tolist()):
        assert torch.equal(states[series, :length], free[series, :length])
        held = free[series, length - 1] if length else torch.zeros(3, dtype=torch.float64)
        assert torch.equal(states[series, length:], held.expand(6 - length, 3))
    assert torch.equal(model(x, mask=torch.ones(3, 6, 0).bool()), free)


@pytest.mark.parametrize("kind", [VanillaRNN, partial(LeakyRNN, tau=3.0, dt=1.0)], ids=["vanilla", "leaky"])
def test_a_batch_is_its_values_mask_and_lengths(kind):
    batch = gappy_batch()
    model = kind(2, 3, dtype=torch.float64)
    expected = model(batch.values, mask=batch.mask, lengths=batch.lengths)
    assert torch.equal(model(batch), expected)
    assert expected.isfinite().all()
    with pytest.raises(
        ValueError, match="mask must be left out where x is an IrregularBatch, which has its own"
    ):
        model(batch, mask=batch.mask)


def test_a_batch_runs_as_torch_runs_its_packed_series():
    """Where every step is observed, torch.nn.RNN on packed sequences is the oracle."""
    generator = torch.Generator().manual_seed(4)
    lengths = torch.tensor([7, 3, 5])
    x = torch.randn(3, 7, 2, generator=generator, dtype=torch.float64)
    valid = torch.arange(7) < lengths.unsqueeze(-1)
    times = torch.arange(7.0).repeat(3, 1)
    hidden = torch.where(valid.unsqueeze(-1), x, torch.nan)
    batch = IrregularBatch(times, hidden, valid.unsqueeze(-1).expand_as(x), lengths)
    rnn = nn.RNN(2, 4, batch_first=True, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, last = rnn(packed)
    torch.testing.assert_close(from_torch(rnn)(batch)[:, -1], last[0], rtol=1e-12, atol=1e-12)


def test_nan_behind_the_mask_reaches_no_gradient():
    batch = gappy_batch()
    values = batch.values.clone().requires_grad_()
    model = VanillaRNN(2, 3, dtype=torch.float64)
    model(values, mask=batch.mask, lengths=batch.lengths).square().sum().backward()
    assert not values.grad[~batch.mask].any()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def gappy_batch():
    """Three series with gaps, NaN wherever nothing was seen; the last is empty."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([6, 4, 0])
    valid = torch.arange(6) < lengths.unsqueeze(-1)
    mask = (torch.rand(3, 6, 2, generator=generator) < 0.6) & valid.unsqueeze(-1)
    values = torch.randn(3, 6, 2, generator=generator, dtype=torch.float64)
    times = torch.arange(6.0, dtype=torch.float64).repeat(3, 1)
    return IrregularBatch(times, torch.where(mask, values, torch.nan), mask, lengths)
