"""Bidirectional: where the backward pass starts, what each direction knows, and misuse."""

import pytest
import torch
from gated_cells import KINDS, make, normal, series_with_holes

from helpers.recurrent import GRU, LSTM, Bidirectional, LeakyRNN, VanillaRNN, chrono_, keep_orthogonal

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def both(kind="LSTM", **how):
    return Bidirectional(make(kind, **how), generator=torch.Generator().manual_seed(5))


def cells(units=4):
    how = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(0)}
    return {
        **{kind: make(kind) for kind in KINDS},
        "vanilla": VanillaRNN(3, units, **how),
        "leaky": LeakyRNN(3, units, tau=3.0, dt=1.0, **how),
    }


@pytest.mark.parametrize("kind", cells())
def test_the_backward_cell_reads_each_series_from_its_own_last_step(kind):
    """The oracle turns each series round by hand, without its holes and padding."""
    model = Bidirectional(cells()[kind], generator=torch.Generator().manual_seed(5))
    batch = series_with_holes()
    h0 = tuple(
        normal(5, cell.state_size, seed=3 + k) for k, cell in enumerate((model.forwards, model.backwards))
    )
    found = model(batch, h0)
    assert found.shape == (5, 6, 8) and model.output_size == 8
    torch.testing.assert_close(found[..., :4], model.forwards(batch, h0[0]), **EXACT)
    for b, moves in enumerate(batch.mask.any(-1)):
        steps = moves.nonzero()[:, 0]
        x = torch.where(batch.mask, batch.values, 0.0)[b : b + 1, steps.flip(0)]
        alone = model.backwards(x, h0[1][b : b + 1])[0].flip(0)
        torch.testing.assert_close(found[b, steps, 4:], alone, **EXACT)
        start = model.backwards.output(h0[1][b])
        length = int(batch.lengths[b])
        torch.testing.assert_close(found[b, length:, 4:], start.expand(6 - length, -1), **EXACT)
    hole, after = found[0, 2, 4:], found[0, 3, 4:]
    torch.testing.assert_close(hole, after, **EXACT)  # held, on the way back


@pytest.mark.parametrize("filling", [torch.nan, torch.inf, 1e300], ids=str)
def test_padding_reaches_neither_direction_nor_any_gradient(filling):
    model, x, lengths = both(), normal(3, 6, 3), torch.tensor([6, 2, 0])
    valid = (torch.arange(6) < lengths.unsqueeze(-1)).unsqueeze(-1)
    broken = torch.where(valid, x, filling).requires_grad_()
    found = model(broken, lengths=lengths)
    torch.testing.assert_close(found, model(torch.where(valid, x, 0.0), lengths=lengths), rtol=0, atol=0)
    found.square().sum().backward()
    assert broken.grad.isfinite().all() and not broken.grad[~valid.expand_as(x)].any()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_a_step_knows_its_past_by_one_half_and_its_future_by_the_other():
    model, x = both(), normal(2, 7, 3)
    changed = x.clone()
    changed[:, 4] += 1.0
    moved = (model(changed) - model(x)).abs().amax((0, 2), keepdim=True).squeeze()
    ahead = (model(changed) - model(x))[..., :4].abs().amax((0, 2)) > 0
    back = (model(changed) - model(x))[..., 4:].abs().amax((0, 2)) > 0
    assert ahead.tolist() == [False] * 4 + [True] * 3 and back.tolist() == [True] * 5 + [False] * 2
    assert (moved > 0).all()


def test_a_series_turned_round_turns_its_states_round():
    model, x = both(), normal(3, 6, 3)
    swapped = Bidirectional(model.backwards, model.forwards)
    expected = model(x.flip(1)).flip(1).roll(4, dims=-1)
    torch.testing.assert_close(swapped(x), expected, **EXACT)


def test_series_do_not_touch_each_other():
    model, batch = both("GRU, reset before"), series_with_holes()
    together = model(batch)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(model(batch[order]), together[order], **EXACT)
    for b in range(5):
        torch.testing.assert_close(model(batch[b : b + 1]), together[b : b + 1], **EXACT)


