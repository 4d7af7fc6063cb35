"""Probabilities as parameters: what they must satisfy, and their logarithm when some of them are zero."""

import torch
from torch import Tensor

from helpers.arguments import refuse_where


def log_probability(probability: Tensor) -> Tensor:
    """log p, -inf where p is 0; there its gradient is 0: what is forbidden stays forbidden."""
    positive = probability > 0
    return torch.where(positive, probability, 1.0).log().masked_fill(~positive, -torch.inf)


def check_distributions(name: str, probability: Tensor) -> None:
    """Refuse a tensor whose rows (last axis) are not probabilities that sum to 1.

    A sum may differ from 1 by the square root of the machine precision, 1.5e-8 in float64.
    """
    probability = probability.detach()
    refuse_where(
        ~(probability >= 0) | ~probability.isfinite(),
        lambda *index: f"{name} must hold probabilities: {name}{list(index)} = {probability[index].item()}",
    )
    total = probability.sum(-1)
    tolerance = torch.finfo(probability.dtype).eps ** 0.5
    refuse_where(
        (total - 1).abs() > tolerance,
        lambda *row: f"{_rows(name, *row)} must sum to 1: got {total[row].item():.9g}",
    )


def _rows(name: str, *row: int) -> str:
    return f"row {row[0]} of {name}" if row else name
