"""What `solve` asks of its arguments."""

from math import isfinite
from numbers import Integral

import torch
from torch import Tensor

from helpers.odes.tableau import Tableau
from helpers.odes.tableaux import TABLEAUX

GRADIENTS = ("direct",)
ON_FAILURE = ("raise", "return")


def check_state(y0: Tensor) -> None:
    """Refuse anything but finite float32 or float64 states (B, ...)."""
    if not isinstance(y0, Tensor) or y0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"y0 must be a float32 or float64 tensor: got {kind(y0)}")
    if y0.ndim == 0 or y0.numel() == 0:
        raise ValueError(
            f"y0 must have shape (B, ...) with at least one sample and entry: got shape {tuple(y0.shape)}"
        )
    finite = y0.isfinite()
    if not finite.all():
        place = (~finite).nonzero()[0].tolist()
        raise ValueError(f"y0 must be finite: y0[{_listed(place)}] = {y0[tuple(place)].item()}")


def check_times(t: Tensor, y0: Tensor) -> Tensor:
    """Refuse times that do not run one way; return them as float64 (B, T)."""
    batch = len(y0)
    if not (isinstance(t, Tensor) and t.is_floating_point()):
        raise ValueError(f"t must be a floating-point tensor: got {kind(t)}")
    if t.requires_grad and torch.is_grad_enabled():
        raise ValueError("t must not require a gradient, for solve gives none by its times: pass t.detach()")
    if t.device != y0.device:
        raise ValueError(f"t must be on the device of y0, {y0.device}: got {t.device}")
    if t.ndim not in (1, 2) or t.shape[-1] == 0 or (t.ndim == 2 and len(t) != batch):
        raise ValueError(f"t must have shape (T,) or (B, T) with B = {batch} and T ≥ 1: got {tuple(t.shape)}")
    finite = t.isfinite()
    if not finite.all():
        place = (~finite).nonzero()[0].tolist()
        raise ValueError(f"t must be finite: t[{_listed(place)}] = {t[tuple(place)].item()}")
    times = t.detach().double()
    _check_one_way(times)
    return times.expand(batch, -1).clone(memory_format=torch.contiguous_format)


def _check_one_way(times: Tensor) -> None:
    """Refuse series (..., T) that neither increase nor decrease, naming the first place."""
    changes = times.diff().sign()
    wrong = (changes != changes[..., :1]) | (changes == 0)
    if not wrong.any():
        return
    *series, k = wrong.nonzero()[0].tolist()
    values = times[tuple(series)]
    way = {1.0: "increase", -1.0: "decrease", 0.0: "increase or decrease"}[changes[(*series, 0)].item()]
    which = f"series {series[0]} has " if series else ""
    where = "within each series" if series else "throughout"
    raise ValueError(
        f"times must {way} {where}: {which}t[{k + 1}] = {values[k + 1].item()} after {values[k].item()}"
    )


def check_method(method: str) -> Tableau:
    """The tableau of a method; refuse an unknown name."""
    if not (isinstance(method, str) and method in TABLEAUX):
        raise ValueError(f"method must be one of {', '.join(TABLEAUX)}: got {method!r}")
    return TABLEAUX[method]


def check_options(rtol: float, atol: float, gradient: str, max_steps: int, on_failure: str) -> None:
    """Refuse tolerances, counts and names that do not make sense."""
    for name, value in {"rtol": rtol, "atol": atol}.items():
        if not (_is_number(value) and isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive finite number: got {value!r}")
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {', '.join(GRADIENTS)}: got {gradient!r}")
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure must be one of {', '.join(ON_FAILURE)}: got {on_failure!r}")
    if not isinstance(max_steps, Integral) or isinstance(max_steps, bool) or max_steps < 1:
        raise ValueError(f"max_steps must be a whole number of at least 1: got {max_steps!r}")


def check_atol(atol: float, dtype: torch.dtype) -> None:
    """Refuse an absolute tolerance that is 0 among the states' numbers."""
    smallest = torch.finfo(dtype).tiny
    if atol < smallest:
        raise ValueError(f"atol must be at least {smallest:.2g} for {dtype} states: got {atol!r}")


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
    if step is not None and not (_is_number(step) and isfinite(step) and step > 0):
        raise ValueError(f"step must be a positive finite length: got {step!r}")
    if step is not None:
        _check_not_lost(step, "step", times)
    if first_step is None:
        return
    if not (_is_number(first_step) and isfinite(first_step) and first_step != 0):
        raise ValueError(f"first_step must be a finite number other than 0: got {first_step!r}")
    backwards = (times[:, -1] - times[:, 0]) * first_step < 0
    if backwards.any():
        sample = int(backwards.nonzero()[0])
        first, last = times[sample, 0].item(), times[sample, -1].item()
        raise ValueError(
            f"first_step must lead from the first time to the last: got {first_step!r} for times "
            f"from {first} to {last} (sample {sample})"
        )
    _check_not_lost(first_step, "first_step", times[:, :1])


def _check_not_lost(step: float, name: str, times: Tensor) -> None:
    """Refuse a step that rounds away where it begins."""
    lost = (times + step == times).any(1)
    if lost.any():
        sample = int(lost.nonzero()[0])
        latest = times[sample].abs().max().item()
        raise ValueError(f"{name} must be long enough to change t: got {step!r} at times up to {latest:g}")


def check_slope(slope: Tensor, y0: Tensor) -> None:
    """Refuse a field that returns another shape, dtype or device than its state has."""
    if not isinstance(slope, Tensor):
        raise ValueError(f"f must return a tensor: got {kind(slope)}")
    for what in ("shape", "dtype", "device"):
        found, expected = getattr(slope, what), getattr(y0, what)
        if found != expected:
            raise ValueError(f"f must return the {what} of y, {_plain(expected)}: got {_plain(found)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def kind(thing: object) -> str:
    """What a thing is, for messages."""
    return f"a {thing.dtype} tensor" if isinstance(thing, Tensor) else type(thing).__name__


def _listed(place: list[int]) -> str:
    return ", ".join(map(str, place))


def _plain(thing: object) -> object:
    return tuple(thing) if isinstance(thing, torch.Size) else thing