@pytest.mark.parametrize("sizes", [(0, 4, 3), (2, 0, 3)], ids=["no series", "no steps"])
def test_nothing_in_gives_nothing_out(sizes):
    assert both()(torch.zeros(sizes).double()).shape == (*sizes[:2], 8)
    lengths = torch.zeros(sizes[0], dtype=torch.long)
    assert both()(torch.zeros(sizes).double(), lengths=lengths).shape == (*sizes[:2], 8)


def test_the_other_direction_has_weights_of_its_own():
    cell = LSTM(3, 4, forget_bias=2.0)
    before = torch.get_rng_state()
    model = Bidirectional(cell, generator=torch.Generator().manual_seed(1))
    again = Bidirectional(cell, generator=torch.Generator().manual_seed(1))
    assert torch.equal(before, torch.get_rng_state())
    assert model.forwards is cell and not torch.equal(model.backwards.W_hh, cell.W_hh)
    assert torch.equal(again.backwards.W_hh, model.backwards.W_hh)
    assert (model.backwards.b[4:8] == 2.0).all()
    assert len(list(model.parameters())) == 6
    assert torch.equal(Bidirectional(cell, cell).backwards.b, cell.b)
    chrono_(model.backwards, 20.0)
    assert (model.forwards.b[4:8] == 2.0).all() and (model.backwards.b[4:8] >= 0).all()


def test_a_constrained_cell_has_a_constrained_copy():
    cell = VanillaRNN(3, 4, dtype=torch.float64)
    keep_orthogonal(cell)
    copy = Bidirectional(cell).backwards.W_hh
    torch.testing.assert_close(copy @ copy.T, torch.eye(4).double(), **EXACT)
    assert not torch.allclose(copy, cell.W_hh)


def test_directions_may_differ_in_kind_and_size():
    model = Bidirectional(LSTM(3, 4), GRU(3, 2))
    assert model(torch.ones(2, 5, 3)).shape == (2, 5, 6) and model.output_size == 6


def test_gradients():
    model, x = both(features=2, units=2), normal(2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, lengths=torch.tensor([3, 2])), x)


ONES = torch.ones(2, 5, 3)
BAD = {
    "no cell": (
        lambda: Bidirectional(torch.nn.Linear(3, 4)),
        "cell must be a cell, such as an LSTM: got Linear",
    ),
    "torch's": (lambda: Bidirectional(torch.nn.LSTM(3, 4)), "cell must be a cell, such as an LSTM: got LSTM"),
    "backward no cell": (
        lambda: Bidirectional(LSTM(3, 4), 3),
        "backward must be a cell, such as an LSTM: got int",
    ),
    "other features": (
        lambda: Bidirectional(LSTM(3, 4), LSTM(2, 4)),
        "backward must read what cell reads, 3 features: got 2",
    ),
    "one initial state": (
        lambda: Bidirectional(LSTM(3, 4))(ONES, torch.zeros(2, 8)),
        "h0 must be two states, one for each direction: got a torch.float32 tensor",
    ),
    "three initial states": (
        lambda: Bidirectional(LSTM(3, 4))(ONES, [None] * 3),
        "h0 must be two states, one for each direction: got list",
    ),
    "state of another size": (
        lambda: Bidirectional(LSTM(3, 4))(ONES, (None, torch.zeros(2, 4))),
        r"h0 must have shape \(B, 8\) = \(2, 8\): got \(2, 4\)",
    ),
    "x of another size": (
        lambda: Bidirectional(LSTM(3, 4))(ONES[..., :2]),
        r"x must have shape \(B, T, 3\): got \(2, 5, 2\)",
    ),
    "length beyond T": (
        lambda: Bidirectional(LSTM(3, 4))(ONES, lengths=torch.tensor([1, 6])),
        "lengths must lie between 0 and T = 5: series 1 has length 6",
    ),
    "lengths not whole": (
        lambda: Bidirectional(LSTM(3, 4))(ONES, lengths=torch.ones(2)),
        "lengths must be integers: got torch.float32",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
