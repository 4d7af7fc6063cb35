"""Stacked: layers by hand, holes in every layer, dropout between them, and misuse."""

import pytest
import torch
from gated_cells import make, normal, series_with_holes

from helpers.recurrent import (
    GRU,
    LSTM,
    Bidirectional,
    Stacked,
    VanillaRNN,
    gradient_profile,
    jacobian_product,
    step_jacobians,
    truncated_bptt,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def three_layers(**how):
    return Stacked(
        make("LSTM", seed=0),
        Bidirectional(make("GRU, reset before", 4, 2, seed=1), make("minimal GRU", 4, 3, seed=2)),
        VanillaRNN(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)),
        **how,
    )


def test_each_layer_reads_the_one_below():
    model, x = three_layers(), normal(3, 6, 3)
    first, second, third = model.layers
    h0 = [normal(3, 8, seed=4), (normal(3, 2, seed=5), normal(3, 3, seed=6)), None]
    expected = third(second(first(x, h0[0]), h0[1]))
    torch.testing.assert_close(model(x, h0), expected, rtol=0, atol=0)
    assert model.input_size == 3 and model.output_size == 4 and not torch.equal(model(x), expected)


@pytest.mark.parametrize("filling", [torch.nan, torch.inf], ids=str)
def test_a_step_without_observation_holds_the_states_of_all_layers(filling):
    """Each series as if its holes and padding were not there."""
    model, batch = three_layers(), series_with_holes(filling)
    found = model(batch)
    assert torch.equal(model(batch.values, mask=batch.mask, lengths=batch.lengths), found)
    for b, moves in enumerate(batch.mask.any(-1)):
        kept = torch.where(batch.mask, batch.values, 0.0)[b : b + 1, moves]
        torch.testing.assert_close(found[b, moves], model(kept)[0], **EXACT)
        before = torch.cat([torch.zeros(1, 4).double(), found[b, :-1]])
        torch.testing.assert_close(found[b, ~moves], before[~moves], **EXACT)
    found.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_series_do_not_touch_each_other():
    model, batch = three_layers(), series_with_holes()
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(model(batch[order]), model(batch)[order], **EXACT)
    torch.testing.assert_close(model(batch[1:2]), model(batch)[1:2], **EXACT)


def test_dropout_falls_between_layers_in_training_only():
    """The top layer adds up what it reads, so that it tells what was dropped, and by what the rest grew."""
    below = VanillaRNN(400, 400, "linear", bias=False)
    above = VanillaRNN(400, 400, "linear", bias=False)
    with torch.no_grad():
        below.W_xh.copy_(torch.eye(400)), below.W_hh.zero_()
        above.W_xh.copy_(torch.eye(400)), above.W_hh.zero_()
    model, x = Stacked(below, above, dropout=0.25), torch.ones(5, 10, 400)
    assert torch.equal(model.eval()(x), x)
    torch.manual_seed(0)
    read = model.train()(x)
    assert read.unique().tolist() == pytest.approx([0, 4 / 3])
    share = (read == 0).double().mean().item()
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / read.numel()) ** 0.5)
    assert torch.equal(Stacked(below, dropout=0.25).train()(x), x)


def test_autocast_lowers_what_layers_return_and_not_what_they_take():
    model, x = three_layers().float(), normal(2, 5, 3, dtype=torch.float32)
    for how in ({}, {"lengths": torch.tensor([5, 2])}):
        expected = model(x, **how)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(x, **how)
        torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.02)


def test_nothing_in_gives_nothing_out():
    for sizes in ((0, 4, 3), (2, 0, 3)):
        assert three_layers()(torch.zeros(sizes).double()).shape == (*sizes[:2], 4)


def test_gradients():
    model, x = three_layers(), normal(2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, lengths=torch.tensor([3, 1])), x)


def test_it_can_be_stored_by_its_weights():
    model, other = three_layers(), three_layers()
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(normal(2, 5, 3)), model(normal(2, 5, 3)))


ONES = torch.ones(2, 5, 3)
TWO = Stacked(LSTM(3, 4), GRU(4, 2))
BAD = {
    "no layers": (lambda: Stacked(), "layers must be at least one: got none"),
    "no layer": (
        lambda: Stacked(LSTM(3, 4), torch.nn.Linear(4, 4)),
        "layers must be cells or Bidirectional: layer 1 is Linear",
    ),
    "a list": (lambda: Stacked([LSTM(3, 4)]), "layers must be cells or Bidirectional: layer 0 is list"),
    "layers that do not fit": (
        lambda: Stacked(Bidirectional(LSTM(3, 4)), LSTM(4, 4)),
        "layer 1 must read what the one below returns, 8 features: it reads 4",
    ),
    "all dropped": (
        lambda: Stacked(LSTM(3, 4), dropout=1.0),
        "dropout must be at least 0 and less than 1: got 1.0",
    ),
    "dropout in words": (
        lambda: Stacked(LSTM(3, 4), dropout="half"),
        "dropout must be at least 0 and less than 1: got 'half'",
    ),
    "one initial state": (
        lambda: TWO(ONES, torch.zeros(2, 8)),
        "h0 must be one initial state for each of 2 layers: got a torch.float32 tensor",
    ),
    "initial states too few": (
        lambda: TWO(ONES, [None]),
        "h0 must be one initial state for each of 2 layers: got 1",
    ),
    "state of another size": (
        lambda: TWO(ONES, [None, torch.zeros(2, 4)]),
        r"h0 must have shape \(B, 2\) = \(2, 2\): got \(2, 4\)",
    ),
    "mask of another shape": (
        lambda: TWO(ONES, mask=torch.ones(2, 5).bool()),
        r"mask must have the shape \(2, 5, 3\) of x: got \(2, 5\)",
    ),
    "x of another dtype": (lambda: TWO(ONES.double()), "x must have the dtype of the weights"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


TOOLS = {
    "gradient_profile": lambda model: gradient_profile(model, ONES, torch.sum),
    "jacobian_product": lambda model: jacobian_product(model, ONES, 0),
    "step_jacobians": lambda model: step_jacobians(model, ONES),
    "truncated_bptt": lambda model: truncated_bptt(model, ONES, lambda states, steps: states.sum(), 2),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("model", [TWO, Bidirectional(LSTM(3, 4))], ids=["Stacked", "Bidirectional"])
def test_tools_that_follow_one_state_ask_for_a_cell(tool, model):
    message = (
        f"model must have project, step and state_size, as a cell has: {type(model).__name__} has no project"
    )
    with pytest.raises(ValueError, match=message):
        TOOLS[tool](model)


def test_paths_are_split_only_where_there_is_a_highway():
    with pytest.raises(ValueError, match="model must have gates and update to be split by path: Vanilla"):
        gradient_profile(VanillaRNN(3, 4), ONES, torch.sum, by_path=True)
