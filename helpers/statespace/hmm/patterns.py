"""Observations grouped by which of their entries are missing, so that each group shares its matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Patterns:
    """The different rows of a mask (B, T, D), and which of the N = B T steps show which.

    Attributes
    ----------
    observed : Tensor (P, D), bool
        Each pattern that occurs; True = observed.
    order : Tensor (N,), int64, or None
        The steps sorted by pattern; None when there is one pattern and nothing to sort.
    sizes : list of int
        Number of steps of each pattern.
    """

    observed: Tensor
    order: Tensor | None
    sizes: list[int]

    @classmethod
    def of(cls, mask: Tensor) -> "Patterns":
        """Find the patterns of a mask."""
        rows = mask.flatten(0, 1)
        if rows.all():
            return cls(rows[:1], None, [len(rows)])
        observed, pattern, sizes = _different_rows(rows)
        return cls(observed, pattern.argsort(stable=True), sizes.tolist())

    def split(self, rows: Tensor) -> Sequence[Tensor]:
        """The rows (N, ...) of each pattern."""
        return (rows if self.order is None else rows[self.order]).split(self.sizes)

    def join(self, groups: Sequence[Tensor]) -> Tensor:
        """Undo `split`."""
        if self.order is None:
            return groups[0]
        return torch.cat(list(groups))[self.order.argsort()]


def _different_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The different rows of a bool matrix, the index among them of every row, and how often each occurs."""
    features = rows.shape[1]
    if features > 62:
        return torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    powers = 2 ** torch.arange(features, device=rows.device)
    code, pattern, sizes = torch.unique((rows * powers).sum(-1), return_inverse=True, return_counts=True)
    return (code.unsqueeze(-1) & powers) > 0, pattern, sizes
