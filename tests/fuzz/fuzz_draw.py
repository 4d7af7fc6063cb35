"""Random numbers of one seed, and what a call of a public function consists of."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Call:
    """A call that ought to succeed.

    Attributes
    ----------
    function : callable
        Takes `arguments` by name.
    arguments : dict
        Every one of them may be spoilt.
    oracle : callable or None
        From the arguments and the answer to a complaint, or None where the answer is right. Where it
        raises, it has no opinion.
    covariances : tuple of str
        Which arguments must be symmetric and positive semi-definite.
    also : tuple of str
        Further names by which an error may speak of an argument.
    unread : tuple of str
        Arguments some numbers of which are never read, so that NaN may stand there.
    random : bool
        Whether it draws, so that float32 may draw otherwise (an eigenvector's sign).
    """

    function: Callable
    arguments: dict[str, object]
    oracle: Callable[[dict, object], str | None] | None = None
    covariances: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    random: bool = False


class Draw:
    """Small random numbers, shapes and choices."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def choice(self, things):
        """One of them."""
        return things[self.whole(0, len(things) - 1)]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> float | Tensor:
        """Uniform numbers; a float where no shape is given."""
        numbers = low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return numbers if shape else float(numbers)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def scale(self) -> float:
        """Mostly 1, sometimes a unit of another size."""
        return self.choice([1.0, 1.0, 1.0, 1e-9, 1e-3, 1e3, 1e9])

    def covariance(self, size: int) -> Tensor:
        """A covariance that is often singular, or has two scales."""
        rank = self.choice([size, size, size, max(size - 1, 0), 0])
        scales = torch.tensor([self.scale() for _ in range(size)], dtype=torch.float64)
        factor = self.normal(size, rank) if self.chance(0.5) else torch.eye(size, rank).double()
        factor = scales.unsqueeze(-1) * factor
        return factor @ factor.mT

    def probabilities(self, *shape: int) -> Tensor:
        """Rows that sum to 1, sometimes with a zero."""
        numbers = self.uniform(0.0, 1.0, *shape)
        if shape[-1] > 1 and self.chance(0.3):
            numbers[..., self.whole(0, shape[-1] - 1)] = 0.0
        return numbers / numbers.sum(-1, keepdim=True)

    def mask(self, *shape: int) -> Tensor:
        """True for most, sometimes for none."""
        return torch.rand(shape, generator=self.generator) < self.choice([1.0, 0.7, 0.3, 0.0])

    def lengths(self, series: int, steps: int) -> Tensor:
        """One length for each series, from 0 to all steps."""
        return torch.randint(0, steps + 1, (series,), generator=self.generator)

    def times(self, *shape: int) -> Tensor:
        """Increasing times."""
        return self.uniform(0.1, 1.0, *shape).cumsum(-1)
