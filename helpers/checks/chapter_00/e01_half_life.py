"""Exercise 1: the time in which a quantity that decays is halved."""

import math

import torch

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

MISCONCEPTIONS = (
    (
        "1/k is the mean lifetime, after which a quantity has fallen to 1/e; solve exp(-k t) = 1/2 instead",
        lambda rate: 1 / rate,
    ),
    ("you multiply by the rate; a faster decay must give a shorter time", lambda rate: math.log(2) * rate),
    (
        "your logarithm has base 10; the solution of exp(-k t) = 1/2 needs the natural one",
        lambda rate: math.log10(2) / rate,
    ),
    (
        "your time is negative: ln(1/2) = -ln 2, and the minus of exp(-k t) cancels its sign",
        lambda rate: -math.log(2) / rate,
    ),
)


def half_life(answer) -> Verdict:
    """Exercise 1: `answer(rate (...)) -> (...)`, the time in h after which exp(-rate · t) is one half."""
    cases = {
        "one rate, ln 2 per hour, halves in an hour": {"rate": torch.tensor(math.log(2))},
        "a table of rates": {"rate": torch.tensor([[0.08, 0.32], [1.5, 12.0]])},
    }
    return examine("half_life", answer, cases, lambda rate: math.log(2) / rate, MISCONCEPTIONS)
