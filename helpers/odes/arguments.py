"""What `solve` and its interpolant ask of their arguments."""

import torch
from torch import Tensor

from helpers.arguments import (
    check_finite,
    check_floating,
    check_one_of,
    check_positive_number,
    check_same,
    check_whole_number,
    entry,
    is_finite_number,
    kind,
    refuse_where,
)
from helpers.odes.tableau import TABLEAUX, Tableau

ON_FAILURE = ("raise", "return")


def check_state(y0: Tensor) -> None:
    """Refuse anything but finite float32 or float64 states (B, ...)."""
    if not isinstance(y0, Tensor) or y0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"y0 must be a float32 or float64 tensor: got {kind(y0)}")
    if y0.ndim == 0 or y0.numel() == 0:
        raise ValueError(
            f"y0 must have shape (B, ...) with at least one sample and entry: got shape {tuple(y0.shape)}"
        )
    check_finite("y0", y0)


def check_times(t: Tensor, y0: Tensor) -> Tensor:
    """Refuse times that do not run one way; return them as float64 (B, T)."""
    _check_time_tensor(t, "y0", y0, least=1)
    check_finite("t", t)
    times = t.detach().double()
    _check_one_way(times)
    return times.expand(len(y0), -1).clone(memory_format=torch.contiguous_format)


def check_times_within(t: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Refuse times that were not solved for, from first to last (B,); return them as float64 (B, T)."""
    _check_time_tensor(t, "the solution", first, least=0)
    times = t.detach().double().expand(len(first), -1).contiguous()
    low, high = torch.minimum(first, last), torch.maximum(first, last)

    def message(sample: int, k: int) -> str:
        place = (sample, k) if t.ndim == 2 else (k,)
        return (
            f"t must lie within the times solved for, {low[sample].item()} to {high[sample].item()} "
            f"in sample {sample}: {entry('t', t.detach().double(), *place)}"
        )

    refuse_where(~((times >= low[:, None]) & (times <= high[:, None])), message)
    return times


def _check_time_tensor(t: Tensor, reference_name: str, reference: Tensor, least: int) -> None:
    """Refuse anything but times (T,) or (B, T) on the device of a batch, with no gradient."""
    check_floating("t", t)
    if t.requires_grad and torch.is_grad_enabled():
        raise ValueError("t must not require a gradient, for there is none by the times: pass t.detach()")
    check_same("t", "device", t.device, reference_name, reference.device)
    batch = len(reference)
    if t.ndim not in (1, 2) or t.shape[-1] < least or (t.ndim == 2 and len(t) != batch):
        expected = f"shape (T,) or (B, T) with B = {batch} and T ≥ {least}"
        raise ValueError(f"t must have {expected}: got {tuple(t.shape)}")


def _check_one_way(times: Tensor) -> None:
    """Refuse series (..., T) that neither increase nor decrease, naming the first place."""
    changes = times.diff().sign()

    def message(*place: int) -> str:
        *series, k = place
        way = {1.0: "increase", -1.0: "decrease", 0.0: "increase or decrease"}[changes[(*series, 0)].item()]
        which = f"series {series[0]} has " if series else ""
        where = "within each series" if series else "throughout"
        values = times[tuple(series)]
        later, earlier = values[k + 1].item(), values[k].item()
        return f"times must {way} {where}: {which}t[{k + 1}] = {later} after {earlier}"

    refuse_where((changes != changes[..., :1]) | (changes == 0), message)


def check_method(method: str) -> Tableau:
    """The tableau of a method; refuse an unknown name."""
    check_one_of("method", method, TABLEAUX)
    return TABLEAUX[method]


def check_options(rtol: float, atol: float, dtype: torch.dtype, max_steps: int, on_failure: str) -> None:
    """Refuse tolerances, counts and names that do not make sense, or round to 0 among the states' numbers."""
    check_positive_number("rtol", rtol)
    check_positive_number("atol", atol)
    smallest = torch.finfo(dtype).tiny
    if atol < smallest:
        raise ValueError(f"atol must be at least {smallest:.2g} for {dtype} states: got {atol!r}")
    check_whole_number("max_steps", max_steps)
    check_one_of("on_failure", on_failure, ON_FAILURE)


def check_step_sizes(tableau: Tableau, times: Tensor, first_step: float | None, step: float | None) -> None:
    """Refuse a step that the method does not take, or that does not lead on."""
    if tableau.adaptive and step is not None:
        raise ValueError(
            f"step is for the fixed-grid methods: {tableau.name} chooses its own steps: got step = {step!r}"
        )
    if not tableau.adaptive and first_step is not None:
        raise ValueError(
            f"first_step is for the adaptive methods: {tableau.name} takes step: "
            f"got first_step = {first_step!r}"
        )
    if step is not None:
        check_positive_number("step", step)
        _check_not_lost(step, "step", times)
    if first_step is not None:
        _check_first_step(first_step, times)


def _check_first_step(first_step: float, times: Tensor) -> None:
    """Refuse a first step that leads nowhere, or away from the last time."""
    if not is_finite_number(first_step) or first_step == 0:
        raise ValueError(f"first_step must be a finite number other than 0: got {first_step!r}")
    first, last = times[:, 0], times[:, -1]
    refuse_where(
        (last - first) * first_step < 0,
        lambda sample: (
            f"first_step must lead from the first time to the last: got {first_step!r} for times "
            f"from {first[sample].item()} to {last[sample].item()} (sample {sample})"
        ),
    )
    _check_not_lost(first_step, "first_step", times[:, :1])


def _check_not_lost(step: float, name: str, times: Tensor) -> None:
    """Refuse a step that rounds away where it begins."""
    refuse_where(
        (times + step == times).any(1),
        lambda sample: (
            f"{name} must be long enough to change t: got {step!r} at times up to "
            f"{times[sample].abs().max().item():g}"
        ),
    )
