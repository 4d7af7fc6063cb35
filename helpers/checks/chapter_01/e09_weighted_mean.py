"""Exercise 9: the mean of values that are missing at random, by inverse probability weighting."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict
from helpers.data import Logistic, mar

MISCONCEPTIONS = (
    (
        "you average whoever was measured: the complete-case mean, which is biased towards those who are "
        "measured often",
        lambda values, mask, probability: values[mask].mean(),
    ),
    (
        "you weight by the probability, which counts those who are measured often twice over; weight by one "
        "over it",
        lambda values, mask, probability: _average(values[mask], probability[mask]),
    ),
    (
        "you divide by N; the weights of those who were measured add up to N on average, yet not in this "
        "sample. Divide by the sum of those weights",
        lambda values, mask, probability: (values[mask] / probability[mask]).sum() / len(values),
    ),
    (
        "you divide by the number of those who were measured; divide by the sum of their weights",
        lambda values, mask, probability: (values[mask] / probability[mask]).mean(),
    ),
    (
        "the weights of patients who were not measured enter your denominator; the mask belongs there too",
        lambda values, mask, probability: (values[mask] / probability[mask]).sum() / (1 / probability).sum(),
    ),
    (
        "your result is NaN, since a NaN stays a NaN when it is multiplied by zero. Leave the unobserved "
        "values out, `values[mask]`, or replace them by `torch.where` before you multiply",
        lambda values, mask, probability: _average(values, mask / probability),
    ),
)


def weighted_mean(answer, seed: int = 1) -> Verdict:
    """Exercise 9: `answer(values (N,), mask (N,), probability (N,)) -> ()`; unobserved values are NaN."""
    cases = {
        "everybody measured, with certainty": _patients([2.0, 3.0, 7.0], [True] * 3, [1.0] * 3),
        "two of three measured, by hand": _patients([10.0, 6.0, 4.0], [True, False, True], [0.5, 0.8, 0.25]),
        "200 patients, the severe measured more often": _ward(torch.Generator().manual_seed(seed)),
    }
    return examine("weighted_mean", answer, cases, _weighted_mean, MISCONCEPTIONS)


def _patients(values: list[float], mask: list[bool], probability: list[float]) -> dict[str, Tensor]:
    observed = torch.tensor(mask)
    return {
        "values": torch.where(observed, torch.tensor(values), torch.nan),
        "mask": observed,
        "probability": torch.tensor(probability),
    }


def _ward(generator: torch.Generator) -> dict[str, Tensor]:
    """Lactate (mmol/L) that rises with a severity on which the chance of a measurement depends."""
    severity, own = torch.randn(2, 200, generator=generator)
    lactate = 3 + 0.8 * severity + 0.4 * own
    study = mar(lactate, severity, Logistic(midpoint=0.3, slope=1.5), generator=generator)
    return {"values": study.hidden_as_nan(), "mask": study.mask, "probability": study.probability}


def _weighted_mean(values: Tensor, mask: Tensor, probability: Tensor) -> Tensor:
    return _average(values[mask], 1 / probability[mask])


def _average(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values).sum() / weights.sum()
