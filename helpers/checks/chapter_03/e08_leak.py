"""Exercise 8: what a leaky unit keeps."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.examine import Case, Misconception
from helpers.checks.parts import examine_parts
from helpers.checks.verdict import Verdict


def leak(answer, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(tau (N,), dt (N,), delay (N,)) -> alpha (N,), kept (N,)`, all times in hours."""
    generator = torch.Generator().manual_seed(seed)
    dt = torch.tensor([0.25, 0.5, 1.0, 2.0])
    steps = torch.randint(2, 12, (4,), generator=generator)
    tau = dt * (1.5 + 8 * torch.rand(4, generator=generator))
    cases = (
        Case("τ = 4 h, Δt = 2 h, after 6 h, by hand", _units([4.0], [2.0], [6.0])),
        Case("the same 24 h in finer and finer steps", _units([12.0] * 3, [6.0, 1.0, 0.1], [24.0] * 3)),
        Case("τ = Δt", _units([0.5], [0.5], [1.0])),
        Case("four units at random", {"tau": tau, "dt": dt, "delay": dt * steps}),
    )
    return examine_parts("leak", answer, cases, _leak, {"alpha": ALPHA_IDEAS, "kept": KEPT_IDEAS})


def _units(tau: list[float], dt: list[float], delay: list[float]) -> dict[str, Tensor]:
    return {"tau": torch.tensor(tau), "dt": torch.tensor(dt), "delay": torch.tensor(delay)}


def _leak(tau: Tensor, dt: Tensor, delay: Tensor) -> tuple[Tensor, Tensor]:
    alpha = dt / tau
    return alpha, (1 - alpha) ** (delay / dt)


def _kept(share: Callable) -> Callable[..., Tensor]:
    """What is kept by another formula of α and of the number of steps."""
    return lambda tau, dt, delay: share(dt / tau, delay / dt)


ALPHA_IDEAS = (
    Misconception(
        "e^(-Δt/τ) is what the exact solution keeps over a step; α is what one Euler step renews, Δt/τ",
        lambda tau, dt, delay: torch.exp(-dt / tau),
    ),
    Misconception(
        "1 - e^(-Δt/τ) is what the exact solution renews over a step; the unit is one Euler step, whose α is "
        "nearly the same only for Δt much shorter than τ",
        lambda tau, dt, delay: -torch.expm1(-dt / tau),
    ),
    Misconception(
        "your quotient is upside down: a slow unit, of large τ, changes little in a step",
        lambda tau, dt, delay: tau / dt,
    ),
    Misconception(
        "that is 1 - α, what the unit keeps over a step; α is what it renews",
        lambda tau, dt, delay: 1 - dt / tau,
    ),
)
KEPT_IDEAS = (
    Misconception(
        "e^(-delay/τ) is the limit of ever shorter steps; this unit takes Euler steps of Δt, and keeps less",
        lambda tau, dt, delay: torch.exp(-delay / tau),
    ),
    Misconception("α^n is not what is kept: a step keeps 1 - α", _kept(lambda alpha, n: alpha**n)),
    Misconception(
        "1 - n α is right for one step; the second step takes its share α of what the first has left",
        _kept(lambda alpha, n: 1 - n * alpha),
    ),
    Misconception(
        "that is the share that is lost; you are asked what is kept",
        _kept(lambda alpha, n: 1 - (1 - alpha) ** n),
    ),
    Misconception(
        "your exponent is the delay in hours; it is the number of steps, delay / Δt",
        lambda tau, dt, delay: (1 - dt / tau) ** delay,
    ),
    Misconception(
        "that is what a single step keeps; over the delay there are delay / Δt of them",
        _kept(lambda alpha, n: 1 - alpha),
    ),
    Misconception("you count one step too many", _kept(lambda alpha, n: (1 - alpha) ** (n + 1))),
    Misconception("you count one step too few", _kept(lambda alpha, n: (1 - alpha) ** (n - 1))),
)
