"""What `solve` and its interpolant ask of their arguments."""

from collections.abc import Iterable

import torch
from torch import Tensor

from helpers.arguments import (
    as_list,
    check_finite,
    check_floating,
    check_lengths,
    check_like,
    check_one_of,
    check_positive,
    check_positive_number,
    check_returns_like,
    check_same,
    check_tensor,
    check_whole_number,
    entry,
    is_finite_number,
    kind,
    refuse_where,
    valid_steps,
)
from helpers.odes.loop import Field, Several
from helpers.odes.stepper import first_slope
from helpers.odes.tableau import TABLEAUX, Tableau

ON_FAILURE = ("raise", "return")

COARSEST_CLOCK = 1e-4
"""A field's clock ticks in the states' dtype; a tick is at most so large a part of the time solved for."""

CLOCK_PROBES = (0.0, 0.29, 0.62, 0.87, 1.0)
"""Parts of the time solved for at which is seen whether a field looks at its clock."""


def check_state(y0: Tensor, name: str = "y0") -> None:
    """Refuse anything but finite float32 or float64 states (B, ...), or one state (D,)."""
    if not isinstance(y0, Tensor) or y0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be a float32 or float64 tensor: got {kind(y0)}")
    if y0.ndim == 0 or y0.numel() == 0:
        expected = "shape (B, ...) with at least one sample and entry"
        raise ValueError(f"{name} must have {expected}: got shape {tuple(y0.shape)}")
    refuse_vmap(name, y0)
    check_finite(name, y0)


def named_parts(name: str, parts: Several) -> dict[str, Tensor]:
    """The tensors of a tuple or dict by their names, `y0[0]` or `y0['cell']`."""
    items = parts.items() if isinstance(parts, dict) else enumerate(parts)
    return {f"{name}[{key!r}]": part for key, part in items}


def check_parts(y0: Several) -> None:
    """Refuse parts of states that are no states (B, ...) of one batch, dtype and device."""
    named = named_parts("y0", y0)
    if type(y0) not in (tuple, dict) or not named:
        got = kind(y0) if named else f"an empty {kind(y0)}"
        raise ValueError(f"y0 must be a tensor, or a tuple or dict of tensors: got {got}")
    first = next(iter(named))
    for name, part in named.items():
        if isinstance(part, Tensor) and isinstance(named[first], Tensor):
            check_like(name, part, first, named[first])
        check_state(part, name)
        check_same(name, "number of samples", len(part), first, len(named[first]))


def check_same_parts(name: str, parts: Several, y: Several) -> None:
    """Refuse anything but a tuple as long as y, or a dict with its keys."""
    expected = named_parts(name, y)
    found = named_parts(name, parts) if type(parts) is type(y) else {}
    if found.keys() != expected.keys():
        got = f"{', '.join(found)}" if found else kind(parts)
        raise ValueError(f"{name} must be a {kind(y)} of {', '.join(expected)}: got {got}")


def check_returns_parts(function: str, result: Several, y: Several, t: Tensor) -> None:
    """Refuse slopes or states that are not, part by part, like the states; saying when."""
    try:
        check_same_parts(f"{function}(t, y)", result, y)
        found = named_parts("y", result)
        for name, part in named_parts("y", y).items():
            check_returns_like(function, found[name], name, part)
    except ValueError as error:
        raise ValueError(f"{error}, at t = {t[0].item():g}") from None


def check_tolerance_of_parts(name: str, value: float | Several, y0: Several) -> float | Tensor:
    """Refuse a tolerance that is neither one number nor one for each part; return them joined (D,)."""
    if not isinstance(value, tuple | dict):
        check_positive_number(name, value)
        return value
    check_same_parts(name, value, y0)
    parts, given = named_parts(name, y0), named_parts(name, value)
    each = [check_tolerance(key, given[key], part).expand(part.shape[1:]) for key, part in parts.items()]
    return torch.cat([numbers.flatten() for numbers in each])


