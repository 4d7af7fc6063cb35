"""Joining series: nothing is lost, nothing is added, and padding stays padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.series import IrregularBatch, check_series, collate, one_series


def test_one_series_observes_everything_unless_told():
    series = one_series(torch.arange(3.0), torch.ones(3, 2))
    assert series.mask.all()
    assert series.lengths.tolist() == [3]


def test_one_series_refuses_a_nan_that_is_called_observed():
    with pytest.raises(
        ValueError, match=r"observed values must be finite: series 0 has values\[1, 0\] = nan"
    ):
        one_series(torch.arange(2.0), torch.tensor([[1.0], [torch.nan]]))


def test_padding_by_hand():
    short = one_series(torch.tensor([0.5]), torch.tensor([[7.0]]))
    long = one_series(
        torch.tensor([1.0, 2.0]), torch.tensor([[torch.nan], [8.0]]), torch.tensor([[False], [True]])
    )
    none = one_series(torch.zeros(0), torch.zeros(0, 1))
    batch = collate([short, long, none])
    assert batch.times.tolist() == [[0.5, 0.5], [1.0, 2.0], [0.0, 0.0]]
    assert batch.values[..., 0].tolist() == [[7.0, 0.0], [0.0, 8.0], [0.0, 0.0]]
    assert batch.mask[..., 0].tolist() == [[True, False], [False, True], [False, False]]
    assert batch.lengths.tolist() == [1, 2, 0]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 3))
def test_every_series_survives_with_any_padding(lengths, extra):
    generator = torch.Generator().manual_seed(len(lengths))
    pieces = [
        one_series(
            torch.rand(n, generator=generator).cumsum(0) + torch.arange(n),
            torch.randn(n, 2, generator=generator),
        )
        for n in lengths
    ]
    batch = collate(pieces)
    assert batch.times.shape == (len(lengths), max(lengths))
    padded = IrregularBatch(
        torch.nn.functional.pad(batch.times, (0, extra), value=torch.nan),
        torch.nn.functional.pad(batch.values, (0, 0, 0, extra), value=torch.nan),
        torch.nn.functional.pad(batch.mask, (0, 0, 0, extra)),
        batch.lengths,
    )
    for again in (collate(list(batch)), collate([padded]), collate([padded[:1], padded[1:]])):
        for piece, series, n in zip(pieces, again, lengths, strict=True):
            assert series.lengths.tolist() == [n]
            assert torch.equal(series.times[:, :n], piece.times)
            assert torch.equal(series.values[:, :n], piece.values)
            assert not series.mask[:, n:].any()


def test_gradients_flow_through_to_observed_values_only(make_batch):
    batch = make_batch(0)
    values = batch.values.clone().requires_grad_()
    pieces = [IrregularBatch(batch.times, values, batch.mask, batch.lengths)] * 2
    collate(pieces).values.sum().backward()
    assert torch.equal(values.grad, 2.0 * batch.mask)


def test_keeps_dtype_and_device(batch):
    joined = collate([batch, batch])
    assert joined.values.dtype == joined.times.dtype == batch.values.dtype
    assert joined.values.device == batch.values.device


NO_SERIES = [
    (
        ([0.0, 1.0], torch.ones(2, 1)),
        "times must be a tensor: got list; torch.as_tensor(times) makes it a tensor",
    ),
    ((torch.zeros(1, 2), torch.ones(2, 1)), "times must have shape (T,): got (1, 2)"),
    ((torch.arange(2.0), torch.ones(2)), "values must have shape (T, D) = (2, D): got (2,)"),
    ((torch.arange(2.0), torch.ones(3, 1)), "values must have shape (T, D) = (2, D): got (3, 1)"),
    (
        (torch.arange(2.0), torch.ones(2, 1), torch.ones(2).bool()),
        "mask must have shape (T, D) = (2, 1): got (2,)",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), NO_SERIES, ids=[case[-1] for case in NO_SERIES])
def test_one_series_refuses_by_name(arguments, message):
    with pytest.raises(ValueError) as error:
        one_series(*arguments)
    assert str(error.value) == message


def test_as_padded_takes_a_batch_or_its_parts(make_batch):
    batch = make_batch(0)
    assert check_series("y", batch, None, None) == (batch.values, batch.mask, batch.lengths)
    assert check_series("y", batch.values, batch.mask, None) == (batch.values, batch.mask, None)
    with pytest.raises(
        ValueError, match="lengths must be left out where y is an IrregularBatch, which has its"
    ):
        check_series("y", batch, None, batch.lengths)


def one(dtype=torch.float32, times_dtype=torch.float32, features=1):
    return one_series(torch.zeros(1, dtype=times_dtype), torch.zeros(1, features, dtype=dtype))


BAD_SERIES = [
    ([], "series must hold at least one batch: got none"),
    ([one(), torch.ones(2)], "series must hold batches: series[1] is a torch.float32 tensor; see one_series"),
    ([one(), one(), one(features=2)], "series must agree in features: series[2] has 2, series[0] has 1"),
    (
        [one(), one(dtype=torch.float64)],
        "series must agree in dtype of values: series[1] has torch.float64, series[0] has torch.float32",
    ),
    (
        [one(), one(times_dtype=torch.float64)],
        "series must agree in dtype of times: series[1] has torch.float64, series[0] has torch.float32",
    ),
]


@pytest.mark.parametrize(("series", "message"), BAD_SERIES, ids=[case[-1] for case in BAD_SERIES])
def test_refuses_what_does_not_fit(series, message):
    with pytest.raises(ValueError) as error:
        collate(series)
    assert str(error.value) == message


def test_refuses_two_devices(device):
    if device.type == "cpu":
        pytest.skip("needs a second device")
    with pytest.raises(
        ValueError, match=r"series must agree in device: series\[1\] has cuda:0, series\[0\] has cpu"
    ):
        collate([one(), one().to(device)])
