"""Exercise 1: how long a factor remembers, and the bias that remembers so long."""

import math

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict, combine


def _time_constant(f: Tensor, dt: Tensor) -> Tensor:
    """-Δt / ln f, and ∞ for f = 1."""
    return dt / f.log().abs()


def _forget_bias(tau: Tensor, dt: Tensor) -> Tensor:
    """The logit of e^(-Δt/τ)."""
    return -torch.expm1(dt / tau).log()


OF_TIME_CONSTANT = (
    (
        "whoever keeps everything, f = 1, remembers for ever; yours is -∞ there, since -Δt is divided by "
        "ln 1 = 0. Divide Δt by the size of the logarithm",
        lambda f, dt: -dt / f.log(),
    ),
    (
        "that is the half-life, after which 1/2 is left; τ is longer by 1/ln 2: 1/e is left",
        lambda f, dt: math.log(2) * _time_constant(f, dt),
    ),
    (
        "you count in steps; one step lasts Δt hours",
        lambda f, dt: _time_constant(f, 1.0),
    ),
    (
        "the sign is wrong: ln f is negative, and a time is not",
        lambda f, dt: dt / f.log(),
    ),
    (
        "that is a rate, per hour; the time constant is 1 over it",
        lambda f, dt: f.log().abs() / dt,
    ),
    (
        "Δt/(1 - f) is good near f = 1 only, where ln f ≈ f - 1; at f = 0.5 it says 2 steps for 1.44",
        lambda f, dt: dt / (1 - f),
    ),
    (
        "that is the time until 1/10 is left; for 1/e take the natural logarithm",
        lambda f, dt: dt / f.log10().abs(),
    ),
)
OF_FORGET_BIAS = (
    (
        "ln(τ/Δt) is good for τ much longer than Δt only; solve σ(b) = e^(-Δt/τ) exactly",
        lambda tau, dt: (tau / dt).log(),
    ),
    (
        "your gate keeps 1 - Δt/τ, an Euler step of chapter 3, which has no answer for τ < Δt; it should "
        "keep e^(-Δt/τ)",
        lambda tau, dt: (tau / dt - 1).log(),
    ),
    (
        "the sign is wrong: yours is the bias of a gate that renews, such as the GRU's z; this one keeps",
        lambda tau, dt: torch.expm1(dt / tau).log(),
    ),
    (
        "that is the factor f itself; the bias is what σ makes f of",
        lambda tau, dt: torch.exp(-dt / tau),
    ),
    (
        "that is ln f; the inverse of σ is ln(f/(1 - f))",
        lambda tau, dt: -dt / tau,
    ),
    (
        "with your bias half of the memory is left after τ; it should be 1/e",
        lambda tau, dt: -torch.expm1(math.log(2) * dt / tau).log(),
    ),
    (
        "Δt is missing: over one step, e^(-Δt/τ) is kept",
        lambda tau, dt: -torch.expm1(1 / tau).log(),
    ),
)


def pace(time_constant: object = None, forget_bias: object = None, seed: int = 1) -> Verdict:
    """Exercise 1: `time_constant(f (N,), dt (N,)) -> (N,)` and `forget_bias(tau (N,), dt (N,)) -> (N,)`."""
    draws = torch.Generator().manual_seed(seed)
    dt = 0.2 + 3 * torch.rand(5, generator=draws)
    f = 0.05 + 0.93 * torch.rand(5, generator=draws)
    tau = dt * (0.3 + 20 * torch.rand(5, generator=draws))
    factors = {
        "f = 1/e, Δt = 3 h, by hand": _units("f", [math.exp(-1)], [3.0]),
        "f = 0, which keeps nothing": _units("f", [0.0], [1.0]),
        "f = 1, which keeps everything": _units("f", [1.0], [2.0]),
        "five factors at random": {"f": f, "dt": dt},
    }
    times = {
        "a half-life of one step, by hand": _units("tau", [2 / math.log(2)], [2.0]),
        "shorter than a step": _units("tau", [0.5, 0.2], [1.0, 0.8]),
        "500 steps": _units("tau", [250.0], [0.5]),
        "five time constants at random": {"tau": tau, "dt": dt},
    }
    return combine(
        "pace",
        examine("time_constant", time_constant, _of("τ", factors), _time_constant, OF_TIME_CONSTANT),
        examine("forget_bias", forget_bias, _of("b", times), _forget_bias, OF_FORGET_BIAS),
    )


def _units(name: str, values: list[float], dt: list[float]) -> dict[str, Tensor]:
    return {name: torch.tensor(values), "dt": torch.tensor(dt)}


def _of(what: str, cases: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Cases that say which of the two functions they belong to."""
    return {f"{what}, {name}": given for name, given in cases.items()}
