"""Central prediction intervals."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from helpers.observation.arguments import check_probability


@dataclass(frozen=True, eq=False)
class Interval:
    """The closed interval from `lower` to `upper`, one per entry, in the unit of the measurement."""

    lower: Tensor
    upper: Tensor

    def contains(self, value: Tensor) -> Tensor:
        """True where lower ≤ value ≤ upper; the mean of this over many values is the coverage."""
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
