"""From irregular times to the cells of a regular grid."""

import math

import torch
from torch import Tensor

from helpers.series.validation import refuse_where

ROUND_OFF = 4  # units in the last place by which a time may miss its grid point


def grid_cells(times: Tensor, valid: Tensor, step: float, start: float) -> Tensor:
    """Return the cell `ceil((times - start) / step)` of each real step, shape (B, T); 0 in padding."""
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(f"step must be positive and finite: got {step}")
    if not math.isfinite(start):
        raise ValueError(f"start must be finite: got {start}")
    times = torch.where(valid, times, start)
    position = (times.double() - start) / step
    round_off = ROUND_OFF * torch.finfo(times.dtype).eps * (times.double().abs() + abs(start)) / step
    refuse_where(
        position < -round_off,
        lambda b, k: f"times must not lie before start = {start}: series {b} has times[{k}] = {times[b, k]}",
    )
    nearest = position.round()
    return torch.where((position - nearest).abs() <= round_off, nearest, position.ceil()).long()


def cell_means(cells: Tensor, values: Tensor, mask: Tensor, number_of_cells: int) -> tuple[Tensor, Tensor]:
    """Mean (0 where empty) and number of the observed `values` (B, T, D) in each cell, both (B, K, D)."""
    index = cells.unsqueeze(-1).expand_as(values)  # (B, T, D)
    empty = values.new_zeros(values.shape[0], number_of_cells, values.shape[2])
    totals = empty.scatter_add(1, index, torch.where(mask, values, 0.0))
    counts = empty.scatter_add(1, index, mask.to(values.dtype))
    return totals / counts.clamp(min=1), counts
