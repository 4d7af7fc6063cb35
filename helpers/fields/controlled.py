"""Fields that are driven from outside, y' = f(t, y, u(t)), and inputs u(t) from samples of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from helpers.arguments import check_finite, check_floating, check_like, refuse_where
from helpers.dynamics import jacobian

Time = float | Tensor


class ControlledField(nn.Module):
    """A field with inputs, and what they are at each time, together an ordinary field of t and y.

    ::

        y' = f(t, y, u(t))

    Parameters
    ----------
    field : callable
        f, from t, y (B, D) and u (B, I) to y' (B, D): `MLPField(D, inputs=I)`, for example.
    u : callable
        From t, a number or (B,), to the inputs (B, I) or, if all samples share them, (I,):
        a `ZeroOrderHold` or `LinearInterpolation` of samples, or any function. If it is a module, its
        weights are trained too.

    Raises
    ------
    ValueError
        If one of the two cannot be called.

    Notes
    -----
    An adaptive solver finds a jump or a kink of u by failing there: it tries shorter and shorter steps until
    one fits. Where they are known, solve from each to the next, or name them to the solver (`jump_t` in
    torchdiffeq). Some solvers, torchdiffeq's among them, step beyond the last time asked for and interpolate
    back: let u go on for a while there.
    """

    def __init__(self, field: Callable[..., Tensor], u: Callable[[Time], Tensor]) -> None:
        super().__init__()
        for name, part in {"field": field, "u": u}.items():
            if not callable(part):
                raise ValueError(f"{name} must be callable: got {type(part).__name__}")
        self.field, self.u = field, u

    def forward(self, t: Time, y: Tensor) -> Tensor:
        """The rate of change f(t, y, u(t)) (B, D), at t (B,) or one number, and y (B, D)."""
        return self.field(t, y, self.u(t))

    def jacobian(self, t: Time, y: Tensor) -> Tensor:
        """∂f/∂y (B, D, D), the field's own `jacobian` where it has one; u does not depend on y."""
        u = self.u(t)
        if hasattr(self.field, "jacobian"):
            return self.field.jacobian(t, y, u)
        return jacobian(lambda y: self.field(t, y, u), y)


@dataclass(frozen=True, eq=False)
class ZeroOrderHold:
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
        _check_samples(self.times, self.values, least=1)

    def __call__(self, t: float | Tensor) -> Tensor:
        """u(t) (B, I), or (I,) for one t and shared samples; t is a number or (B,)."""
        t = _as_times(t, self.times)
        return _rows(self.values, (_count_until(t, self.times) - 1).clamp(min=0))


@dataclass(frozen=True, eq=False)
class LinearInterpolation:
    """An input on the straight line between two samples: continuous, with a kink at each.

    ::

        u(t) = u_k + (t - t_k) / (t_{k+1} - t_k) · (u_{k+1} - u_k)   for t_k ≤ t ≤ t_{k+1}

    Before the first sample it is the first one, after the last it is the last one. Between two samples it
    uses the later one: where a model must not look ahead, take `ZeroOrderHold`.

    Parameters
    ----------
    times : Tensor (T,)
        When the samples were taken, at least two; they must increase.
    values : Tensor (T, I) or (B, T, I)
        The samples, shared by all series or one row for each.

    Raises
    ------
    ValueError
        As `ZeroOrderHold`, or if there is only one sample.
    """

    times: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        _check_samples(self.times, self.values, least=2)

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


def _check_samples(times: Tensor, values: Tensor, least: int) -> None:
    """Refuse samples that do not say what the input is when."""
    if times.ndim != 1 or len(times) < least:
        raise ValueError(f"times must have shape (T,) with T at least {least}: got {tuple(times.shape)}")
    if values.ndim not in (2, 3) or values.shape[-2] != len(times):
        raise ValueError(
            f"values must have shape (T, I) or (B, T, I) with T = {len(times)}: got {tuple(values.shape)}"
        )
    check_floating("times", times)
    check_like("values", values, "times", times)
    check_finite("times", times)
    check_finite("values", values)
    refuse_where(
        times.diff() <= 0,
        lambda k: f"times must increase: times[{k + 1}] = {times[k + 1]:g} after {times[k]:g}",
    )
