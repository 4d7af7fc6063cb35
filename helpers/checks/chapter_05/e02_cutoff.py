"""Exercise 2: the rhythm of which a leaky unit lets half of the power through."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

LEAST = 3 - 2 * math.sqrt(2)  # below this f, even the fastest rhythm keeps more than half of its power


def _cosine(f: Tensor, left: float = 0.5) -> Tensor:
    """cos ω at which |H|² = (1 - f)² / (1 - 2 f cos ω + f²) is down to what is left of the power."""
    return (1 + f**2 - (1 - f) ** 2 / left) / (2 * f)


def _frequency(angle: Tensor, dt: Tensor) -> Tensor:
    return angle / (2 * math.pi * dt)


def _cutoff(
    f: Tensor,
    dt: Tensor,
    *,
    cosine: Callable = _cosine,
    frequency: Callable = _frequency,
    none: Callable = lambda dt: torch.inf,
) -> Tensor:
    """ν in cycles per hour, and what `none` says where there is none."""
    cos = cosine(f)
    return torch.where(cos >= -1, frequency(cos.clamp(-1, 1).acos(), dt), none(dt))


MISCONCEPTIONS = (
    (
        "where cos ω would be below -1 no rhythm is halved, and the answer is `torch.inf`; yours is not a "
        "number",
        partial(_cutoff, none=lambda dt: torch.nan),
    ),
    (
        "1/(2Δt) is the fastest rhythm that steps can show, and even of that more than half of the power "
        "passes: there is no border, `torch.inf`",
        partial(_cutoff, none=lambda dt: 1 / (2 * dt)),
    ),
    (
        "that is ω, an angle per step; one cycle is an angle of 2π and a step lasts Δt: ν = ω/(2πΔt)",
        partial(_cutoff, frequency=lambda angle, dt: angle + 0 * dt),
    ),
    (
        "yours is an angle per hour; ν counts cycles, and one cycle is an angle of 2π",
        partial(_cutoff, frequency=lambda angle, dt: angle / dt),
    ),
    (
        "you count cycles per step; a step lasts Δt hours",
        partial(_cutoff, frequency=lambda angle, dt: angle / (2 * math.pi) + 0 * dt),
    ),
    (
        "that is the period in hours; the frequency is 1 over it",
        partial(_cutoff, frequency=lambda angle, dt: 2 * math.pi * dt / angle),
    ),
    (
        "there half of the *amplitude* is left, a quarter of the power; for half of the power |H| is 1/√2",
        partial(_cutoff, cosine=partial(_cosine, left=0.25)),
    ),
    (
        "you took |H| for |H|²: at your frequency 1/√2 of the power is left, and not 1/2",
        partial(_cutoff, cosine=partial(_cosine, left=math.sqrt(0.5))),
    ),
    (
        "1/(2πτ) is good near f = 1 only; solve for cos ω exactly. (It also finds a border where there is "
        "none.)",
        lambda f, dt: f.log().abs() / (2 * math.pi * dt),
    ),
    (
        "(1 - f)/(2πΔt) is good near f = 1 only; solve for cos ω exactly. (It also finds a border where "
        "there is none.)",
        lambda f, dt: (1 - f) / (2 * math.pi * dt),
    ),
)


def cutoff(answer, seed: int = 1) -> Verdict:
    """Exercise 2: `answer(f (N,), dt (N,)) -> (N,)`: the −3 dB frequency in cycles per hour."""
    draws = torch.Generator().manual_seed(seed)
    f = LEAST + 0.05 + (0.94 - LEAST) * torch.rand(5, generator=draws, dtype=torch.float64)
    dt = 0.2 + 3 * torch.rand(5, generator=draws, dtype=torch.float64)
    cases = {
        "f = 2 - √3, Δt = 2 h, by hand": _units([2 - math.sqrt(3)], [2.0]),
        "two bodies, read every hour": _units([math.exp(-1 / 21), math.exp(-1 / 10)], [1.0, 1.0]),
        "f = 0.1 and 0, which forget too fast": _units([0.1, 0.0], [1.0, 0.5]),
        "f = 1, which hears only what never changes": _units([1.0], [2.0]),
        "five units at random": {"f": f, "dt": dt},
    }
    return examine("cutoff", answer, cases, _cutoff, MISCONCEPTIONS)


def _units(f: list[float], dt: list[float]) -> dict[str, Tensor]:
    return {"f": torch.tensor(f, dtype=torch.float64), "dt": torch.tensor(dt, dtype=torch.float64)}
