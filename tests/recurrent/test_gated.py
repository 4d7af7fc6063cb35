"""What all gated cells must do: gates by hand, holes, streams, invariances, transforms, extremes, misuse."""

import copy
import pickle

import pytest
import torch
from gated_cells import FAST, FUSED, KINDS, make, normal, run_by_hand, series_with_holes
from torch.nn.utils import parametrizations

from helpers.recurrent import (
    GRU,
    LSTM,
    MinGRU,
    bound_spectral_norm,
    gradient_profile,
    jacobian_product,
    keep_orthogonal,
    scan,
    step_jacobians,
    truncated_bptt,
)
from helpers.series import IrregularBatch

EXACT = {"rtol": 1e-12, "atol": 1e-12}
PATHS = [
    pytest.param(kind, fast, id=f"{kind}, {'fast' if fast else 'step by step'}")
    for kind in KINDS
    for fast in ((False, True) if kind in FAST else (False,))
]
"""Every cell, on each of its paths."""
IN_ALL_CASES = [pytest.param(kind, fast, id=f"{kind}, {fast}") for kind in KINDS for fast in (False, None)]
"""Every cell, step by step and as it chooses itself."""


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gates_are_those_by_hand(kind, bias):
    model, x = make(kind, bias=bias), normal(5, 7, 3)
    h0 = normal(5, model.state_size, seed=3)
    states, gates = run_by_hand(kind, model, x, h0)
    trace, last = model(x, h0, return_gates=True, return_last=True)
    for name, expected in gates.items():
        torch.testing.assert_close(getattr(trace, name), expected, **EXACT)
    torch.testing.assert_close(model(x, h0), states[..., :4], **EXACT)
    torch.testing.assert_close(trace.h, states[..., :4], **EXACT)
    torch.testing.assert_close(last, states[:, -1], **EXACT)
    if kind == "LSTM":
        torch.testing.assert_close(trace.c, states[..., 4:], **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_told_at_every_step_also_where_states_are_held(kind):
    model, batch = make(kind), series_with_holes()
    x = torch.where(batch.mask, batch.values, 0.0)
    h0 = normal(5, model.state_size, seed=3)
    states, gates = run_by_hand(kind, model, x, h0, batch.mask.any(-1))
    trace = model(batch, h0, return_gates=True)
    torch.testing.assert_close(trace.h, states[..., :4], **EXACT)
    for name, expected in gates.items():
        torch.testing.assert_close(getattr(trace, name), expected, **EXACT)


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_gradients_of_first_and_second_order(kind, fast):
    model, x = make(kind, 2, 2), normal(2, 3, 2).requires_grad_()
    h0 = normal(2, model.state_size, seed=3).requires_grad_()
    names, weights = zip(*model.named_parameters(), strict=True)

    def outputs(x, h0, *weights):
        weights = dict(zip(names, weights, strict=True))
        how = {"fast": fast, "return_last": True, "lengths": torch.tensor([3, 2])}
        return torch.func.functional_call(model, weights, (x, h0), how)

    weights = [weight.detach().clone().requires_grad_() for weight in weights]
    assert torch.autograd.gradcheck(outputs, (x, h0, *weights))
    assert torch.autograd.gradgradcheck(outputs, (x, h0, *weights))


@pytest.mark.parametrize("filling", [torch.nan, torch.inf, 1e300], ids=str)
@pytest.mark.parametrize(("kind", "fast"), IN_ALL_CASES)
def test_each_series_runs_as_if_its_holes_and_padding_were_not_there(kind, fast, filling):
    """Its observed steps alone, one after another; between them and behind, the state stands still."""
    model, batch = make(kind), series_with_holes(filling)
    h0 = normal(5, model.state_size, seed=3)
    values = batch.values.clone().requires_grad_()
    states, last = model(values, h0, mask=batch.mask, lengths=batch.lengths, fast=fast, return_last=True)
    for b, moves in enumerate(batch.mask.any(-1)):
        kept = torch.where(batch.mask, batch.values, 0.0)[b : b + 1, moves]
        alone, end = model(kept, h0[b : b + 1], return_last=True, fast=False)
        torch.testing.assert_close(states[b, moves], alone[0], **EXACT)
        torch.testing.assert_close(last[b], end[0], **EXACT)
        before = torch.cat([model.output(h0[b : b + 1]), states[b, :-1]])
        torch.testing.assert_close(states[b, ~moves], before[~moves], **EXACT)
    states.square().sum().backward()
    assert not values.grad[~batch.mask].any()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_lengths_of_none_and_one(kind, fast):
    model, x = make(kind), normal(3, 4, 3)
    h0 = normal(3, model.state_size, seed=3)
    states, last = model(x, h0, lengths=torch.tensor([0, 1, 4]), fast=fast, return_last=True)
    assert torch.equal(last[0], h0[0])
    assert torch.equal(states[0], model.output(h0[0]).expand(4, -1))
    one = scan(model.step, h0[1:2], model.project(x[1:2, :1]))[0, 0]
    torch.testing.assert_close(last[1], one, **EXACT)
    torch.testing.assert_close(states[1], model.output(one).expand(4, -1), **EXACT)


@pytest.mark.parametrize(("kind", "fast"), IN_ALL_CASES)
def test_a_batch_is_its_values_mask_and_lengths(kind, fast):
    model, batch = make(kind), series_with_holes()
    expected = model(batch.values, mask=batch.mask, lengths=batch.lengths, fast=fast)
    assert torch.equal(model(batch, fast=fast), expected) and expected.isfinite().all()
    with pytest.raises(ValueError, match="mask must be left out where x is an IrregularBatch"):
        model(batch, mask=batch.mask)


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_the_last_state_continues_a_stream(kind, fast):
    model, x = make(kind), normal(4, 9, 3)
    h0, lengths = normal(4, model.state_size, seed=3), torch.tensor([9, 4, 2, 6])
    whole, end = model(x, h0, lengths=lengths, fast=fast, return_last=True)
    state, parts = h0, []
    for first, stop in ((0, 1), (1, 4), (4, 9)):
        part, state = model(
            x[:, first:stop],
            state,
            lengths=(lengths - first).clamp(0, stop - first),
            fast=fast,
            return_last=True,
        )
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **EXACT)
    torch.testing.assert_close(state, end, **EXACT)


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_series_do_not_touch_each_other(kind, fast):
    model, x, lengths = make(kind), normal(5, 6, 3), torch.tensor([6, 2, 5, 0, 3])
    together = model(x, lengths=lengths, fast=fast)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = model(x[order], lengths=lengths[order], fast=fast)
    torch.testing.assert_close(shuffled, together[order], **EXACT)
    for b in range(5):
        alone = model(x[b : b + 1], lengths=lengths[b : b + 1], fast=fast)
        torch.testing.assert_close(alone, together[b : b + 1], **EXACT)
    bad = x.clone()
    bad[1, 0] = torch.nan
    others = [0, 2, 3, 4]
    assert model(bad, lengths=lengths, fast=fast)[1].isnan().all()
    torch.testing.assert_close(model(bad, lengths=lengths, fast=fast)[others], together[others], **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(0, 5, 3), (2, 0, 3), (0, 0, 3), (2, 5, 0)], ids=str)
