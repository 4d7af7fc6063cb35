"""Putting series together into one padded batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.arguments import as_list, check_shape, kind
from helpers.series.batch import IrregularBatch


def one_series(times: Tensor, values: Tensor, mask: Tensor | None = None) -> IrregularBatch:
    """Wrap a single series, without padding, as a batch of one.

    Parameters
    ----------
    times : Tensor (T,)
    values : Tensor (T, D)
    mask : Tensor (T, D), bool, optional
        True where the value was observed; left out, every value is.

    Raises
    ------
    ValueError
        As for `IrregularBatch`, series 0 being this one.
    """
    check_shape("times", times, "T", (None,))
    check_shape("values", values, "T D", (len(times), None))
    if mask is None:
        mask = torch.ones_like(values, dtype=torch.bool)
    else:
        check_shape("mask", mask, "T D", values.shape)
    lengths = torch.tensor([len(times)], device=times.device)
    return IrregularBatch(times.unsqueeze(0), values.unsqueeze(0), mask.unsqueeze(0), lengths)


def collate(series: Sequence[IrregularBatch]) -> IrregularBatch:
    """Join batches, of one series or many, into one that is as long as its longest series.

    Padding repeats a series' last time (0 for a series of length 0). Unobserved values become 0.

    Parameters
    ----------
    series : sequence of IrregularBatch
        In the order of the result; their paddings may differ.

    Raises
    ------
    ValueError
        If `series` is no sequence, or empty, or if they differ in features, dtype or device.
    """
    series = as_list("series", series, "a sequence of batches")
    _check_alike(series)
    lengths = torch.cat([piece.lengths for piece in series])  # (B,)
    steps = max(lengths.tolist(), default=0)
    times = torch.cat([_resize(piece.times, steps) for piece in series])  # (B, T)
    values = torch.cat([_resize(piece.values, steps) for piece in series])  # (B, T, D)
    mask = torch.cat([_resize(piece.mask, steps) for piece in series])  # (B, T, D)
    return IrregularBatch(_repeat_last(times, lengths), torch.where(mask, values, 0.0), mask, lengths)


def _resize(tensor: Tensor, steps: int) -> Tensor:
    """Cut `tensor` (B, T, ...) to `steps` steps, or pad it with zeros."""
    padding = tensor.new_zeros(tensor.shape[0], max(steps - tensor.shape[1], 0), *tensor.shape[2:])
    return torch.cat([tensor[:, :steps], padding], dim=1)


def _repeat_last(times: Tensor, lengths: Tensor) -> Tensor:
    """Replace the padding of `times` (B, T) by each series' last time."""
    step = torch.arange(times.shape[1], device=times.device)
    last = lengths.long().unsqueeze(-1) - 1
    repeated = times.gather(1, torch.minimum(step, last.clamp(min=0)))
    return torch.where(last >= 0, repeated, 0.0)


def _check_alike(series: list[IrregularBatch]) -> None:
    for number, piece in enumerate(series):
        if not isinstance(piece, IrregularBatch):
            raise ValueError(f"series must hold batches: series[{number}] is {kind(piece)}; see one_series")
    if not series:
        raise ValueError("series must hold at least one batch: got none")
    kinds = [
        {
            "features": piece.values.shape[2],
            "dtype of values": piece.values.dtype,
            "dtype of times": piece.times.dtype,
            "device": piece.values.device,
        }
        for piece in series
    ]
    for number, own in enumerate(kinds):
        for name, first in kinds[0].items():
            if own[name] != first:
                raise ValueError(
                    f"series must agree in {name}: series[{number}] has {own[name]}, series[0] has {first}"
                )
