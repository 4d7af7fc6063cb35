"""The container: what it refuses, how it is cut, and what it derives from times and mask."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.series import IrregularBatch, collate, one_series

NAN = torch.nan


def parts(series=2, steps=3, features=2):
    """The four tensors of a good batch, for tests to spoil."""
    times = torch.arange(steps, dtype=torch.float64).repeat(series, 1)
    values = torch.ones(series, steps, features, dtype=torch.float64)
    mask = torch.ones(series, steps, features, dtype=torch.bool)
    return {"times": times, "values": values, "mask": mask, "lengths": torch.full((series,), steps)}


def spoilt(name, index, value):
    """The four tensors of a batch with one entry changed."""
    good = parts()
    good[name][index] = value
    return good


BAD_BATCHES = [
    (parts() | {"times": torch.zeros(3)}, "times must have shape (B, T): got (3,)"),
    (
        parts() | {"values": torch.zeros(2, 4, 2)},
        "values must have shape (B, T, D) = (2, 3, D): got (2, 4, 2)",
    ),
    (parts() | {"values": torch.zeros(2, 3)}, "values must have shape (B, T, D) = (2, 3, D): got (2, 3)"),
    (
        parts() | {"mask": torch.ones(2, 3, 1, dtype=torch.bool)},
        "mask must have the shape (2, 3, 2) of values: got (2, 3, 1)",
    ),
    (parts() | {"lengths": torch.tensor([3])}, "lengths must have shape (B,) = (2,): got (1,)"),
    (
        parts() | {"times": torch.arange(3).repeat(2, 1)},
        "times must be a floating-point tensor: got a torch.int64 tensor",
    ),
    (
        parts() | {"values": torch.ones(2, 3, 2, dtype=torch.int32)},
        "values must be a floating-point tensor: got a torch.int32 tensor",
    ),
    (parts() | {"mask": torch.ones(2, 3, 2)}, "mask must be bool: got torch.float32"),
    (parts() | {"lengths": torch.tensor([3.0, 3.0])}, "lengths must be integers: got torch.float32"),
    (parts() | {"lengths": torch.tensor([True, True])}, "lengths must be integers: got torch.bool"),
    (
        parts() | {"lengths": torch.empty(2, dtype=torch.int64, device="meta")},
        "lengths must have the device of values: got meta and cpu",
    ),
    (
        parts() | {"mask": np.ones((2, 3, 2), dtype=bool)},
        "mask must be a bool tensor: got ndarray; torch.as_tensor(mask) makes it a tensor",
    ),
    (
        parts() | {"lengths": [3, 3]},
        "lengths must be a tensor: got list; torch.as_tensor(lengths) makes it a tensor",
    ),
    (parts() | {"lengths": None}, "lengths must be a tensor: got NoneType"),
    (
        parts() | {"times": [[0.0, 1.0, 2.0]] * 2},
        "times must be a tensor: got list; torch.as_tensor(times) makes it a tensor",
    ),
    (
        parts() | {"values": np.ones((2, 3, 2))},
        "values must be a tensor: got ndarray; torch.as_tensor(values) makes it a tensor",
    ),
    (
        parts() | {"values": torch.ones(2, 3, 2, dtype=torch.complex64)},
        "values must be a floating-point tensor: got a torch.complex64 tensor",
    ),
    (spoilt("lengths", 1, 4), "lengths must lie between 0 and T = 3: series 1 has length 4"),
    (spoilt("lengths", 0, -1), "lengths must lie between 0 and T = 3: series 0 has length -1"),
    (spoilt("times", (1, 2), NAN), "times must be finite: series 1 has times[2] = nan"),
    (spoilt("times", (1, 2), math.inf), "times must be finite: series 1 has times[2] = inf"),
    (
        spoilt("times", (1, 2), 1.0),
        "times must increase within each series: series 1 has times[2] = 1.0 after 1.0",
    ),
    (
        spoilt("times", (0, 1), -0.5),
        "times must increase within each series: series 0 has times[1] = -0.5 after 0.0",
    ),
    (spoilt("values", (1, 2, 0), NAN), "observed values must be finite: series 1 has values[2, 0] = nan"),
    (
        spoilt("values", (1, 0, 1), -math.inf),
        "observed values must be finite: series 1 has values[0, 1] = -inf",
    ),
    (
        spoilt("lengths", 1, 2),
        "mask must be False beyond a series' length: series 1 has length 2 and mask[2, 0] = True",
    ),
]


@pytest.mark.parametrize(("bad", "message"), BAD_BATCHES, ids=[case[-1] for case in BAD_BATCHES])
def test_refuses_by_name_and_place(bad, message):
    with pytest.raises(ValueError) as error:
        IrregularBatch(**bad)
    assert str(error.value) == message


def test_error_names_the_place_when_times_carry_gradients():
    bad = spoilt("times", (1, 2), 1.0)
    bad["times"].requires_grad_()
    with pytest.raises(ValueError, match=r"series 1 has times\[2\] = 1.0 after 1.0"):
        IrregularBatch(**bad)


def test_padding_may_hold_anything():
    good = parts()
    good["lengths"][1] = 1
    good["mask"][1, 1:] = False
    good["times"][1, 1:] = torch.tensor([NAN, -math.inf])
    good["values"][1, 1:] = NAN
    assert IrregularBatch(**good).valid.tolist() == [[True, True, True], [True, False, False]]


def test_is_frozen(batch):
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.times = batch.times


@pytest.mark.parametrize(
    "shape",
    [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 0, 0)],
    ids=["no series", "no steps", "no features", "none of the three"],
)
def test_empty_axes_are_legal_throughout(shape):
    series, steps, features = shape
    empty = IrregularBatch(
        torch.arange(steps, dtype=torch.float64).repeat(series, 1),
        torch.zeros(shape),
        torch.zeros(shape, dtype=torch.bool),
        torch.full((series,), steps),
    )
    assert empty.deltas().shape == shape
    assert empty.last_observed(torch.zeros(features)).shape == shape
    assert empty.to_grid(1.0).values.shape[0::2] == shape[0::2]
    assert collate([empty, empty]).values.shape[0] == 2 * series


# --- indexing ---------------------------------------------------------------------------------


def same(left, right):
    """Whether two batches hold the same series, whatever their padding."""
    left, right = collate([left]), collate([right])
    return all(torch.equal(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))


def test_indexing_selects_series_and_keeps_the_batch_axis(batch):
    numbers = {
        "int": (3, [3]),
        "negative": (-2, [3]),
        "slice": (slice(1, 4), [1, 2, 3]),
        "list": ([4, 0, 0], [4, 0, 0]),
        "index tensor": (torch.tensor([2, 1], device=batch.times.device), [2, 1]),
        "bool tensor": (batch.lengths > 0, [0, 1, 2, 3]),
    }
    for index, expected in numbers.values():
        chosen = batch[index]
        assert len(chosen) == len(expected)
        assert torch.equal(chosen.lengths, batch.lengths[expected])
        assert torch.equal(chosen.mask, batch.mask[expected])
        assert torch.equal(chosen.values[chosen.mask], batch.values[expected][chosen.mask])


def test_a_slice_may_run_backwards(batch):
    assert same(batch[::-1], batch[[4, 3, 2, 1, 0]])
    assert same(batch.select_features(slice(None, None, -2)), batch.select_features([2, 0]))


NO_INDICES = [5, -6, [0, 5], 1.5, [0.5], None, True, "first", (0, 1), [[0, 1], [2, 3]], torch.ones(4).bool()]


@pytest.mark.parametrize("index", NO_INDICES, ids=str)
def test_an_index_that_chooses_no_series_is_refused(make_batch, index):
    with pytest.raises(IndexError, match=r"index must choose among 5 series, along one axis: got "):
        make_batch(0)[index]
    with pytest.raises(IndexError, match=r"index must choose among 5 features, along one axis: got "):
        make_batch(0, features=5).select_features(index)


def test_selecting_features_keeps_steps_and_order(batch):
    numbers = {
        "int": (1, [1]),
        "list": ([2, 0], [2, 0]),
        "slice": (slice(0, 2), [0, 1]),
        "bool tensor": (torch.tensor([True, False, True], device=batch.times.device), [0, 2]),
        "index array": (np.array([1, 1]), [1, 1]),
        "none": ([], []),
    }
    for index, expected in numbers.values():
        chosen = batch.select_features(index)
        assert torch.equal(chosen.mask, batch.mask[..., expected])
        assert torch.equal(chosen.values[chosen.mask], batch.values[..., expected][chosen.mask])
        assert chosen.times is batch.times
        assert chosen.lengths is batch.lengths


def test_selected_features_pass_gradients_on(make_batch):
    batch = make_batch(0)
    values = batch.values.clone().requires_grad_()
    chosen = dataclasses.replace(batch, values=values).select_features([2])
    chosen.values[chosen.mask].sum().backward()
    assert torch.equal(values.grad[..., 2], batch.mask[..., 2].double())
    assert not values.grad[..., :2].any()


def test_iteration_visits_each_series_once(batch):
    assert torch.equal(torch.cat([series.lengths for series in batch]), batch.lengths)


def test_serves_a_data_loader(make_batch):
    batch = make_batch(0, series=10)
    loader = DataLoader(batch, batch_size=4, collate_fn=collate)
    assert same(collate(list(loader)), batch)


def test_to_moves_every_tensor(batch, device):
    moved = batch.to("cpu").to(device)
    assert {getattr(moved, f.name).device.type for f in dataclasses.fields(moved)} == {device.type}
    assert same(moved, batch)


@pytest.mark.parametrize("target", [torch.float32, torch.float64], ids=str)
def test_to_changes_the_dtype_of_times_and_values(batch, device, target):
    for moved in (batch.to(target), batch.to(dtype=target), batch.to(device, target)):
        assert moved.times.dtype == moved.values.dtype == target
        assert moved.mask.dtype == torch.bool
        assert moved.lengths.dtype == batch.lengths.dtype
        assert moved.times.device.type == device.type
        torch.testing.assert_close(moved.values[moved.mask].double(), batch.values[batch.mask].double())


def test_to_refuses_a_dtype_that_loses_what_the_batch_holds():
    minutes = one_series(1e6 + torch.arange(3.0, dtype=torch.float64) / 60, torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"times must increase within each series: series 0 has times\[1\]"):
        minutes.to(torch.float32)
    huge = one_series(torch.arange(2.0), torch.full((2, 1), 1e300, dtype=torch.float64))
    with pytest.raises(
        ValueError, match=r"observed values must be finite: series 0 has values\[0, 0\] = inf"
    ):
        huge.to(torch.float32)
    with pytest.raises(ValueError, match="dtype must be a floating-point dtype: got torch.int64"):
        huge.to(torch.int64)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32], ids=str)
def test_lengths_of_any_integer_type_serve_long_series(dtype):
    """int8 ends at 127, and T = 300 does not fit in it."""
    steps, lengths = 300, torch.tensor([100, 0, 7])
    valid = torch.arange(steps) < lengths.unsqueeze(-1)
    times, values = torch.arange(float(steps)).repeat(3, 1), torch.ones(3, steps, 1)
    small = IrregularBatch(times, values, valid.unsqueeze(-1), lengths.to(dtype))
    reference = IrregularBatch(times, values, valid.unsqueeze(-1), lengths)
    for derive in (
        *(lambda batch: batch.deltas(), lambda batch: batch.last_observed(torch.zeros(1))),
        lambda batch: batch.to_grid(3.0).values,
        lambda batch: collate([batch]).times,
    ):
        assert torch.equal(derive(small), derive(reference))
    with pytest.raises(ValueError, match=r"lengths must lie between 0 and T = 99: series 0 has length 100"):
        IrregularBatch(times[:, :99], values[:, :99], valid[:, :99, None], lengths.to(dtype))


def test_repr_says_what_is_inside():
    assert repr(one_series(torch.arange(3.0), torch.ones(3, 2))) == (
        "IrregularBatch(series=1, steps=3, features=2, observations=6, dtype=torch.float32, device=cpu)"
    )


# --- deltas -----------------------------------------------------------------------------------


def che_recursion(batch):
    """Che et al. (2018), eq. 1, entry by entry as it is printed."""
    deltas = torch.zeros_like(batch.values)
    for b, length in enumerate(batch.lengths.tolist()):
        for k in range(1, length):
            for d in range(batch.values.shape[2]):
                gap = batch.times[b, k] - batch.times[b, k - 1]
                deltas[b, k, d] = gap if batch.mask[b, k - 1, d] else gap + deltas[b, k - 1, d]
    return deltas


def test_deltas_follow_the_printed_recursion(batch):
    torch.testing.assert_close(batch.deltas(), che_recursion(batch), rtol=1e-5, atol=1e-6)


def test_deltas_of_the_paper_s_figure():
    """Che et al. (2018), figure 2: times 0, 0.1, 0.6, 1.6, 2.2, 2.5, 3.1 and two variables."""
    times = torch.tensor([0.0, 0.1, 0.6, 1.6, 2.2, 2.5, 3.1], dtype=torch.float64)
    mask = torch.tensor([[0, 1, 1, 0, 0, 0, 1], [1, 0, 0, 1, 0, 1, 0]], dtype=torch.bool).T
    batch = one_series(times, torch.zeros(7, 2, dtype=torch.float64), mask)
    expected = torch.tensor(
        [[0.0, 0.1, 0.5, 1.0, 1.6, 1.9, 2.5], [0.0, 0.1, 0.6, 1.6, 0.6, 0.9, 0.6]], dtype=torch.float64
    )
    torch.testing.assert_close(batch.deltas()[0], expected.T, rtol=0, atol=1e-12)


def test_deltas_are_zero_in_padding_and_finite(batch):
    deltas = batch.deltas()
    assert deltas.isfinite().all()
    assert not deltas[~batch.valid].any()


def test_deltas_are_differentiable_in_the_times(make_batch):
    batch = make_batch(1)
    times = torch.where(batch.valid, batch.times, 0.0).requires_grad_()

    def deltas(times):
        return dataclasses.replace(batch, times=times).deltas()

    assert torch.autograd.gradcheck(deltas, times, eps=1e-7)


# --- last observed ----------------------------------------------------------------------------


def test_last_observed_carries_forward_from_the_mean(batch):
    mean = torch.arange(3.0, dtype=batch.values.dtype, device=batch.values.device)
    filled = batch.last_observed(mean)
    for b in range(len(batch)):
        for d in range(3):
            held = mean[d]
            for k in range(batch.times.shape[1]):
                held = batch.values[b, k, d] if batch.mask[b, k, d] else held
                assert filled[b, k, d] == held


def test_last_observed_never_looks_ahead(make_batch):
    batch = make_batch(2, steps=8)
    mean = torch.zeros(3, dtype=torch.float64)
    for now in range(8):
        future = torch.arange(8).reshape(-1, 1) > now
        changed = dataclasses.replace(
            batch,
            values=torch.where(future, 1e6, batch.values),
            mask=torch.where(future & batch.valid.unsqueeze(-1), ~batch.mask, batch.mask),
        )
        past = slice(None, now + 1)
        assert torch.equal(changed.last_observed(mean)[:, past], batch.last_observed(mean)[:, past])
        assert torch.equal(changed.deltas()[:, past], batch.deltas()[:, past])


def test_gradients_reach_only_the_observed_past(make_batch):
    batch = make_batch(3, steps=8)
    for now in range(8):
        values = batch.values.clone().requires_grad_()
        mean = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        dataclasses.replace(batch, values=values).last_observed(mean)[:, now].sum().backward()
        assert values.grad.isfinite().all()
        assert not values.grad[~batch.mask].any()
        assert not values.grad[:, now + 1 :].any()
        assert values.grad.sum() + mean.grad.sum() == values[:, now].numel()


BAD_MEANS = [
    (torch.zeros(2), "mean must have shape (D,) = (3,): got (2,)"),
    ([0.0] * 3, "mean must be a tensor: got list; torch.as_tensor(mean) makes it a tensor"),
    (torch.tensor(0.0), "mean must have shape (D,) = (3,): got ()"),
    (torch.tensor([0.0, NAN, 0.0]), "mean must be finite: mean[1] = nan"),
]


@pytest.mark.parametrize(("mean", "message"), BAD_MEANS, ids=[case[-1] for case in BAD_MEANS])
def test_last_observed_refuses_a_bad_mean(make_batch, mean, message):
    with pytest.raises(ValueError) as error:
        make_batch(0).last_observed(mean)
    assert str(error.value) == message


# --- invariances ------------------------------------------------------------------------------

DERIVED = {
    "deltas": lambda batch: batch.deltas(),
    "last_observed": lambda batch: batch.last_observed(batch.values.new_ones(3)),
}


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_a_series_does_not_depend_on_its_neighbours(batch, derive):
    together = derive(batch)
    for number in range(len(batch)):
        assert torch.equal(derive(batch[number])[0], together[number])


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_order_of_series_does_not_matter(batch, derive):
    order = [3, 0, 4, 1, 2]
    assert torch.equal(derive(batch[order]), derive(batch)[order])


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_more_padding_changes_nothing(batch, derive, make_batch):
    longest = make_batch(9, series=2, steps=20, dtype=batch.values.dtype, device=batch.values.device)
    padded = collate([batch, longest])[: len(batch)]
    steps = batch.times.shape[1]
    assert torch.equal(
        derive(padded)[:, :steps][batch.valid[:, : padded.times.shape[1]]], derive(batch)[batch.valid]
    )


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_hidden_values_are_never_read(batch, derive):
    other = dataclasses.replace(batch, values=torch.where(batch.mask, batch.values, 1e30))
    assert torch.equal(derive(other), derive(batch))
