"""When patients come: visit times whose intensity may follow their state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import (
    check_fits,
    check_floating_dtype,
    check_generator,
    check_not_negative_number,
    check_positive_number,
    check_tensor,
    check_whole_number,
    refuse_where,
    valid_steps,
)

MAX_CANDIDATES = 2**31


@dataclass(frozen=True, eq=False)
class Visits:
    """Visit times, padded with the horizon, so that `IrregularBatch` takes times and lengths as they are.

    Attributes
    ----------
    times : Tensor (B, T)
        Strictly increasing within each series, from 0 to the horizon.
    mask : Tensor (B, T), bool
        True for a visit, False for padding.
    lengths : Tensor (B,), integers
        Number of visits of each series.
    intensity : Tensor (B, T)
        The true intensity at each visit, per unit of time; 0 in padding.
    """

    times: Tensor
    mask: Tensor
    lengths: Tensor
    intensity: Tensor


def visit_times(
    horizon: float,
    intensity: float | Callable[[Tensor], Tensor],
    *,
    batch: int,
    generator: torch.Generator,
    bound: float | None = None,
    dtype: torch.dtype | None = None,
) -> Visits:
    """Draw visit times from a Poisson process whose intensity is a number or a function of time.

    Lewis and Shedler's thinning draws candidates at the constant rate `bound` and keeps each
    with its share of it::

        n ~ Poisson(bound · horizon),   t[1] < … < t[n] uniform on [0, horizon]
        P(keep t[i]) = intensity(t[i]) / bound

    An intensity that follows a patient's state is a function that looks the state up. With
    `severity` (B, G) at the times `grid` (G,), between 0 and 1::

        def intensity(times):  # (B, K), per hour
            latest = torch.searchsorted(grid, times, right=True) - 1
            return 0.1 + 0.9 * severity.gather(1, latest)

        visits = visit_times(48.0, intensity, batch=len(severity), generator=generator, bound=1.0)

    Parameters
    ----------
    horizon : float
        End of observation; it starts at 0.
    intensity : float or function
        Expected visits per unit of time; a function maps times (B, K) to intensities (B, K).
    batch : int
        Number of series, B.
    generator : torch.Generator
        The visits are on its device.
    bound : float
        With a function only: a number that the intensity never exceeds.
    dtype : torch.dtype, optional
        Of the times; PyTorch's default dtype if left out. Visits closer than it resolves count as one.

    Raises
    ------
    ValueError
        If an argument is out of range, or the intensity at a candidate is negative, not finite,
        or above `bound`.

    Source: Lewis & Shedler (1979), Simulation of nonhomogeneous Poisson processes by thinning, Naval
    Research Logistics Quarterly 26:403-413.
    """
    check_generator("generator", generator)
    dtype = torch.get_default_dtype() if dtype is None else dtype
    check_floating_dtype("dtype", dtype)
    check_positive_number("horizon", horizon)
    check_whole_number("batch", batch)
    function, bound = _as_function(intensity, bound)
    _check_range(horizon, "bound" if callable(intensity) else "intensity", bound, dtype)
    candidates, real = _candidates(horizon, bound, batch, generator, dtype)
    intensities = function(candidates.clone())  # (B, K)
    _check_intensities(intensities, candidates, real, bound)
    draws = torch.rand(
        candidates.shape, generator=generator, dtype=candidates.dtype, device=candidates.device
    )
    accepted = real & (draws * bound < intensities)
    return _compact(candidates, intensities, accepted, horizon)


def _as_function(
    intensity: float | Callable[[Tensor], Tensor], bound: float | None
) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return the intensity as a function, with its bound: a constant is its own."""
    if callable(intensity):
        if bound is None:
            raise ValueError("bound must be given with an intensity function: a number that it never exceeds")
        check_not_negative_number("bound", bound)
        return intensity, bound
    if bound is not None:
        raise ValueError(f"bound must be left out with a constant intensity: got {bound}")
    check_not_negative_number("intensity", intensity)
    return lambda times: torch.full_like(times, intensity), intensity


def _candidates(
    horizon: float, bound: float, batch: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Sorted candidate times (B, K), padded with the horizon, and which of them are real and distinct."""
    device = generator.device
    expected = torch.full((batch, 1), bound * horizon, dtype=torch.float64, device=device)
    counts = torch.poisson(expected, generator=generator)  # (B, 1)
    number = int(counts.max())
    real = torch.arange(number, device=device) < counts
    uniform = torch.rand(batch, number, generator=generator, dtype=torch.float64, device=device)
    times = torch.where(real, horizon * uniform, horizon).to(dtype).sort(dim=1).values
    distinct = times.diff(dim=1, prepend=torch.full_like(times[:, :1], -1)) > 0
    return times, real & distinct


def _compact(candidates: Tensor, intensities: Tensor, accepted: Tensor, horizon: float) -> Visits:
    """Move the accepted candidates to the front and cut the rest."""
    lengths = accepted.sum(1)
    mask = valid_steps(lengths, int(lengths.max()))  # (B, T)
    order = torch.argsort(~accepted, dim=1, stable=True)[:, : mask.shape[1]]  # by time
    times = torch.where(mask, candidates.gather(1, order), horizon)
    return Visits(times, mask, lengths, torch.where(mask, intensities.gather(1, order), 0.0))


def _check_range(horizon: float, name: str, bound: float, dtype: torch.dtype) -> None:
    """Refuse what the dtype cannot hold, and more candidates than any memory can; `name` is the bound's."""
    check_fits("horizon", horizon, dtype)
    check_fits(name, bound, dtype)
    if not horizon * bound < MAX_CANDIDATES:
        raise ValueError(
            f"horizon and {name} must let fewer than 2³¹ visits be expected: got {horizon!r} and {bound!r}"
        )


def _check_intensities(intensities: Tensor, times: Tensor, real: Tensor, bound: float) -> None:
    check_tensor("what intensity returns", intensities)
    if intensities.shape != times.shape:
        raise ValueError(
            f"intensity must return shape (B, K) = {tuple(times.shape)}: got {tuple(intensities.shape)}"
        )
    refuse_where(
        real & ~((intensities >= 0) & (intensities <= bound)),
        lambda b, k: (
            f"intensity must lie between 0 and bound = {bound}: "
            f"series {b} has intensity {intensities[b, k]} at time {times[b, k]}"
        ),
    )
