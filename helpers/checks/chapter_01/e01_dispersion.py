"""Exercise 1: the dispersion of counts, from their mean and variance."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

MISCONCEPTIONS = (
    (
        "a sample variance below the mean makes your estimate negative; the dispersion cannot be, so the "
        "Poisson limit, zero, is the answer there",
        lambda counts: (counts.var(0) - counts.mean(0)) / counts.mean(0) ** 2,
    ),
    (
        "you divide the excess variance by the mean; in the equation φ multiplies the mean squared",
        lambda counts: ((counts.var(0) - counts.mean(0)) / counts.mean(0)).clamp(min=0),
    ),
    (
        "you do not subtract the mean, the Poisson part of the variance, before you divide",
        lambda counts: counts.var(0) / counts.mean(0) ** 2,
    ),
    (
        "your sample variance divides by N; divide by N - 1, which is unbiased",
        lambda counts: _moment_dispersion(counts.var(0, correction=0), counts.mean(0)),
    ),
    (
        "you pool the genes; each gene, a column, has its own mean and variance",
        lambda counts: _moment_dispersion(counts.var(), counts.mean()).expand(counts.shape[1]),
    ),
    (
        "you use the standard deviation where the equation has the variance",
        lambda counts: _moment_dispersion(counts.std(0), counts.mean(0)),
    ),
)


def dispersion(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(counts (N, G)) -> (G,)`, its moment estimate, never below zero."""
    cases = {
        "three cells, by hand": {"counts": torch.tensor([[0.0], [4.0], [8.0]])},
        "three genes that differ": {"counts": overdispersed_counts(60, (2.0, 20.0, 200.0), seed)},
        "less spread than Poisson": {"counts": torch.tensor([[3.0, 8.0], [4.0, 9.0], [5.0, 10.0]])},
    }
    return examine(
        "dispersion",
        answer,
        cases,
        lambda counts: _moment_dispersion(counts.var(0), counts.mean(0)),
        MISCONCEPTIONS,
    )


def overdispersed_counts(cells: int, means: tuple[float, ...], seed: int) -> Tensor:
    """Negative binomial counts, (cells, len(means)), of dispersion 1: Poisson with an exponential rate."""
    generator = torch.Generator().manual_seed(seed)
    rates = torch.empty(cells, len(means)).exponential_(generator=generator)
    return torch.poisson(rates * torch.tensor(means), generator=generator)


def _moment_dispersion(variance: Tensor, mean: Tensor) -> Tensor:
    return ((variance - mean) / mean**2).clamp(min=0)
