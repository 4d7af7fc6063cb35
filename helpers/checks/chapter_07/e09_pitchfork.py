"""Exercise 9: how cooperative repressors must be for a switch to remember, and what it forgets otherwise."""

import math

import torch
from scipy.optimize import brentq

from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.dynamics import Flow, fixed_points
from helpers.systems import ToggleSwitch, critical_alpha

ALPHA = 1.5
TOLERANCE = 0.02


def pitchfork(n: object, memory: object, prediction: object = None) -> Verdict:
    """Exercise 9: the n at which the switch with α = 1.5 becomes bistable, and its memory at n = 2."""
    return combine("pitchfork", N.judge(n, prediction), _memory().judge(memory))


def _rates(n: float) -> tuple[float, float]:
    """How fast a difference u - v and a sum u + v grow at u = v: the eigenvalues -1 ± n uⁿ / (1 + uⁿ)."""
    diagonal = torch.ones(1, 2, dtype=torch.float64)
    return tuple(fixed_points(Flow(ToggleSwitch(ALPHA, n)), diagonal).eigenvalues[0].real.tolist())


CRITICAL = brentq(lambda n: critical_alpha(n) - ALPHA, 2, 3)
N = Number(
    "n",
    truth=CRITICAL,
    within=TOLERANCE,
    right=f"two stable states from {CRITICAL:.3f} on, where n xⁿ/(1 + xⁿ) = 1",
    wrong=lambda n: f"at {n:g} a small difference u - v changes at the rate {_rates(n)[0]:+.3f}",
    recipe=(
        ": it fades, and the middle is stable. Go higher",
        ": it grows, and the middle was lost before. Go lower",
    ),
    impossible=(
        (lambda n: n <= 1, "{answer:g} is too low for any α: n xⁿ / (1 + xⁿ) stays below n. Go higher"),
        (lambda n: n > 10, "{answer:g} is more than any repressor has; go lower"),
    ),
)


def _memory() -> Number:
    """The time in which a difference falls to 1/e at n = 2, in lifetimes of a protein."""
    (rate, rate_of_sum), (rate_at_3, _) = _rates(2.0), _rates(3.0)
    memory = -1 / rate
    return Number(
        "memory",
        truth=memory,
        relatively=TOLERANCE,
        right=f"1/{-rate:.3f} = {memory:.2f} lifetimes. A switch that holds no bit can still forget slowly",
        slips=(
            (-rate, "that is the rate at which it fades; the time is 1 over it"),
            (rate, "that is the eigenvalue; the time is 1 over its size"),
            (-memory, "a time is positive: turn the sign"),
            (math.log(2) * memory, "that is the half-life; to fall to 1/e takes longer, by 1/ln 2"),
            (-1 / rate_of_sum, "that is how fast a sum u + v fades; a difference fades more slowly"),
            (1.0, "so long lives a protein alone; two that repress each other hold a difference longer"),
            (-1 / rate_at_3, "that is for n = 3, where a difference grows; n = 2 is asked for"),
        ),
        recipe="it is -1 over the largest eigenvalue at the state u = v, with n = 2",
    )
