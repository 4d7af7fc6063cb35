"""Exercise 1: a law under which the future ends, and a law that leaves it open."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict, combine

OF_Y = (
    (
        "that is exponential growth, y' = r y. Here twice as many meet four times as often: y' = r y²",
        lambda t, y0, r: y0 * (r * t).exp(),
    ),
    (
        "that is exponential growth at the first moment's rate r y0; the rate itself grows with y",
        lambda t, y0, r: y0 * (r * y0 * t).exp(),
    ),
    (
        "your population shrinks, the sign is wrong: the integral of dy / y² is -1/y, so 1/y0 - 1/y = r t",
        lambda t, y0, r: y0 / (1 + r * y0 * t),
    ),
    ("your solution lacks r: 1/y0 - 1/y = r t", lambda t, y0, r: y0 / (1 - y0 * t)),
    (
        "at t = 0 your solution is 1 whatever y0 is; the constant of integration is 1/y0",
        lambda t, y0, r: 1 / (1 - r * t),
    ),
    ("the constant of integration is 1/y0, not y0: 1/y = 1/y0 - r t", lambda t, y0, r: 1 / (y0 - r * t)),
    ("that is 1/y; turn it over", lambda t, y0, r: 1 / y0 - r * t),
    (
        "that is one step of Euler's method, a straight line; integrate the law",
        lambda t, y0, r: y0 + r * y0**2 * t,
    ),
)
OF_THE_END = (
    (
        "that is the time in which it doubles; it doubles again in half that time, and so on: add them all",
        lambda t, y0, r: 1 / (2 * r * y0),
    ),
    ("the larger the start, the sooner the end: put y0 in", lambda t, y0, r: 1 / r),
    ("the faster they breed, the sooner the end: put r in", lambda t, y0, r: 1 / y0),
    (
        "the larger the start, the sooner the end; yours comes later. Where is 1 - r y0 t = 0?",
        lambda t, y0, r: y0 / r,
    ),
    ("turn it over: where is 1 - r y0 t = 0?", lambda t, y0, r: r * y0),
    (
        "your end never comes. Exponential growth takes for ever to become infinite, this does not",
        lambda t, y0, r: torch.tensor(torch.inf),
    ),
)
OF_THE_SPHERE = (
    (
        "before `wait` your answer is negative, and a mass is not: there, the solution is 0",
        lambda t, wait: (t - wait) ** 3,
    ),
    (
        "yours is 0 for ever: a solution too, and the reason why the law alone does not say what happens. "
        "The one asked for leaves 0 at `wait`",
        lambda t, wait: torch.zeros_like(t),
    ),
    ("yours does not wait; shift it: t - wait", lambda t, wait: t**3),
    (
        "yours jumps when the wait is over. The clock starts at 0 then: (t - wait)³",
        lambda t, wait: t**3 * (t > wait),
    ),
    (
        "t³ - wait³ has another slope than 3 y^(2/3); it is the clock that is shifted, (t - wait)³",
        lambda t, wait: (t**3 - wait**3).clamp(min=0),
    ),
    ("that solves y' = y^(2/3): you lost the factor 3", lambda t, wait: _sphere(t, wait) / 27),
    (
        "the root is taken the wrong way round: y^(1/3) = t - wait, so y is its cube",
        lambda t, wait: (t - wait).clamp(min=0) ** (1 / 3),
    ),
)


def growth(pairs, sphere=None, seed: int = 1) -> Verdict:
    """Exercise 1: `pairs(t (N,), y0, r) -> y (N,), t_end ()` and `sphere(t (N,), wait) -> (N,)`."""
    first, second = torch.rand(2, generator=torch.Generator().manual_seed(seed)).tolist()
    meetings = {
        "ten animals, r = 0.05 per year": _meeting(10.0, 0.05),
        "half as many": _meeting(5.0, 0.05),
        "a start and a rate at random": _meeting(1 + 3 * first, 0.2 + second),
    }
    waits = {
        "sphere, wait = 2, by hand": {"t": torch.arange(5.0), "wait": torch.tensor(2.0)},
        "sphere, another wait": {"t": torch.linspace(0, 4, 9), "wait": torch.tensor(0.3 + first)},
    }
    return combine(
        "growth",
        examine("pairs", pairs, meetings, _pairs, {"y": OF_Y, "t_end": OF_THE_END}),
        examine("sphere", sphere, waits, _sphere, OF_THE_SPHERE),
    )


def _meeting(y0: float, r: float) -> dict[str, Tensor]:
    """Up to nine tenths of the time that is left."""
    return {"t": torch.linspace(0, 0.9, 7) / (r * y0), "y0": torch.tensor(y0), "r": torch.tensor(r)}


def _pairs(t: Tensor, y0: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """y = y0 / (1 - r y0 t) of y' = r y², and the time 1 / (r y0) at which it is infinite."""
    return y0 / (1 - r * y0 * t), 1 / (r * y0)


def _sphere(t: Tensor, wait: Tensor) -> Tensor:
    """The solution of y' = 3 y^(2/3) from 0 that leaves 0 at `wait`."""
    return (t - wait).clamp(min=0) ** 3