def refuse_vmap(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that torch.vmap splits: how many steps there are depends on its numbers."""
    try:
        bool(tensor.detach().reshape(-1)[0] == 0)
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise ValueError(
            f"{name} must not be split by torch.vmap, for each sample chooses its steps by its numbers: "
            "pass the samples as one batch (B, ...), which solve takes as it is"
        ) from None


def check_times(t: Tensor, lengths: Tensor | None, y0: Tensor) -> Tensor:
    """Refuse times that turn back; return them as float64 (B, T), in padding the last before it.

    Where autograd is on they keep the graph of t.
    """
    _check_time_tensor(t, "y0", y0, least=1)
    refuse_vmap("t", t)
    times = (t if torch.is_grad_enabled() else t.detach()).double()
    if lengths is not None:
        times = _repeat_last(times.expand(len(y0), -1), lengths)
    check_finite("t", times)
    _check_one_way(times.detach())
    return times.expand(len(y0), -1).clone(memory_format=torch.contiguous_format)


def _repeat_last(times: Tensor, lengths: Tensor) -> Tensor:
    """Times (B, T) with each series' last in its padding; 0 in a series of length 0."""
    check_lengths(lengths, "t", times)
    last = times.gather(1, (lengths.long() - 1).clamp(min=0)[:, None])
    return torch.where(
        valid_steps(lengths, times.shape[1]), times, torch.where(lengths[:, None] > 0, last, 0.0)
    )


def check_breaks(name: str, breaks: Tensor, y0: Tensor) -> Tensor:
    """Refuse breaks that are no times (K,) or (B, K); return them as float64 (B, K), in order."""
    _check_time_tensor(breaks, "y0", y0, least=0, name=name, axis="K")
    check_finite(name, breaks)
    return breaks.detach().double().expand(len(y0), -1).sort(1).values


def check_clock(f: Field, times: Tensor, y0: Tensor) -> None:
    """Refuse times (B, T) that the states' dtype does not tell apart, for an f that looks at them."""
    span = (times[:, -1] - times[:, 0]).abs()
    tick = torch.finfo(y0.dtype).eps * times.abs().amax(1)
    coarse = (span > 0) & (tick > COARSEST_CLOCK * span)

    def message(sample: int) -> str:
        return (
            f"t must be resolved by y0's dtype, in which f gets the time: {y0.dtype} has steps of "
            f"{tick[sample].item():.2g} at {times[sample].abs().max().item():g}: got a span of "
            f"{span[sample].item():.2g} (sample {sample}); count time from nearer by, or pass float64 states"
        )

    if coarse.any():
        refuse_where(coarse & _looks_at_time(f, times, y0.detach()), message)


@torch.no_grad()
def _looks_at_time(f: Field, times: Tensor, y: Tensor) -> Tensor:
    """Whether the slopes (B, ...) at y differ between some of the times, for each sample (B,)."""
    first, *others = (
        first_slope(f, torch.lerp(times[:, 0], times[:, -1], part), y).clone() for part in CLOCK_PROBES
    )
    differ = [(slope != first) & ~(slope.isnan() & first.isnan()) for slope in others]
    return torch.stack(differ).any(0).reshape(len(y), -1).any(1)


def check_times_within(t: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Refuse times that were not solved for, from first to last (B,); return them as float64 (B, T)."""
    _check_time_tensor(t, "the solution", first, least=0)
    times = t.double().expand(len(first), -1).contiguous()
    low, high = torch.minimum(first, last), torch.maximum(first, last)

    def message(sample: int, k: int) -> str:
        place = (sample, k) if t.ndim == 2 else (k,)
        return (
            f"t must lie within the times solved for, {low[sample].item()} to {high[sample].item()} "
            f"in sample {sample}: {entry('t', t.detach().double(), *place)}"
        )

    refuse_where(~((times >= low[:, None]) & (times <= high[:, None])), message)
    return times


def _check_time_tensor(
    t: Tensor, reference_name: str, reference: Tensor, least: int, name: str = "t", axis: str = "T"
) -> None:
    """Refuse anything but times (T,) or (B, T), float32 or float64, on the device of a batch."""
    check_floating(name, t)
    if t.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be a float32 or float64 tensor: got {kind(t)}")
    check_same(name, "device", t.device, reference_name, reference.device)
    batch = len(reference)
    if t.ndim not in (1, 2) or t.shape[-1] < least or (t.ndim == 2 and len(t) != batch):
        expected = f"shape ({axis},) or (B, {axis}) with B = {batch} and {axis} ≥ {least}"
        raise ValueError(f"{name} must have {expected}: got {tuple(t.shape)}")


def _check_one_way(times: Tensor) -> None:
    """Refuse series (..., T) that turn back, naming the first place; a time may repeat."""
    changes = times.diff().sign()
    began = (
        changes.gather(-1, (changes != 0).int().argmax(-1, keepdim=True)) if changes.shape[-1] else changes
    )

    def message(*place: int) -> str:
        *series, k = place
        way = {1.0: "increase", -1.0: "decrease"}[began[(*series, 0)].item()]
        which = f"series {series[0]} has " if series else ""
        where = "within each series" if series else "throughout"
        values = times[tuple(series)]
        later, earlier = values[k + 1].item(), values[k].item()
        return f"times must {way} {where}: {which}t[{k + 1}] = {later} after {earlier}"

    refuse_where(changes * began < 0, message)


def check_method(method: str) -> Tableau:
    """The tableau of a method; refuse an unknown name."""
    check_one_of("method", method, TABLEAUX)
    return TABLEAUX[method]


def check_tolerance(name: str, value: float | Tensor, y0: Tensor) -> Tensor:
    """Refuse a tolerance that is not positive, of another shape than a state's, or 0 among its numbers."""
    if isinstance(value, Tensor) and value.ndim:
        check_floating(name, value)
        check_same(name, "device", value.device, "y0", y0.device)
        if value.shape != y0.shape[1:]:
            expected = f"a number, or a tensor of a state's shape {tuple(y0.shape[1:])}"
            raise ValueError(f"{name} must be {expected}: got shape {tuple(value.shape)}")
        check_positive(name, value)
    else:
        check_positive_number(name, value)
    tolerance = torch.as_tensor(value, dtype=torch.float64, device=y0.device).detach()
    smallest = torch.finfo(y0.dtype).tiny
    if name == "atol" and (tolerance < smallest).any():
        least = value if tolerance.ndim == 0 else tolerance.min().item()
        raise ValueError(f"atol must be at least {smallest:.2g} for {y0.dtype} states: got {least!r}")
    return tolerance.to(y0.dtype)


def check_options(max_steps: int, on_failure: str) -> None:
    """Refuse counts and names that do not make sense."""
    check_whole_number("max_steps", max_steps)
    check_one_of("on_failure", on_failure, ON_FAILURE)


def check_params(params: Iterable[Tensor] | None) -> list[Tensor] | None:
    """Refuse what are no tensors; return them in a list."""
    if params is None:
        return None
    if isinstance(params, Tensor):
        raise ValueError(f"params must be several tensors, as (theta,): got {kind(params)}")
    tensors = as_list("params", params, "several tensors")
    for k, tensor in enumerate(tensors):
        check_tensor(f"params[{k}]", tensor)
    return tensors


def check_step_sizes(
    tableau: Tableau, times: Tensor, first_step: float | None, max_step: float | None, step: float | None
) -> None:
    """Refuse a step that the method does not take, or that does not lead on."""
    if tableau.adaptive and step is not None:
        raise ValueError(
            f"step is for the fixed-grid methods: {tableau.name} chooses its own steps: got step = {step!r}"
        )
    for name, size in {"first_step": first_step, "max_step": max_step}.items():
        if not tableau.adaptive and size is not None:
            raise ValueError(
                f"{name} is for the adaptive methods: {tableau.name} takes step: got {name} = {size!r}"
            )
    for name, size in {"step": step, "max_step": max_step}.items():
        if size is not None:
            check_positive_number(name, size)
            _check_not_lost(size, name, times)
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
