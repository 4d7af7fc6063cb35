"""Exercise 12: what ails a network with gates, by the report of what its gates do."""

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.verdict import Verdict, combine
from helpers.recurrent import LSTM, Bidirectional, gradient_profile

UNITS, STEPS, LAG, LENGTH = 32, 60, 50, 40
SATURATED, FORGETFUL, LEAKY, HEALTHY = "saturated", "forgetful", "padding leaks", "healthy"
AILMENTS = Figure(
    "five networks",
    {"A": FORGETFUL, "B": HEALTHY, "C": LEAKY, "D": SATURATED, "E": FORGETFUL},
    {
        SATURATED: "nearly all of its gates stand at 0 or 1, and the mean slope σ' is near 0, so that no "
        "gradient can move them",
        FORGETFUL: "its gates have all the slope there is, but of a gradient 50 steps away nothing arrives",
        LEAKY: "what it says of a series depends on the batch that the series lies in",
        HEALTHY: "its gates have a slope, a gradient comes across 50 steps, and a series by itself gets the "
        "same answer as in a batch",
    },
    phrases=True,
)
REMEDIES = Figure(
    "five remedies",
    {
        "remedy for A": "raise the forget bias",
        "remedy for B": "none",
        "remedy for C": "pass lengths",
        "remedy for D": "standardise",
        "remedy for E": "raise the forget bias",
    },
    {
        "raise the forget bias": "it makes f larger from the start, where f is small and its slope is not",
        "standardise": "it makes what the gates read small enough that σ has a slope there",
        "pass lengths": "it lets each direction start at the series' own end, where padding was read before",
        "none": "all three signs of the report are as they should be",
    },
    phrases=True,
)


def diagnose(ailments: object, remedies: object) -> Verdict:
    """Exercise 12: what ails each of the networks of the `five_reports`, and what helps."""
    return combine("diagnose", *AILMENTS.judge(ailments), *REMEDIES.judge(remedies))


def five_reports() -> dict[str, dict[str, float]]:
    """What is measured in each network: `at 0 or 1`, `slope`, `arrives` and `batch`.

    The part of all gate values within 0.001 of 0 or 1; the mean slope σ' = σ(1 - σ) of all gates, at most
    0.25; what of a gradient at the last step arrives 50 steps before; and by how much the answer to a series
    by itself differs from that in a batch, at most.
    """
    raw, padded = {"scale": 1000.0, "forget_bias": 1.0}, {"forget_bias": 3.0, "pass_lengths": False}
    settings = {
        "A": {"forget_bias": 0.0},
        "B": {"forget_bias": 3.0},
        "C": padded,
        "D": raw,
        "E": {"forget_bias": -2.0},
    }
    return {label: _report(seed, **setting) for seed, (label, setting) in enumerate(settings.items())}


def _report(seed: int, forget_bias: float, scale: float = 1.0, pass_lengths: bool = True) -> dict[str, float]:
    draws = torch.Generator().manual_seed(seed)
    cell = LSTM(1, UNITS, forget_bias=forget_bias, generator=draws, dtype=torch.float64)
    x = scale * (1 + 0.3 * torch.randn(8, STEPS, 1, generator=draws, dtype=torch.float64))
    x = x if scale > 1 else x - 1
    with torch.no_grad():
        seen = cell(x, return_gates=True)
        differ = _difference(Bidirectional(cell, generator=draws), x, pass_lengths)
    gates = torch.stack([seen.i, seen.f, seen.o])
    norms = gradient_profile(cell, x, lambda states: states[:, -1, UNITS:].sum(-1)).norms.mean(0)
    return {
        "at 0 or 1": ((gates < 1e-3) | (gates > 1 - 1e-3)).double().mean().item(),
        "slope": (gates * (1 - gates)).mean().item(),
        "arrives": (norms[-1 - LAG] / norms[-1]).item(),
        "batch": differ,
    }


def _difference(network: Bidirectional, x: Tensor, pass_lengths: bool) -> float:
    """How far apart what is said of a series of 40 steps is, by itself and padded to 60."""
    alone = network(x[:1, :LENGTH])
    padded = x[:1].clone()
    padded[:, LENGTH:] = 0.0
    together = network(padded, lengths=torch.tensor([LENGTH]) if pass_lengths else None)
    return (alone - together[:, :LENGTH]).abs().max().item()
