"""What every noise model shares: the checks of its arguments, and its central prediction interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral

import torch
from torch import Generator, Tensor

from helpers.arguments import (
    check_broadcastable,
    check_entries,
    check_floating,
    check_generator,
    check_like,
    check_probability,
    check_real,
    check_same,
    kind,
)

LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Interval:
    """The closed interval from `lower` to `upper`, one per entry.

    Attributes
    ----------
    lower, upper : Tensor (...)
        In the unit of the measurement.
    """

    lower: Tensor
    upper: Tensor

    def contains(self, value: Tensor) -> Tensor:
        """True where lower ≤ value ≤ upper; the mean of this over many values is the coverage."""
        check_real("value", value)
        check_same("value", "device", value.device, "lower", self.lower.device)
        check_broadcastable("value", value.shape, "lower", self.lower.shape)
        return (self.lower <= value) & (value <= self.upper)


def central_interval(quantile: Callable[[float], Tensor], level: float) -> Interval:
    """Cut (1 - level) / 2 off each tail.

    Counts are lumpy: their interval covers at least `level`, often a little more.

    Raises
    ------
    ValueError
        If `level` is not strictly between 0 and 1.
    """
    check_probability("level", level)
    tail = (1.0 - level) / 2.0
    return Interval(lower=quantile(tail), upper=quantile(1.0 - tail))


def check_parameters(parameters: dict[str, Tensor]) -> None:
    """Refuse anything but floating-point tensors of one dtype, one device and broadcastable shapes."""
    first, reference = next(iter(parameters.items()))
    for name, parameter in parameters.items():
        check_floating(name, parameter)
        check_like(name, parameter, first, reference)
    for (other, one), (name, two) in combinations(parameters.items(), 2):
        check_broadcastable(name, two.shape, other, one.shape)


def check_measurement(value: Tensor, mean: Tensor) -> Tensor:
    """Return a real-valued measurement; refuse NaN, infinities and another dtype or device."""
    check_parameters({"mean": mean, "value": value})
    check_entries("value", value, value.isfinite(), "be finite (select the observed entries first)")
    return value


def check_count(value: Tensor, mean: Tensor) -> Tensor:
    """Return counts in the dtype of the mean; refuse NaN, infinite, negative and fractional ones."""
    if not isinstance(value, Tensor) or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"value must be a tensor of counts: got {kind(value)}")
    if value.is_floating_point():
        check_same("value", "dtype", value.dtype, "mean", mean.dtype)
    check_same("value", "device", value.device, "mean", mean.device)
    check_broadcastable("value", value.shape, "mean", mean.shape)
    is_count = value.isfinite() & (value >= 0) & (value == value.round())
    check_entries("value", value, is_count, "be a whole number, zero or more")
    return value.to(mean.dtype)


def check_sampling(generator: Generator, sample_shape: tuple[int, ...]) -> None:
    """Refuse anything but a generator and a shape."""
    check_generator("generator", generator)
    if not isinstance(sample_shape, tuple | list | torch.Size) or not all(
        isinstance(size, Integral) and size >= 0 for size in sample_shape
    ):
        raise ValueError(f"sample_shape must be a tuple of whole numbers: got {sample_shape!r}")


def broadcast_shape(*tensors: Tensor) -> torch.Size:
    """The shape of all tensors together."""
    return torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
