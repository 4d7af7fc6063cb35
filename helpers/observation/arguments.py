"""What every noise model asks of its arguments, and how it says no."""

from itertools import combinations

import torch
from torch import Tensor


def check_parameters(parameters: dict[str, Tensor]) -> None:
    """Refuse anything but floating-point tensors of one dtype, one device and broadcastable shapes."""
    first, reference = next(iter(parameters.items()))
    for name, parameter in parameters.items():
        if not (isinstance(parameter, Tensor) and parameter.is_floating_point()):
            raise ValueError(f"{name} must be a floating-point tensor: got {_kind(parameter)}")
        _check_same(name, "dtype", parameter.dtype, first, reference.dtype)
        _check_same(name, "device", parameter.device, first, reference.device)
    for (other, one), (name, two) in combinations(parameters.items(), 2):
        check_broadcastable(name, two.shape, other, one.shape)


def check_real(name: str, value: Tensor, parameter: Tensor) -> Tensor:
    """Return a real-valued measurement; refuse NaN, infinities and another dtype or device."""
    check_parameters({"mean": parameter, name: value})
    check_entries(name, value, value.isfinite(), "be finite (select the observed entries first)")
    return value


def check_count(name: str, value: Tensor, parameter: Tensor) -> Tensor:
    """Return counts in the parameters' dtype; refuse NaN, infinite, negative and fractional ones."""
    if not isinstance(value, Tensor) or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"{name} must be a tensor of counts: got {_kind(value)}")
    if value.is_floating_point():
        _check_same(name, "dtype", value.dtype, "mean", parameter.dtype)
    _check_same(name, "device", value.device, "mean", parameter.device)
    check_broadcastable(name, value.shape, "mean", parameter.shape)
    is_count = value.isfinite() & (value >= 0) & (value == value.round())
    check_entries(name, value, is_count, "be a whole number, zero or more")
    return value.to(parameter.dtype)


def check_entries(name: str, tensor: Tensor, valid: Tensor, expected: str) -> None:
    """Refuse a tensor with an invalid entry, naming the first one and its value."""
    if valid.all():
        return
    index = (~valid).nonzero()[0].tolist()
    place = f"{name}{index}" if index else name
    raise ValueError(f"{name} must {expected}: {place} = {tensor[tuple(index)].item()}")


def check_positive(name: str, tensor: Tensor) -> None:
    """Refuse entries that are zero, negative, infinite or NaN."""
    check_entries(name, tensor, tensor.isfinite() & (tensor > 0), "be positive and finite")


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse entries that are infinite or NaN."""
    check_entries(name, tensor, tensor.isfinite(), "be finite")


def check_broadcastable(name: str, shape: torch.Size, other: str, other_shape: torch.Size) -> None:
    """Refuse two shapes that do not broadcast together."""
    try:
        torch.broadcast_shapes(shape, other_shape)
    except RuntimeError:
        message = f"{name} must broadcast with {other}: shapes {tuple(shape)} and {tuple(other_shape)}"
        raise ValueError(message) from None


def check_probability(name: str, probability: float) -> None:
    """Refuse a number outside the open interval from 0 to 1."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1: got {probability}")


def broadcast_shape(*tensors: Tensor) -> torch.Size:
    """The shape of all tensors together."""
    return torch.broadcast_shapes(*(tensor.shape for tensor in tensors))


def _check_same(name: str, what: str, found: object, other: str, expected: object) -> None:
    if found != expected:
        raise ValueError(f"{name} must have the {what} of {other}: got {found} and {expected}")


def _kind(thing: object) -> str:
    return f"a {thing.dtype} tensor" if isinstance(thing, Tensor) else type(thing).__name__
