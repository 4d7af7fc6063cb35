"""What cells and their gradient tools ask of their arguments, and how they say no."""

import torch
from torch import Tensor

from helpers.arguments import check_lengths


def check_size(name: str, size: int, least: int = 1) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if not isinstance(size, int) or isinstance(size, bool) or size < least:
        raise ValueError(f"{name} must be a whole number of at least {least}: got {size!r}")


def check_like(name: str, tensor: Tensor, reference_name: str, reference: Tensor) -> None:
    """Refuse a tensor of another dtype or device than the reference."""
    for what in ("dtype", "device"):
        found, expected = getattr(tensor, what), getattr(reference, what)
        if found != expected:
            raise ValueError(f"{name} must have the {what} of {reference_name}: got {found} and {expected}")


def check_sequence(name: str, sequence: Tensor, features: str | int) -> None:
    """Refuse anything but (B, T, `features`); a name instead of a number allows any size."""
    fits = sequence.ndim == 3 and (isinstance(features, str) or sequence.shape[2] == features)
    if not fits:
        raise ValueError(f"{name} must have shape (B, T, {features}): got {tuple(sequence.shape)}")


def check_state(h0: Tensor, inputs: Tensor, state_size: int) -> None:
    """Refuse an initial state that is not one row of `state_size` for each series."""
    expected = (len(inputs), state_size)
    if tuple(h0.shape) != expected:
        raise ValueError(f"h0 must have shape (B, {state_size}) = {expected}: got {tuple(h0.shape)}")
    check_like("h0", h0, "the inputs", inputs)


def observed_steps(x: Tensor, mask: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return x with zeros where not observed, and the steps (B, T) at which a state moves.

    A step at which nothing was observed, and every step beyond a series' length, holds the state.
    """
    if mask is None and lengths is None:
        return x, None
    observed = torch.ones(x.shape, dtype=torch.bool, device=x.device)
    if mask is not None:
        _check_mask(mask, x)
        observed = mask
    if lengths is not None:
        observed = observed & _within(lengths, x).unsqueeze(-1)
    return torch.where(observed, x, 0.0), observed.any(-1)


def _check_mask(mask: Tensor, x: Tensor) -> None:
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool: got {mask.dtype}")
    if mask.shape != x.shape:
        raise ValueError(f"mask must have the shape {tuple(x.shape)} of x: got {tuple(mask.shape)}")
    if mask.device != x.device:
        raise ValueError(f"mask must have the device of x: got {mask.device} and {x.device}")


def _within(lengths: Tensor, x: Tensor) -> Tensor:
    """True for steps within each series' length, (B, T)."""
    series, steps = x.shape[:2]
    if lengths.shape != (series,):
        raise ValueError(f"lengths must have shape (B,) = ({series},): got {tuple(lengths.shape)}")
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(f"lengths must be integers: got {lengths.dtype}")
    if lengths.device != x.device:
        raise ValueError(f"lengths must have the device of x: got {lengths.device} and {x.device}")
    check_lengths(lengths, "x", x)
    return torch.arange(steps, device=x.device) < lengths.unsqueeze(-1)
