"""The one container for irregular data: what was measured, when, and what was not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import (
    check_finite,
    check_finite_number,
    check_floating,
    check_floating_dtype,
    check_lengths,
    check_mask,
    check_positive_number,
    check_same,
    check_shape,
    check_tensor,
    refuse_where,
    valid_steps,
)

MAX_ROUND_OFF = 4  # units in the last place by which a time may miss its grid point
MAX_CELLS = 2**31  # of a grid

Index = int | slice | list[int] | Tensor


@dataclass(frozen=True, eq=False, repr=False)
class IrregularBatch:
    """Several irregularly sampled series, padded to a common number of steps.

    A value whose mask is False was not observed. Whatever stands in its place, NaN included, is never read,
    so neither results nor gradients depend on it. The same holds for times beyond a series' length.

    `batch[i]` is a batch of one series; a slice, list, bool tensor or index tensor selects several, and
    `for series in batch` visits each in turn. A batch is therefore also a PyTorch data set:
    `DataLoader(batch, batch_size=32, shuffle=True, collate_fn=collate)`.

    Parameters
    ----------
    times : Tensor (B, T)
        Time of each step, strictly increasing and finite within each series' length.
    values : Tensor (B, T, D)
        What was measured, finite where observed.
    mask : Tensor (B, T, D), bool
        True where the value was observed; False beyond a series' length.
    lengths : Tensor (B,), integers
        Number of real steps of each series, 0 to T; the rest is padding.

    Raises
    ------
    ValueError
        Naming the first series, step and feature that break one of these rules.
    """

    times: Tensor
    values: Tensor
    mask: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        _check_shapes(self.times, self.values)
        check_mask(self.mask, "values", self.values)
        check_lengths(self.lengths, "values", self.values)
        _check_times(self.times, self.valid)
        _check_observations(self)

    def __len__(self) -> int:
        """Count the series."""
        return len(self.lengths)

    def __getitem__(self, index: Index) -> "IrregularBatch":
        """Select series; the batch axis stays."""
        chosen = _select(index, len(self), "series").to(self.lengths.device)
        return self._map(lambda tensor: tensor[chosen])

    def __repr__(self) -> str:
        series, steps, features = self.values.shape
        return (
            f"IrregularBatch(series={series}, steps={steps}, features={features}, "
            f"observations={int(self.mask.sum())}, dtype={self.values.dtype}, device={self.values.device})"
        )

    def select_features(self, index: Index) -> "IrregularBatch":
        """Return the same series with some of their features; the steps stay, those without a reading too.

        Parameters
        ----------
        index : int, slice, list of int, or Tensor of integers or bool
            Numbers of the features in the order wanted; a single number keeps the feature axis.

        Raises
        ------
        IndexError
            If there is no such feature, or the index has more than one axis.
        """
        chosen = _select(index, self.values.shape[2], "features").to(self.values.device)
        return replace(self, values=self.values[..., chosen], mask=self.mask[..., chosen])

    def to(
        self, device: torch.device | str | torch.dtype | None = None, dtype: torch.dtype | None = None
    ) -> "IrregularBatch":
        """Return this batch on another device, with times and values of another dtype, or both.

        As with a tensor, either may stand alone: `batch.to(torch.float64)`, `batch.to("cuda")`.

        Raises
        ------
        ValueError
            If the dtype is not a floating-point one, or cannot tell two times of a series apart.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None:
            check_floating_dtype("dtype", dtype)
        times, values = (tensor.to(device=device, dtype=dtype) for tensor in (self.times, self.values))
        return IrregularBatch(times, values, self.mask.to(device), self.lengths.to(device))

    @property
    def valid(self) -> Tensor:
        """True for each series' real steps (B, T), False for padding."""
        return valid_steps(self.lengths, self.times.shape[1])

    def deltas(self) -> Tensor:
        """Time since each feature was last observed (B, T, D); 0 in padding.

        With s the times and m the mask::

            δ[0] = 0
            δ[k] = s[k] - s[k-1]            where m[k-1] is True
            δ[k] = s[k] - s[k-1] + δ[k-1]   where m[k-1] is False

        so that δ[k] is the time since the latest observation *before* step k, or since the series began.

        Source: Che et al. (2018), Recurrent neural networks for multivariate time series with missing
        values, Scientific Reports 8:6085, eq. 1.
        """
        times = self.times.unsqueeze(-1)  # (B, T, 1)
        first = times[:, :1].expand_as(self.values[:, :1])  # (B, 1, D)
        latest = torch.where(self.mask, times, first).cummax(dim=1).values  # (B, T, D)
        latest_before = torch.cat([first, latest[:, :-1]], dim=1)
        return torch.where(self.valid.unsqueeze(-1), times - latest_before, 0.0)

    def last_observed(self, mean: Tensor) -> Tensor:
        """Latest value observed at or before each step (B, T, D); padding repeats the last one.

        ::

            x̂[k] = x[j],  j = max{i ≤ k : m[i] is True},  or the mean where there is no such i

        It never looks ahead: before a feature's first observation it is `mean`.

        Parameters
        ----------
        mean : Tensor (D,)
            What stands before a feature's first observation; take it from the training set.

        Raises
        ------
        ValueError
            If `mean` has another shape or is not finite.
        """
        check_shape("mean", mean, "D", self.values.shape[2:])
        check_finite("mean", mean)
        steps = torch.arange(self.times.shape[1], device=self.mask.device).reshape(-1, 1)
        latest = torch.where(self.mask, steps, -1).cummax(dim=1).values  # (B, T, D); -1 before the first
        return torch.where(latest >= 0, self.values.gather(1, latest.clamp(min=0)), mean.to(self.values))

    def to_grid(self, step: float, start: float = 0.0) -> "IrregularBatch":
        """Average the observations onto the regular grid t[k] = start + k · step.

        ::

            x̄[k] = mean of the observations in (t[k-1], t[k]]

        Cell k closes at its own time, so that it never holds a value from its future. An observation
        that lies on a grid time, up to round-off, stays there. A cell without observations is unobserved.
        Each series' grid ends with the cell that holds its last step.

        Parameters
        ----------
        step : float
            Width of a cell, in the unit of the times.
        start : float
            Time of the first grid point.

        Raises
        ------
        ValueError
            If `step` is not positive and finite, or so small that a series would need 2³¹ cells or more; or
            if a step of a series lies before `start`.
        """
        cells = _grid_cells(self.times, self.valid, step, start)  # (B, T)
        lengths = pad(torch.where(self.valid, cells + 1, 0), (1, 0)).amax(1)  # 0 for a series without steps
        steps = max(lengths.tolist(), default=0)
        means, counts = _cell_means(cells, self.values, self.mask, steps)  # (B, K, D)
        times = start + step * torch.arange(steps, dtype=torch.float64, device=self.times.device)
        return IrregularBatch(times.to(self.times.dtype).expand(len(self), -1), means, counts > 0, lengths)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "IrregularBatch":
        return IrregularBatch(*map(function, (self.times, self.values, self.mask, self.lengths)))


