"""Exercise 7: standardising without leakage."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict
from helpers.series import IrregularBatch, Standardiser

MISCONCEPTIONS = (
    (
        "zeros that stand for missing values enter your mean and standard deviation; use what was observed",
        lambda values, mask, train: _scale(values, mask, train[:, None, None].expand_as(mask)),
    ),
    (
        "the test series enter your mean and standard deviation: in a study that is leakage, since the model "
        "has then seen the data it is judged on",
        lambda values, mask, train: _scale(values, mask, mask),
    ),
    (
        "zeros that stand for missing values and the test series both enter your mean and standard deviation",
        lambda values, mask, train: _scale(values, mask, torch.ones_like(mask)),
    ),
    (
        "unobserved entries must be 0 after standardising, which is the mean; yours hold a transformed zero",
        lambda values, mask, train: _scale(values, torch.ones_like(mask), mask & train[:, None, None]),
    ),
    (
        "you share one mean and standard deviation between the features; each has its own unit",
        lambda values, mask, train: _pool(values, mask, train),
    ),
    (
        "your standard deviation divides by n - 1; the exercise asks for n",
        lambda values, mask, train: _scale(values, mask, mask & train[:, None, None], correction=1),
    ),
)


def standardise(answer, seed: int = 1) -> Verdict:
    """Exercise 7: `answer(values (B, T, D), mask (B, T, D), train (B,)) -> (B, T, D)`."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.tensor([80.0, 7.0])
    measured = level + torch.tensor([15.0, 0.5]) * torch.randn(6, 5, 2, generator=generator)
    train = torch.tensor([True, True, False, True, False, True])
    shifted = torch.where(train[:, None, None], measured, measured + 2 * level)
    mask = torch.rand(6, 5, 2, generator=generator) < 0.6
    mask[train, 0] = True
    every = torch.ones_like(mask)
    cases = {
        "everything observed, all for training": _series(measured, every, torch.ones_like(train)),
        "test series that lie elsewhere": _series(shifted, every, train),
        "gaps, stored as zeros": _series(measured * mask, mask, torch.ones_like(train)),
        "gaps and test series": _series(shifted * mask, mask, train),
    }
    return examine("standardise", answer, cases, _standardise, MISCONCEPTIONS)


def _series(values: Tensor, mask: Tensor, train: Tensor) -> dict[str, Tensor]:
    return {"values": values, "mask": mask, "train": train}


def _standardise(values: Tensor, mask: Tensor, train: Tensor) -> Tensor:
    times = torch.arange(values.shape[1], dtype=values.dtype).expand(values.shape[:2])
    batch = IrregularBatch(times, values, mask, torch.full((len(values),), values.shape[1]))
    return Standardiser.fit(batch[train]).transform(batch).values


def _scale(values: Tensor, mask: Tensor, fitted: Tensor, correction: int = 0) -> Tensor:
    """Standardised by the entries `fitted` (B, T, D), and 0 where `mask` is False."""
    number = fitted.sum((0, 1))
    mean = (values * fitted).sum((0, 1)) / number
    variance = ((values - mean).square() * fitted).sum((0, 1)) / (number - correction)
    return (values - mean) / variance.sqrt() * mask


def _pool(values: Tensor, mask: Tensor, train: Tensor) -> Tensor:
    fitted = values[mask & train[:, None, None]]
    return (values - fitted.mean()) / fitted.std(correction=0) * mask