def test_nothing_in_gives_nothing_or_the_initial_state_out(kind, sizes):
    model, x = make(kind, sizes[2]), torch.zeros(sizes, dtype=torch.float64)
    h0 = normal(sizes[0], model.state_size, seed=3)
    for how in ({}, {"lengths": torch.full((sizes[0],), sizes[1])}, {"mask": torch.ones_like(x).bool()}):
        trace, last = model(x, h0, return_gates=True, return_last=True, **how)
        torch.testing.assert_close(trace.h, model(x, h0, **how), **EXACT)
        assert trace.h.shape == (*sizes[:2], 4)
        assert last.shape == h0.shape and (sizes[1] > 0 or torch.equal(last, h0))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_transforms_of_torch_func_see_the_same_function(kind):
    model, x = make(kind), normal(2, 3, 5, 3)
    each = torch.stack([model(one, fast=False) for one in x])
    torch.testing.assert_close(torch.func.vmap(model)(x), each, **EXACT)
    value, weighting = x[0].clone().requires_grad_(), normal(3, 5, 4, seed=4)
    (gradient,) = torch.autograd.grad((model(value, fast=False) * weighting).sum(), value)
    by_func = torch.func.grad(lambda x: (model(x) * weighting).sum())(x[0])
    torch.testing.assert_close(by_func, gradient, **EXACT)
    _, forwards = torch.func.jvp(model, (x[0],), (x[1],))
    torch.testing.assert_close((forwards * weighting).sum(), (gradient * x[1]).sum(), **EXACT)
    with torch.autograd.forward_ad.dual_level():
        dual = model(torch.autograd.forward_ad.make_dual(x[0], x[1]))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, forwards, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_runs_at_once(kind):
    members, x = [make(kind, seed=seed) for seed in range(3)], normal(2, 5, 3)
    weights, buffers = torch.func.stack_module_state(members)
    at_once = torch.func.vmap(
        lambda weights, buffers: torch.func.functional_call(members[0], (weights, buffers), (x,))
    )(weights, buffers)
    torch.testing.assert_close(at_once, torch.stack([member(x) for member in members]), **EXACT)


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_inference_mode_and_no_grad_change_nothing_and_leave_inputs_usable(kind, fast):
    model, x = make(kind), normal(2, 5, 3)
    expected = model(x, fast=fast)
    with torch.no_grad():
        without = model(x, fast=fast)
    assert not without.requires_grad
    torch.testing.assert_close(without, expected.detach(), **EXACT)
    with torch.inference_mode():
        made_here, h0 = x.clone(), torch.zeros(2, model.state_size, dtype=torch.float64)
        torch.testing.assert_close(model(made_here, h0, fast=fast), expected.detach(), **EXACT)
    model(made_here, h0, fast=fast).sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_evaluation_mode_has_the_same_gradient(kind, fast):
    """cuDNN keeps what a gradient needs only where it is told to train."""
    model, x = make(kind), normal(2, 5, 3)
    gradients = [
        torch.autograd.grad(model.train(mode)(x, fast=fast).square().sum(), list(model.parameters()))
        for mode in (True, False)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_can_be_copied_stored_and_printed(kind):
    model, x = make(kind), normal(2, 5, 3)
    other = make(kind, seed=9)
    other.load_state_dict(model.state_dict())
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), other):
        assert torch.equal(copied(x), model(x))
    reset = {"GRU, reset after": ", reset='after'", "GRU, reset before": ", reset='before'"}.get(kind, "")
    assert repr(model) == f"{type(model).__name__}(3, 4{reset})"


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_strides_do_not_matter(kind, fast):
    model, x = make(kind), normal(5, 2, 3).transpose(0, 1)
    h0 = normal(model.state_size, 2, seed=3).T
    assert not x.is_contiguous() and not h0.is_contiguous()
    lengths = torch.tensor([5, 3, 9, 9])[:2]
    for how in ({}, {"lengths": lengths}):
        expected = model(x.contiguous(), h0.contiguous(), fast=fast, **how)
        torch.testing.assert_close(model(x, h0, fast=fast, **how), expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_low_precision_follows_high_precision(kind, fast, dtype):
    model, x = make(kind, dtype=dtype), normal(3, 10, 3).to(dtype)
    states = model(x, fast=fast)
    assert states.dtype == dtype
    exact = copy.deepcopy(model).double()(x.double())
    assert (states.double() - exact).abs().max() < 8 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("kind", "fast"), IN_ALL_CASES)
