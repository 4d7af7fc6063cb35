"""Exercise 9: how cooperative repressors must be for a switch to remember, and what it forgets otherwise."""

import math

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict

ALPHA = 1.5
N_TOLERANCE, MEMORY_TOLERANCE = 0.02, 0.02


def pitchfork(n: object, memory: object, prediction: object = None) -> Verdict:
    """Exercise 9: the n at which the switch with α = 1.5 becomes bistable, and its memory at n = 2."""
    if is_blank(n) and is_blank(memory):
        return Verdict("pitchfork")
    return Verdict("pitchfork", (_bistable(n, prediction), _remembered(memory)))


def _middle(n: float) -> float:
    """The state u = v = x, where x (1 + xⁿ) = α, by Newton's method."""
    x = 1.0
    for _ in range(100):
        x -= (x + x ** (n + 1) - ALPHA) / (1 + (n + 1) * x**n)
    return x


def _rate(n: float, sign: int = 1) -> float:
    """-1 + n xⁿ / (1 + xⁿ): how fast a difference u - v grows; with the other sign, a sum u + v."""
    x = _middle(n)
    return -1 + sign * n * x**n / (1 + x**n)


def _critical() -> float:
    """Where the rate is zero, xⁿ = 1 / (n - 1), so that α = n / (n - 1) · (n - 1)^(-1/n); by bisection."""
    low, high = 2.0, 3.0
    for _ in range(60):
        n = (low + high) / 2
        low, high = (n, high) if n / (n - 1) ** (1 + 1 / n) > ALPHA else (low, n)
    return low


def _bistable(answer: object, prediction: object) -> Item:
    n, predicted = as_number(answer), as_number(prediction)
    if n is None:
        return no_number("n", answer)
    if n <= 1:
        return Item(False, f"n: {n:g} is too low for any α: n xⁿ / (1 + xⁿ) stays below n. Go higher")
    critical = _critical()
    if abs(n - critical) <= N_TOLERANCE:
        guess = "" if predicted is None else f"; you predicted {predicted:g}"
        return Item(True, f"n: two stable states from {critical:.3f} on, where n xⁿ/(1 + xⁿ) = 1{guess}")
    if n > 10:
        return Item(False, f"n: {n:g} is more than any repressor has; go lower")
    grows = f"n: at {n:g} a small difference u - v changes at the rate {_rate(n):+.3f}"
    if n < critical:
        return Item(False, f"{grows}: it fades, and the middle is stable. Go higher")
    return Item(False, f"{grows}: it grows, and the middle was lost before. Go lower")


def _remembered(answer: object) -> Item:
    lifetimes = as_number(answer)
    if lifetimes is None:
        return no_number("memory", answer)
    rate = _rate(2.0)
    memory = -1 / rate
    if math.isclose(lifetimes, memory, rel_tol=MEMORY_TOLERANCE):
        kept = f"memory: 1/{-rate:.3f} = {memory:.2f} lifetimes"
        return Item(True, f"{kept}. A switch that holds no bit can still forget slowly")
    slips = (
        (-rate, "that is the rate at which it fades; the time is 1 over it"),
        (rate, "that is the eigenvalue; the time is 1 over its size"),
        (1 / rate, "a time is positive: turn the sign"),
        (math.log(2) * memory, "that is the half-life; to fall to 1/e takes longer, by 1/ln 2"),
        (
            -1 / _rate(2.0, -1),
            "that is how fast a sum u + v fades; a difference fades more slowly",
        ),
        (
            1.0,
            "so long lives a protein alone; two that repress each other hold a difference longer",
        ),
        (-1 / _rate(3.0), "that is for n = 3, where a difference grows; n = 2 is asked for"),
    )
    recipe = "it is -1 over the largest eigenvalue at the state u = v, with n = 2"
    return wrong_number("memory", lifetimes, slips, recipe, relatively=MEMORY_TOLERANCE)