def check_series(
    name: str, series: Tensor | IrregularBatch, mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Values, mask and lengths of a batch, or of series that were given as these three.

    Raises
    ------
    ValueError
        If `series` is neither a batch nor a tensor, or a mask or lengths stand beside a batch.
    """
    if not isinstance(series, IrregularBatch):
        check_tensor(name, series, "be a tensor or an IrregularBatch")
        return series, mask, lengths
    for other, given in {"mask": mask, "lengths": lengths}.items():
        if given is not None:
            raise ValueError(f"{other} must be left out where {name} is an IrregularBatch, which has its own")
    return series.values, series.mask, series.lengths


def _select(index: Index, size: int, what: str) -> Tensor:
    """The numbers that an index chooses among `size` of them, (N,)."""
    try:
        chosen = range(size)[index] if isinstance(index, slice) else index
        chosen = chosen if isinstance(chosen, Tensor) else torch.as_tensor(chosen)
        chosen = chosen.long() if chosen.numel() == 0 and chosen.ndim == 1 else chosen  # [] becomes a float
        fits = not chosen.is_floating_point() and not isinstance(index, bool | tuple)
        numbers = torch.arange(size, device=chosen.device)[chosen] if fits else None
    except (IndexError, TypeError, ValueError, RuntimeError):
        numbers = None
    if numbers is None or numbers.ndim > 1:
        raise IndexError(f"index must choose among {size} {what}, along one axis: got {index!r}")
    return numbers.reshape(-1)


def _check_shapes(times: Tensor, values: Tensor) -> None:
    check_shape("times", times, "B T", (None, None))
    check_shape("values", values, "B T D", (*times.shape, None))
    check_floating("times", times)
    check_floating("values", values)
    check_same("times", "device", times.device, "values", values.device)


def _check_times(times: Tensor, valid: Tensor) -> None:
    """Refuse times (B, T) of real steps that are not finite, or do not increase."""
    refuse_where(
        valid & ~times.isfinite(),
        lambda b, k: f"times must be finite: series {b} has times[{k}] = {times[b, k]}",
    )
    refuse_where(
        valid[:, 1:] & (times[:, 1:] <= times[:, :-1]),
        lambda b, k: (
            f"times must increase within each series: "
            f"series {b} has times[{k + 1}] = {times[b, k + 1]} after {times[b, k]}"
        ),
    )


def _check_observations(batch: IrregularBatch) -> None:
    """Refuse an observation beyond its series' end, or one that is not finite."""
    values, mask, lengths = batch.values, batch.mask, batch.lengths
    refuse_where(
        mask & ~batch.valid.unsqueeze(-1),
        lambda b, k, d: (
            f"mask must be False beyond a series' length: "
            f"series {b} has length {lengths[b]} and mask[{k}, {d}] = True"
        ),
    )
    if values[mask].isfinite().all():  # in a sparse batch far cheaper than to look for the place
        return
    refuse_where(
        mask & ~values.isfinite(),
        lambda b, k, d: (
            f"observed values must be finite: series {b} has values[{k}, {d}] = {values[b, k, d]}"
        ),
    )


def _grid_cells(times: Tensor, valid: Tensor, step: float, start: float) -> Tensor:
    """Cell ⌈(times - start) / step⌉ of each real step (B, T); 0 in padding."""
    check_positive_number("step", step)
    check_finite_number("start", start)
    times = torch.where(valid, times, start)
    refuse_where(
        ~((times.double() - start) / step < MAX_CELLS),
        lambda b, k: (
            f"step must leave fewer than 2³¹ cells: {step} does not, up to times[{b}, {k}] = {times[b, k]}"
        ),
    )
    position = (times.double() - start) / step
    round_off = MAX_ROUND_OFF * torch.finfo(times.dtype).eps * (times.double().abs() + abs(start)) / step
    refuse_where(
        position < -round_off,
        lambda b, k: f"times must not lie before start = {start}: series {b} has times[{k}] = {times[b, k]}",
    )
    nearest = position.round()
    return torch.where((position - nearest).abs() <= round_off, nearest, position.ceil()).long()


def _cell_means(cells: Tensor, values: Tensor, mask: Tensor, number_of_cells: int) -> tuple[Tensor, Tensor]:
    """Mean (0 where empty) and number of the observed values (B, T, D) in each cell, both (B, K, D)."""
    index = cells.unsqueeze(-1).expand_as(values)  # (B, T, D)
    empty = values.new_zeros(values.shape[0], max(number_of_cells, 1), values.shape[2])  # padding has cell 0
    totals = empty.scatter_add(1, index, torch.where(mask, values, 0.0))[:, :number_of_cells]
    counts = empty.scatter_add(1, index, mask.to(values.dtype))[:, :number_of_cells]
    return totals / counts.clamp(min=1), counts
