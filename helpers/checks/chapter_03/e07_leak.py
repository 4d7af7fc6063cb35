"""Exercise 7: what a leaky unit keeps."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

OF_ALPHA = (
    (
        "e^(-Δt/τ) is what the exact solution keeps over a step; α is what one Euler step renews, Δt/τ",
        lambda tau, dt, delay: torch.exp(-dt / tau),
    ),
    (
        "1 - e^(-Δt/τ) is what the exact solution renews over a step; the unit is one Euler step, whose α is "
        "nearly the same only for Δt much shorter than τ",
        lambda tau, dt, delay: -torch.expm1(-dt / tau),
    ),
    (
        "your quotient is upside down: a slow unit, of large τ, changes little in a step",
        lambda tau, dt, delay: tau / dt,
    ),
    (
        "that is 1 - α, what the unit keeps over a step; α is what it renews",
        lambda tau, dt, delay: 1 - dt / tau,
    ),
)
OF_KEPT = (
    (
        "e^(-delay/τ) is the limit of ever shorter steps; this unit takes Euler steps of Δt, and keeps less",
        lambda tau, dt, delay: torch.exp(-delay / tau),
    ),
    ("α^n is not what is kept: a step keeps 1 - α", lambda tau, dt, delay: (dt / tau) ** (delay / dt)),
    (
        "1 - n α is right for one step; the second step takes its share α of what the first has left",
        lambda tau, dt, delay: 1 - delay / tau,
    ),
    (
        "that is the share that is lost; you are asked what is kept",
        lambda tau, dt, delay: 1 - (1 - dt / tau) ** (delay / dt),
    ),
    (
        "your exponent is the delay in hours; it is the number of steps, delay / Δt",
        lambda tau, dt, delay: (1 - dt / tau) ** delay,
    ),
    (
        "that is what a single step keeps; over the delay there are delay / Δt of them",
        lambda tau, dt, delay: 1 - dt / tau,
    ),
    ("you count one step too many", lambda tau, dt, delay: (1 - dt / tau) ** (delay / dt + 1)),
    ("you count one step too few", lambda tau, dt, delay: (1 - dt / tau) ** (delay / dt - 1)),
)


def leak(answer, seed: int = 1) -> Verdict:
    """Exercise 7: `answer(tau (N,), dt (N,), delay (N,)) -> alpha (N,), kept (N,)`, all times in hours."""
    generator = torch.Generator().manual_seed(seed)
    dt = torch.tensor([0.25, 0.5, 1.0, 2.0])
    steps = torch.randint(2, 12, (4,), generator=generator)
    tau = dt * (1.5 + 8 * torch.rand(4, generator=generator))
    cases = {
        "τ = 4 h, Δt = 2 h, after 6 h, by hand": _units([4.0], [2.0], [6.0]),
        "the same 24 h in finer and finer steps": _units([12.0] * 3, [6.0, 1.0, 0.1], [24.0] * 3),
        "τ = Δt": _units([0.5], [0.5], [1.0]),
        "four units at random": {"tau": tau, "dt": dt, "delay": dt * steps},
    }
    return examine("leak", answer, cases, _leak, {"alpha": OF_ALPHA, "kept": OF_KEPT})


def _units(tau: list[float], dt: list[float], delay: list[float]) -> dict[str, Tensor]:
    return {"tau": torch.tensor(tau), "dt": torch.tensor(dt), "delay": torch.tensor(delay)}


def _leak(tau: Tensor, dt: Tensor, delay: Tensor) -> tuple[Tensor, Tensor]:
    alpha = dt / tau
    return alpha, (1 - alpha) ** (delay / dt)
