"""What every tool of this room asks of the states it starts from."""

import torch
from torch import Tensor


def check_states(name: str, states: Tensor) -> None:
    """Refuse anything but finite floating-point states (B, D)."""
    if not (isinstance(states, Tensor) and states.is_floating_point()):
        kind = f"a {states.dtype} tensor" if isinstance(states, Tensor) else type(states).__name__
        raise ValueError(f"{name} must be a floating-point tensor: got {kind}")
    if states.ndim != 2:
        raise ValueError(f"{name} must have shape (B, D): got shape {tuple(states.shape)}")
    if 0 in states.shape:
        raise ValueError(
            f"{name} must hold at least one state of at least one variable: got {tuple(states.shape)}"
        )
    finite = states.isfinite()
    if not finite.all():
        sample, variable = (~finite).nonzero()[0].tolist()
        value = states[sample, variable].item()
        raise ValueError(f"{name} must be finite: {name}[{sample}, {variable}] = {value}")


def check_same_shape(name: str, result: Tensor, state: Tensor) -> None:
    """Refuse a system that returns another shape, dtype or device than its state has."""
    for what in ("shape", "dtype", "device"):
        found, expected = getattr(result, what), getattr(state, what)
        if found != expected:
            raise ValueError(
                f"{name} must return the {what} of its state, {_plain(expected)}: got {_plain(found)}"
            )


def check_positive(name: str, value: float) -> None:
    """Refuse a number that is not positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite: got {value}")


def check_count(name: str, value: int, least: int = 1) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}: got {value}")


def check_finite_states(states: Tensor, times: Tensor) -> None:
    """Refuse a trajectory (T, B, D) that has left the numbers; say when and which sample."""
    finite = states.isfinite().all(dim=-1)  # (T, B)
    if finite.all():
        return
    step, sample = (~finite).nonzero()[0].tolist()
    others = len(set((~finite).nonzero()[:, 1].tolist())) - 1
    more = f" (and {others} other samples)" if others else ""
    raise ValueError(f"the state diverged: sample {sample} is not finite at t = {times[step].item():g}{more}")


def _plain(thing: object) -> object:
    return tuple(thing) if isinstance(thing, torch.Size) else thing
