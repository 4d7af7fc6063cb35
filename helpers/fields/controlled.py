"""Fields that are driven from outside, y' = f(t, y, u(t)), and inputs u(t) from samples of them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers.arguments import (
    check_finite,
    check_floating,
    check_like,
    check_same,
    check_tensor,
    kind,
    refuse_where,
)
from helpers.dynamics import jacobian
from helpers.fields.arguments import Time, time_like
from helpers.series import IrregularBatch


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
        a `ZeroOrderHold` or `LinearInterpolation` of samples, or any function; taken in the dtype of y. If it
        is a module, its weights are trained too.

    Attributes
    ----------
    breaks : Tensor (K,) or (B, K), or None
        When u jumps or has a kink: what u says of itself in an attribute of that name.

    Raises
    ------
    ValueError
        If one of the two cannot be called.

    Notes
    -----
    `helpers.odes.solve` restarts at the `breaks`. Without them no solver finds a short pulse for sure: an
    adaptive one has a jump of u within a step spoil its error estimate, and tries shorter steps, but it steps
    over a pulse between two of its evaluations without notice. To other solvers name them (`jump_t` in
    torchdiffeq). Some solvers, torchdiffeq's among them, step beyond the last time asked for and interpolate
    back: let u go on for a while there.
    """

    def __init__(self, field: Callable[..., Tensor], u: Callable[[Time], Tensor]) -> None:
        super().__init__()
        for name, part in {"field": field, "u": u}.items():
            if not callable(part):
                raise ValueError(f"{name} must be callable: got {type(part).__name__}")
        self.field, self.u = field, u

    @property
    def breaks(self) -> Tensor | None:
        """When u jumps or has a kink, (K,) or (B, K), as far as it says so."""
        return getattr(self.u, "breaks", None)

    def forward(self, t: Time, y: Tensor) -> Tensor:
        """The rate of change f(t, y, u(t)) (B, D), at t (B,) or one number, and y (B, D)."""
        return self.field(t, y, self._inputs(t, y))

    def jacobian(self, t: Time, y: Tensor) -> Tensor:
        """∂f/∂y (B, D, D), the field's own `jacobian` where it has one; u does not depend on y."""
        u = self._inputs(t, y)
        if hasattr(self.field, "jacobian"):
            return self.field.jacobian(t, y, u)
        return jacobian(lambda y: self.field(t, y, u), y)

    def _inputs(self, t: Time, y: Tensor) -> Tensor:
        """u(t) in the dtype of y."""
        check_floating("y", y)
        u = self.u(t)
        if not isinstance(u, Tensor):
            raise ValueError(f"u must return a tensor: got {kind(u)}")
        return u.to(y.dtype)


class Samples(nn.Module):
    """When an input was sampled, and what it was: buffers, which move and are saved with the model.

    An `nn.Parameter` stays one: then the samples are learnt. Of an `IrregularBatch` the padding lies at
    infinity, so that no time comes to it.
    """

    least = 1
    """How many samples say what the input is."""

    def __init__(self, times: Tensor | IrregularBatch, values: Tensor | None = None) -> None:
        super().__init__()
        if isinstance(times, IrregularBatch):
            times, values = _samples_of(times, values, self.least)
        else:
            _check_samples(times, values, self.least)
        self.register_buffer("times", times)
        if isinstance(values, nn.Parameter):
            self.values = values
        else:
            self.register_buffer("values", values)

    def extra_repr(self) -> str:
        """How many samples of how many inputs, for printing."""
        return f"times={tuple(self.times.shape)}, values={tuple(self.values.shape)}"

    def _finite_times(self) -> Tensor:
        """The times; in padding the first."""
        return torch.where(self.times.isfinite(), self.times, self.times[..., :1])

    def _latest(self, t: Time) -> tuple[Tensor, Tensor]:
        """t, a number or (B,), as a tensor beside the times, and how many samples have passed at t."""
        t = time_like(t, self.times)
        if t.ndim > 1:
            raise ValueError(f"t must be one number or one for each sample, (B,): got shape {tuple(t.shape)}")
        if self.times.ndim == 1:
            return t, torch.searchsorted(self.times, t.contiguous(), right=True)
        t = t.expand(len(self.times)) if t.ndim == 0 else t
        self._check_series(t, len(self.times))
        return t, torch.searchsorted(self.times, t[:, None].contiguous(), right=True).squeeze(-1)

    def _at(self, samples: Tensor, index: Tensor) -> Tensor:
        """Each series' sample at its own index, from (T, …) or (B, T, …), one index or (B,)."""
        own = self.times.ndim == 2 if samples is self.times else samples.ndim == 3
        if not own:
            return samples[index]
        if index.ndim == 0:
            return samples[:, index]
        self._check_series(index, len(samples))
        return samples[torch.arange(len(samples), device=samples.device), index]

    @staticmethod
    def _check_series(t: Tensor, series: int) -> None:
        if len(t) != series:
            raise ValueError(f"t must have one time for each of {series} series: got {len(t)}")


