"""Inputs u(t) from samples of them: held until the next one, or interpolated."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.fields.arguments import check_finite
from helpers.recurrent.arguments import check_like


@dataclass(frozen=True, eq=False)
class Held:
    """An input that stays as it is until the next sample: piecewise constant, as a switch or a pump sets it.

    ::

        u(t) = u_k   for t_k ≤ t < t_{k+1}

    Before the first sample it is the first one, from the last on it is the last one.

    Parameters
    ----------
    times : Tensor (T,)
        When the samples were taken; they must increase.
    values : Tensor (T, I) or (B, T, I)
        The samples, shared by all series or one row for each.

    Raises
    ------
    ValueError
        If times do not increase, or shapes, dtypes or devices do not fit, or a number is not finite.
    """

    times: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        _check(self.times, self.values, least=1)

    def __call__(self, t: float | Tensor) -> Tensor:
        """u(t) (B, I), or (I,) for one t and shared samples; t is a number or (B,)."""
        t = _as_times(t, self.times)
        return _rows(self.values, (_count_until(t, self.times) - 1).clamp(min=0))


@dataclass(frozen=True, eq=False)
class Interpolated:
    """An input on the straight line between two samples: continuous, with a kink at each.

    ::

        u(t) = u_k + (t - t_k) / (t_{k+1} - t_k) · (u_{k+1} - u_k)   for t_k ≤ t ≤ t_{k+1}

    Before the first sample it is the first one, after the last it is the last one. Between two samples it
    uses the later one: where a model must not look ahead, take `Held`.

    Parameters
    ----------
    times : Tensor (T,)
        When the samples were taken, at least two; they must increase.
    values : Tensor (T, I) or (B, T, I)
        The samples, shared by all series or one row for each.

    Raises
    ------
    ValueError
        As `Held`, or if there is only one sample.
    """

    times: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        _check(self.times, self.values, least=2)

    def __call__(self, t: float | Tensor) -> Tensor:
        """u(t) (B, I), or (I,) for one t and shared samples; t is a number or (B,)."""
        t = _as_times(t, self.times)
        after = _count_until(t, self.times).clamp(1, len(self.times) - 1)
        begin, end = self.times[after - 1], self.times[after]
        part = ((t - begin) / (end - begin)).clamp(0, 1)
        return torch.lerp(_rows(self.values, after - 1), _rows(self.values, after), part.unsqueeze(-1))


def _as_times(t: float | Tensor, times: Tensor) -> Tensor:
    """t as a number or (B,) beside `times`."""
    t = torch.as_tensor(t, dtype=times.dtype, device=times.device)
    if t.ndim > 1:
        raise ValueError(f"t must be one number or one for each sample, (B,): got shape {tuple(t.shape)}")
    return t


def _count_until(t: Tensor, times: Tensor) -> Tensor:
    """How many of `times` have passed at t."""
    return torch.searchsorted(times, t.contiguous(), right=True)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Each series' sample at its own index: from (T, I) or (B, T, I), one index or (B,)."""
    if values.ndim == 2 or index.ndim == 0:
        return values[..., index, :]
    if len(index) != len(values):
        raise ValueError(f"t must have one time for each of {len(values)} series: got {len(index)}")
    return values[torch.arange(len(values), device=values.device), index]


def _check(times: Tensor, values: Tensor, least: int) -> None:
    """Refuse samples that do not say what the input is when."""
    if times.ndim != 1 or len(times) < least:
        raise ValueError(f"times must have shape (T,) with T at least {least}: got {tuple(times.shape)}")
    if values.ndim not in (2, 3) or values.shape[-2] != len(times):
        raise ValueError(
            f"values must have shape (T, I) or (B, T, I) with T = {len(times)}: got {tuple(values.shape)}"
        )
    if not times.is_floating_point():
        raise ValueError(f"times must be floating-point: got {times.dtype}")
    check_like("values", values, "times", times)
    check_finite("times", times)
    check_finite("values", values)
    if (late := times.diff() <= 0).any():
        k = int(late.nonzero()[0]) + 1
        raise ValueError(f"times must increase: times[{k}] = {times[k]:g} after {times[k - 1]:g}")