def test_autocast_computes_in_half_what_it_computes_without(kind, fast):
    model, x = make(kind, dtype=torch.float32), normal(3, 10, 3, dtype=torch.float32)
    expected = model(x, fast=fast)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(x, fast=fast)
    torch.testing.assert_close(states.float(), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("bias", [1e4, -1e4])
@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_saturated_gates_give_limits_and_no_nan(kind, fast, bias):
    model = make(kind)
    with torch.no_grad():
        model.b.fill_(bias)
    h0 = 0.5 * torch.ones(2, model.state_size, dtype=torch.float64)
    x = normal(2, 6, 3).requires_grad_()
    states, last = model(x, h0, fast=fast, return_last=True)
    states.square().sum().backward()
    gradients = [x.grad, *(weight.grad for weight in model.parameters())]
    assert last.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    if kind == "LSTM":  # all open: c counts the steps; all closed: both states are emptied
        c = 6.5 if bias > 0 else 0.0
        torch.testing.assert_close(last[:, 4:], torch.full((2, 4), c).double(), **EXACT)
    elif bias < 0:
        assert torch.equal(last, h0)
    elif kind != "minimal GRU":
        assert torch.equal(last, torch.ones_like(last))


@pytest.mark.parametrize(("kind", "fast"), PATHS)
def test_huge_inputs_and_zero_weights_stay_finite(kind, fast):
    model, x = make(kind, dtype=torch.float32), 1e30 * normal(2, 6, 3, dtype=torch.float32)
    assert model(x, fast=fast).isfinite().all()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    h0 = torch.ones(2, model.state_size)
    last = model(x, h0, fast=fast, return_last=True)[1]
    torch.testing.assert_close(last[:, -4:], torch.full((2, 4), 0.5**6))  # every gate is half open


@pytest.mark.parametrize("kind", FUSED)
def test_a_constrained_weight_is_computed_once_on_either_path(kind):
    vectors = []
    for fast in (False, True):
        model = make(kind).train()
        torch.manual_seed(0)
        parametrizations.spectral_norm(model, "W_hh", n_power_iterations=1)
        model(normal(2, 5, 3), fast=fast, return_gates=False)
        vectors.append(model.parametrizations.W_hh[0]._u)
        model(normal(2, 5, 3), return_gates=True)
        vectors.append(model.parametrizations.W_hh[0]._u.clone())
    assert torch.equal(vectors[1], vectors[3])


@pytest.mark.parametrize(
    "constrain", [keep_orthogonal, lambda model: bound_spectral_norm(model, 1.0)], ids=["orthogonal", "norm"]
)
def test_weights_that_are_not_square_take_no_constraint_of_squares(constrain):
    with pytest.raises(ValueError, match=r"name must be that of a square weight .* 'W_hh' is \(12, 4\)"):
        constrain(GRU(3, 4))
    with pytest.raises(ValueError, match="name must be that of a square weight .* 'W_hh' is None"):
        constrain(MinGRU(3, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides_the_weights_and_pytorchs_stream_is_left_alone(kind):
    before = torch.get_rng_state()
    first, again = make(kind, seed=7), make(kind, seed=7)
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other) and one.abs().max() <= 0.5
    assert not torch.equal(first.W_xh, make(kind, seed=8).W_xh)


STARTS = [
    pytest.param(LSTM, "forget_bias", slice(4, 8), id="LSTM, forget bias"),
    pytest.param(GRU, "update_bias", slice(4, 8), id="GRU, update bias"),
]


@pytest.mark.parametrize(("cell", "name", "block"), STARTS)
def test_a_bias_starts_where_it_was_told_to_whenever_weights_are_drawn(cell, name, block):
    def drawn(**start):
        return cell(3, 4, generator=torch.Generator().manual_seed(0), **start)

    plain, started = drawn(), drawn(**{name: -2.5})
    others = torch.ones(len(plain.b)).bool()
    others[block] = False
    assert (started.b[block] == -2.5).all() and torch.equal(started.b[others], plain.b[others])
    assert torch.equal(started.W_hh, plain.W_hh)
    started.reset_parameters()
    assert (started.b[block] == -2.5).all() and not torch.equal(started.b[others], plain.b[others])
    assert (drawn(**{name: torch.tensor(1.5)}).b[block] == 1.5).all()
    with pytest.raises(ValueError, match=f"{name} must be left out without a bias: got 1.0"):
        cell(3, 4, bias=False, **{name: 1.0})
    with pytest.raises(ValueError, match=f"{name} must be a finite number: got nan"):
        cell(3, 4, **{name: torch.nan})
    with pytest.raises(ValueError, match=f"{name} must be a number that torch.float16 can hold: got 1e"):
        cell(3, 4, dtype=torch.float16, **{name: 1e20})


ONES = torch.ones(4, 5, 3)
BAD_CALLS = {
    "negative size": (lambda cell: cell(-1, 4), "input_size must be a whole number of at least 0: got -1"),
    "no units": (lambda cell: cell(3, 0), "hidden_size must be a whole number of at least 1: got 0"),
    "x without batch": (lambda cell: cell(3, 4)(ONES[0]), r"x must have shape \(B, T, 3\): got \(5, 3\)"),
    "x of another size": (lambda cell: cell(2, 4)(ONES), r"x must have shape \(B, T, 2\): got \(4, 5, 3\)"),
    "x of another dtype": (
        lambda cell: cell(3, 4)(ONES.double()),
        "x must have the dtype of the weights: got torch.float64 and torch.float32",
    ),
    "whole numbers": (
        lambda cell: cell(3, 4)(ONES.long()),
        "x must have the dtype of the weights: got torch.int64",
    ),
    "a list": (
        lambda cell: cell(3, 4)(ONES.tolist()),
        "x must be a tensor or an IrregularBatch: got list; torch",
    ),
    "x on another device": (
        lambda cell: cell(3, 4)(ONES.to("meta")),
        "x must have the device of the weights: got meta and cpu",
    ),
    "h0 of another size": (
        lambda cell: cell(3, 4)(ONES, torch.zeros(4, 3)),
        r"h0 must have shape \(B, [48]\) = \(4, [48]\): got \(4, 3\)",
    ),
    "h0 of another dtype": (
        lambda cell: cell(3, 4)(ONES, torch.zeros(4, cell(3, 4).state_size).double()),
        "h0 must have the dtype of the inputs: got torch.float64 and torch.float32",
    ),
    "mask not bool": (lambda cell: cell(3, 4)(ONES, mask=ONES), "mask must be bool: got torch.float32"),
    "mask of another shape": (
        lambda cell: cell(3, 4)(ONES, mask=ONES[0].bool()),
        r"mask must have the shape \(4, 5, 3\) of x: got \(5, 3\)",
    ),
    "lengths of another batch": (
        lambda cell: cell(3, 4)(ONES, lengths=torch.tensor([5])),
        r"lengths must have shape \(B,\) = \(4,\): got \(1,\)",
    ),
    "lengths not whole": (
        lambda cell: cell(3, 4)(ONES, lengths=torch.ones(4)),
        "lengths must be integers: got torch.float32",
    ),
    "length beyond T": (
        lambda cell: cell(3, 4)(ONES, lengths=torch.tensor([5, 6, 0, 0])),
        "lengths must lie between 0 and T = 5: series 1 has length 6",
    ),
    "fast neither True nor False": (
        lambda cell: cell(3, 4)(ONES, fast="yes"),
        "fast must be True, False or left out: got 'yes'",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments_are_refused_by_name(kind, case):
    call, message = BAD_CALLS[case]
    with pytest.raises(ValueError, match=message):
        call(KINDS[kind])


@pytest.mark.parametrize("kind", ["LSTM", "GRU, reset after", "minimal GRU"])
def test_truncated_backpropagation_of_one_window_is_the_whole_gradient(kind):
    model, batch = make(kind), series_with_holes()

    def loss(states, steps):
        return model.output(states).square().sum()

    expected = torch.autograd.grad(model(batch).square().sum(), list(model.parameters()))
    done = truncated_bptt(model, batch, loss, 6)
    torch.testing.assert_close([weight.grad for weight in model.parameters()], list(expected), **EXACT)
    torch.testing.assert_close(done.state, model(batch, return_last=True)[1].detach(), **EXACT)
    model.zero_grad()
    shorter = truncated_bptt(model, batch, loss, 2)
    torch.testing.assert_close(shorter.loss, done.loss, **EXACT)
    assert not torch.allclose(model.W_xh.grad, expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_product_of_all_jacobians_is_that_of_the_whole_forward_pass(kind):
    model, batch = make(kind, units=2), series_with_holes()
    h0 = normal(5, model.state_size, seed=3)
    full = torch.autograd.functional.jacobian(lambda h: model(batch, h, return_last=True)[1], h0)
    whole = torch.stack([full[b, :, b] for b in range(5)])
    torch.testing.assert_close(jacobian_product(model, batch, 0, h0=h0).matrix, whole, rtol=1e-10, atol=1e-12)
    held = ~batch.mask.any(-1)
    identity = torch.eye(model.state_size).double().expand(int(held.sum()), -1, -1)
    assert torch.equal(step_jacobians(model, batch, h0=h0)[held], identity)


@pytest.mark.parametrize("kind", KINDS)
def test_both_parts_of_a_gradient_add_up_and_the_highway_passes_by_the_gates(kind):
    """∂c_t/∂c_{t-1} = f_t in an LSTM, ∂h_t/∂h_{t-1} = 1 - z_t in a GRU, 1 where the state is held."""
    model, batch = make(kind), series_with_holes()

    def loss(states):  # of an LSTM, of c alone
        return states[:, -1, -4:].square().sum(-1)

    profile = gradient_profile(model, batch, loss, by_path=True)
    plain = gradient_profile(model, batch, loss)
    torch.testing.assert_close(profile.gradients, plain.gradients, rtol=0, atol=0)
    assert plain.highway is None and plain.through_gates is None
    torch.testing.assert_close(profile.highway + profile.through_gates, profile.gradients, **EXACT)
    trace, held = model(batch, return_gates=True), ~batch.mask.any(-1)
    factor = torch.where(held.unsqueeze(-1), 1.0, trace.f if kind == "LSTM" else 1 - trace.z)
    highway = profile.highway[..., -4:]
    torch.testing.assert_close(highway[:, :-1], (highway[:, 1:] * factor).detach(), **EXACT)
    if kind == "minimal GRU":
        assert not profile.through_gates.any()


def test_an_irregular_batch_of_whole_series_takes_the_fast_path():
    x = normal(2, 4, 3)
    times = torch.arange(4.0, dtype=torch.float64).repeat(2, 1)
    batch = IrregularBatch(times, x, torch.ones_like(x).bool(), torch.tensor([4, 4]))
    model = make("LSTM")
    torch.testing.assert_close(model(batch, fast=True), model(batch, fast=False), **EXACT)