class ZeroOrderHold(Samples):
    """An input that stays as it is until the next sample: piecewise constant, as a switch or a pump sets it.

    ::

        u(t) = u_k   for t_k ≤ t < t_{k+1}

    Before the first sample it is the first one, from the last on it is the last one.

    Parameters
    ----------
    times : Tensor (T,) or (B, T), or IrregularBatch
        When the samples were taken, by all series or by each; they must increase. A series with fewer samples
        than others repeats its last one at any later times. A batch has its own values and lengths.
    values : Tensor (T, I) or (B, T, I)
        The samples, shared by all series or one row for each; left out beside a batch.

    Attributes
    ----------
    breaks : Tensor (T - 1,) or (B, T - 1)
        Where it jumps: at every sample but the first.

    Raises
    ------
    ValueError
        If times do not increase, or shapes, dtypes or devices do not fit, or a number is not finite; or if
        an entry of a batch is missing.
    """

    @property
    def breaks(self) -> Tensor:
        """Where it jumps: at every sample but the first, (T - 1,) or (B, T - 1)."""
        return self._finite_times()[..., 1:]

    def forward(self, t: Time) -> Tensor:
        """u(t) (B, I), or (I,) for one t where all series share the samples; t is a number or (B,)."""
        _, passed = self._latest(t)
        return self._at(self.values, (passed - 1).clamp(min=0))


class LinearInterpolation(Samples):
    """An input on the straight line between two samples: continuous, with a kink at each.

    ::

        u(t) = u_k + (t - t_k) / (t_{k+1} - t_k) · (u_{k+1} - u_k)   for t_k ≤ t ≤ t_{k+1}

    Before the first sample it is the first one, after the last it is the last one. Between two samples it
    uses the later one: where a model must not look ahead, take `ZeroOrderHold`.

    Parameters
    ----------
    times : Tensor (T,) or (B, T), or IrregularBatch
        When the samples were taken, at least two, by all series or by each; they must increase. A batch has
        its own values and lengths.
    values : Tensor (T, I) or (B, T, I)
        The samples, shared by all series or one row for each; left out beside a batch.

    Attributes
    ----------
    breaks : Tensor (T,) or (B, T)
        Where it has a kink: at every sample.

    Raises
    ------
    ValueError
        As `ZeroOrderHold`, or if there is only one sample.
    """

    least = 2

    @property
    def breaks(self) -> Tensor:
        """Where it has a kink: at every sample, (T,) or (B, T)."""
        return self._finite_times()

    def forward(self, t: Time) -> Tensor:
        """u(t) (B, I), or (I,) for one t where all series share the samples; t is a number or (B,)."""
        t, passed = self._latest(t)
        after = passed.clamp(1, self.times.shape[-1] - 1)
        begin, end = self._at(self.times, after - 1), self._at(self.times, after)
        part = ((t - begin) / (end - begin)).clamp(0, 1)
        return torch.lerp(self._at(self.values, after - 1), self._at(self.values, after), part.unsqueeze(-1))


def _samples_of(batch: IrregularBatch, values: Tensor | None, least: int) -> tuple[Tensor, Tensor]:
    """The times (B, T) and values (B, T, I) of a batch of which nothing is missing; padding at infinity."""
    if values is not None:
        raise ValueError("values must be left out where times is an IrregularBatch, which has its own")
    lengths = batch.lengths
    refuse_where(
        lengths < least,
        lambda b: f"times must have at least {least} samples in each series: series {b} has {lengths[b]}",
    )
    refuse_where(
        batch.valid.unsqueeze(-1) & ~batch.mask,
        lambda b, k, i: (
            f"times must be a batch of which nothing is missing: series {b} lacks input {i} at its "
            f"time {k}; fill it first, with batch.last_observed(), say"
        ),
    )
    check_same("values", "dtype", batch.values.dtype, "times", batch.times.dtype)
    times = torch.where(batch.valid, batch.times, torch.inf)
    return times, torch.where(batch.valid.unsqueeze(-1), batch.values, 0.0)


def _check_samples(times: Tensor, values: Tensor, least: int) -> None:
    """Refuse samples that do not say what the input is when."""
    check_tensor("times", times, "be a floating-point tensor or an IrregularBatch")
    check_floating("times", times), check_floating("values", values)
    if times.ndim not in (1, 2) or times.shape[-1] < least:
        expected = f"(T,) or (B, T) with T at least {least}"
        raise ValueError(f"times must have shape {expected}: got {tuple(times.shape)}")
    steps = times.shape[-1]
    if values.ndim not in (2, 3) or values.shape[-2] != steps:
        raise ValueError(
            f"values must have shape (T, I) or (B, T, I) with T = {steps}: got {tuple(values.shape)}"
        )
    if times.ndim == 2 and values.ndim == 3:
        check_same("values", "number of series", len(values), "times", len(times))
    check_like("values", values, "times", times)
    check_finite("times", times)
    check_finite("values", values)
    refuse_where(times.diff() <= 0, partial(_say_falling, times))


def _say_falling(times: Tensor, *place: int) -> str:
    *series, k = place
    own = times[tuple(series)]
    of = f" within each series: series {series[0]} has" if series else ":"
    return f"times must increase{of} times[{k + 1}] = {own[k + 1]:g} after {own[k]:g}"
