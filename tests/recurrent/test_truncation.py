"""truncated_bptt against full backpropagation, closed forms and PyTorch's detach."""

import pytest
import torch
from protocol_cells import JoinedLSTM
from torch import nn

from helpers.recurrent import (
    GRU,
    LSTM,
    VanillaRNN,
    from_torch,
    gradient_profile,
    keep_orthogonal,
    truncated_bptt,
    truncated_loss,
    truncation_curve,
)
from helpers.series import IrregularBatch

STEPS = 12


def squares(states, steps):
    """A loss of every step."""
    return states.square().sum() / (STEPS * len(states))


def last_square(states, steps):
    """A loss of the last step alone."""
    return states[:, -1].square().sum() if steps.stop == STEPS else states.new_zeros(())


def example(device="cpu", series=3):
    generator = torch.Generator(device).manual_seed(0)
    arguments = {"dtype": torch.float64, "device": device, "generator": generator}
    return VanillaRNN(2, 5, **arguments), torch.randn(series, STEPS, 2, **arguments)


def gradients(model):
    return {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("K", [STEPS, STEPS + 1, 1000])
@pytest.mark.parametrize("loss", [squares, last_square])
def test_windows_as_long_as_the_series_give_the_full_gradient(loss, K, device):
    model, x = example(device)
    value = loss(model(x), slice(0, STEPS))
    expected = dict(zip(gradients(model), torch.autograd.grad(value, model.parameters()), strict=True))
    done = truncated_bptt(model, x, loss, K)
    torch.testing.assert_close(gradients(model), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(done.loss, value.detach())
    torch.testing.assert_close(done.state, model(x)[:, -1].detach())


@pytest.mark.parametrize("K", [1, 3, 5, 7])
def test_windows_lie_as_pytorchs_detach_would_lay_them_from_the_end(K):
    _, x = example()
    theirs = nn.RNN(2, 5, batch_first=True, dtype=torch.float64)
    model = from_torch(theirs)
    cuts = [0, *range((STEPS - 1) % K + 1, STEPS + 1, K)]
    h, expected_loss = torch.zeros(1, 3, 5, dtype=torch.float64), 0.0
    for start, stop in zip(cuts, cuts[1:], strict=False):
        states, h = theirs(x[:, start:stop], h.detach())
        value = squares(states, slice(start, stop))
        value.backward()
        expected_loss += value.item()
    done = truncated_bptt(model, x, squares, K)
    torch.testing.assert_close(model.W_hh.grad, theirs.weight_hh_l0.grad, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(model.W_xh.grad, theirs.weight_ih_l0.grad, rtol=1e-10, atol=1e-14)
    assert done.loss.item() == pytest.approx(expected_loss, rel=1e-12)


@pytest.mark.parametrize("K", [1, 4, 5, STEPS])
def test_truncated_gradient_of_a_scalar_linear_network(K):
    """h_t = w h_{t-1}, L = h_T: the last K of the T equal terms w^(T-1) h_0 of dL/dw are left."""
    model = VanillaRNN(0, 1, "linear", bias=False, dtype=torch.float64)
    nn.init.constant_(model.W_hh, 0.8)
    x, h0 = torch.zeros(1, STEPS, 0, dtype=torch.float64), torch.full((1, 1), 3.0, dtype=torch.float64)

    def last(states, steps):
        return states[:, -1].sum() if steps.stop == STEPS else states.new_zeros(())

    truncated_bptt(model, x, last, K, h0=h0)
    assert model.W_hh.grad.item() == pytest.approx(K * 0.8 ** (STEPS - 1) * 3, rel=1e-12)
    curve = truncation_curve(model, x, last, [K], h0=h0)
    assert curve.relative_error.item() == pytest.approx(1 - K / STEPS, abs=1e-12)
    assert curve.cosine.item() == pytest.approx(1)


@pytest.mark.parametrize("K", [1, 5, STEPS])
def test_the_loss_for_the_training_loop_has_the_same_gradient(K):
    model, x = example()
    expected = torch.autograd.grad(truncated_loss(model, x, squares, K), model.parameters())
    truncated_bptt(model, x, squares, K)
    torch.testing.assert_close(list(gradients(model).values()), list(expected), rtol=1e-12, atol=1e-14)


def test_it_adds_to_the_gradient_of_everything_behind_the_states_too():
    model, x = example()
    read_out = nn.Linear(5, 1, dtype=torch.float64)

    def loss(states, steps):
        return read_out(states).square().sum()

    expected = 2 * torch.autograd.grad(loss(model(x), None), read_out.weight)[0]
    for _ in range(2):
        truncated_bptt(model, x, loss, 4)
    torch.testing.assert_close(read_out.weight.grad, expected)


def test_a_stream_goes_on_where_the_last_batch_ended():
    model, x = example()
    first = truncated_bptt(model, x[:, :8], squares, 4)
    second = truncated_bptt(model, x[:, 8:], squares, 4, h0=first.state)
    streamed = gradients(model)
    model.W_hh.grad = model.W_xh.grad = model.b.grad = None
    whole = truncated_bptt(model, x, squares, 4)
    torch.testing.assert_close(streamed, gradients(model))
    torch.testing.assert_close(first.loss + second.loss, whole.loss)
    torch.testing.assert_close(second.state, whole.state)


def test_masks_and_lengths_are_cut_with_their_windows():
    model, x = example()
    lengths = torch.tensor([12, 7, 2])
    broken = x.clone()
    broken[1, 7:] = torch.nan
    value = squares(model(x, lengths=lengths), None)
    expected = torch.autograd.grad(value, model.parameters())
    truncated_bptt(model, broken, squares, STEPS, lengths=lengths)
    torch.testing.assert_close(list(gradients(model).values()), list(expected))
    done = truncated_bptt(model, broken, squares, 5, lengths=lengths)
    torch.testing.assert_close(done.loss, value.detach())


def test_inputs_that_want_a_gradient_get_it_from_every_window():
    model, x = example()
    mask = torch.ones_like(x).bool()
    mask[0, 3] = False
    x.requires_grad_()
    for how in ({"mask": mask}, {"lengths": torch.tensor([12, 7, 2], dtype=torch.int8)}):
        (expected,) = torch.autograd.grad(truncated_loss(model, x, squares, 5, **how), x)
        x.grad = None
        truncated_bptt(model, x, squares, 5, **how)
        torch.testing.assert_close(x.grad, expected)


def test_bias_falls_with_k_and_vanishes_at_t():
    model, x = example()
    curve = truncation_curve(model, x, last_square, [1, 2, 4, 8, STEPS, 50])
    errors = curve.relative_error.tolist()
    assert errors == sorted(errors, reverse=True) and errors[0] > 0.05
    assert max(errors[4:]) < 1e-14
    assert curve.cosine[4:].tolist() == pytest.approx([1, 1]) and (curve.cosine <= 1 + 1e-12).all()
    assert all(gradient is None for gradient in gradients(model).values())


def test_bias_is_that_of_the_gradients_themselves():
    model, x = example()
    flat = []
    for K in (STEPS, 3):
        model.zero_grad()
        truncated_bptt(model, x, squares, K)
        flat.append(torch.cat([gradient.flatten() for gradient in gradients(model).values()]))
    full, truncated = flat
    curve = truncation_curve(model, x, squares, [3])
    torch.testing.assert_close(curve.relative_error[0], (truncated - full).norm() / full.norm())
    torch.testing.assert_close(curve.cosine[0], truncated @ full / (truncated.norm() * full.norm()))


def test_peak_memory_is_that_of_the_saved_tensors_of_one_window():
    """A step saves x_t, h_t for the loop and h_t again for the loss: 8 (D + 2 H) bytes for each series."""
    model, x = example(series=10)
    curve = truncation_curve(model, x, squares, [2, 4, 8, STEPS])
    two, four, eight, all_steps = curve.peak_bytes
    per_step = 10 * 8 * (2 + 2 * 5)
    assert [four - two, eight - four, all_steps - eight] == [2 * per_step, 4 * per_step, 4 * per_step]
    assert two - 2 * per_step == 10 * 8 * 5  # the initial state


def test_it_works_through_the_protocol_and_with_constrained_weights():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, STEPS, 2, dtype=torch.float64, generator=generator)
    constrained, _ = example()
    keep_orthogonal(constrained)
    for model in (
        JoinedLSTM(2, 3),
        LSTM(2, 3, dtype=torch.float64),
        GRU(2, 4, dtype=torch.float64),
        constrained,
    ):
        curve = truncation_curve(model, x, squares, [1, STEPS])
        assert curve.relative_error[0] > 1e-3 and curve.relative_error[1] < 1e-14


@pytest.mark.parametrize(
    "call, message",
    [
        pytest.param(
            lambda m, x: truncated_bptt(m, x, squares, 0),
            "K must be a whole number of at least 1: got 0",
            id="K of zero",
        ),
        pytest.param(
            lambda m, x: truncated_loss(m, x, squares, 2.5),
            "K must be a whole number of at least 1: got 2.5",
            id="K not whole",
        ),
        pytest.param(
            lambda m, x: truncated_bptt(m, x[:, :0], squares, 2),
            "x must have at least one step",
            id="no steps",
        ),
        pytest.param(
            lambda m, x: truncated_bptt(m, x, lambda h, steps: h.sum(-1), 5),
            r"loss must return a scalar for each window: got shape \(3, 2\)",
            id="loss no scalar",
        ),
        pytest.param(
            lambda m, x: truncated_bptt(m, x, lambda h, steps: h.detach().sum(), 5),
            "loss must depend on the states: no window's has a gradient",
            id="loss detached",
        ),
        pytest.param(
            lambda m, x: truncation_curve(m, x, lambda h, steps: 0.0 * h.sum(), [5]),
            "x, h0 and loss must give the model's weights a full gradient that is finite and .* norm is 0.0",
            id="gradient of zero",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*example())


def test_a_batch_is_its_values_mask_and_lengths_for_every_window():
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([7, 4])
    valid = torch.arange(7) < lengths.unsqueeze(-1)
    mask = (torch.rand(2, 7, 2, generator=generator) < 0.7) & valid.unsqueeze(-1)
    values = torch.randn(2, 7, 2, generator=generator, dtype=torch.float64)
    times = torch.arange(7.0, dtype=torch.float64).repeat(2, 1)
    batch = IrregularBatch(times, torch.where(mask, values, torch.nan), mask, lengths)
    model = VanillaRNN(2, 3, generator=generator, dtype=torch.float64)
    parts = {"mask": mask, "lengths": lengths}

    def loss(states, steps):
        return states.square().sum()

    def gradient(x, **arguments):
        model.zero_grad()
        passed = truncated_bptt(model, x, loss, 3, **arguments)
        return [passed.loss, passed.state, *(weight.grad.clone() for weight in model.parameters())]

    for ours, theirs in zip(gradient(batch), gradient(batch.values, **parts), strict=True):
        assert torch.equal(ours, theirs)
    curve, expected = (
        truncation_curve(model, batch, loss, [2, 7]),
        truncation_curve(model, batch.values, loss, [2, 7], **parts),
    )
    assert torch.equal(curve.relative_error, expected.relative_error)
    profile = gradient_profile(model, batch, torch.sum)
    expected = gradient_profile(model, batch.values, torch.sum, **parts)
    assert torch.equal(profile.gradients, expected.gradients)
    assert profile.gradients.isfinite().all()
    with pytest.raises(ValueError, match="lengths must be left out where x is an IrregularBatch"):
        truncated_bptt(model, batch, loss, 3, lengths=lengths)


NO_WINDOWS = [
    (
        lambda m, x: truncated_bptt(m, x.numpy(), torch.sum, 2),
        "x must be a tensor or an IrregularBatch: got ndarray",
    ),
    (lambda m, x: truncated_bptt(m, x[0], torch.sum, 2), r"x must have shape \(B, T, D\): got \(4, 2\)"),
    (lambda m, x: truncated_bptt(m, x.double(), torch.sum, 2), "x must have the dtype of the weights: got"),
    (
        lambda m, x: truncated_bptt(m, x, lambda s, w: 1.0, 2),
        "loss must return a scalar for each window: got float",
    ),
    (lambda m, x: truncation_curve(m, x, torch.sum, 3), "K must be a sequence of at least one length: got 3"),
    (
        lambda m, x: truncation_curve(m, x, torch.sum, []),
        r"K must be a sequence of at least one length: got \[\]",
    ),
]


@pytest.mark.parametrize(("call", "message"), NO_WINDOWS, ids=[case[-1] for case in NO_WINDOWS])
def test_refuses_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(VanillaRNN(2, 3), torch.ones(1, 4, 2))
