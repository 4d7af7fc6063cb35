"""Exercise 3: a step of the Euler-Maruyama method, judged by the kicks that it gives to many cells."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.attempt import Attempt, attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict

CELLS, STEP = 20_000, 0.04
SIGMA = torch.tensor([0.5, 2.0])
SPREAD_TOLERANCE = 0.04  # of a standard deviation, measured in so many cells to 0.5 %
LONG_STEP, LONG_RUN = 0.05, 200
SLIPS = (
    (
        SIGMA * STEP,
        "you multiply by Δt. Variances of independent kicks add, so that a kick grows with √Δt: with Δt the "
        "noise would vanish as steps get shorter",
    ),
    (SIGMA, "you forget √Δt: many short steps would shake the cell more than one long one"),
    (torch.full_like(SIGMA, STEP**0.5), "you forget σ"),
    (SIGMA**2 * STEP**0.5, "you multiply by σ²; that is a variance, and a kick goes with σ"),
    (
        (SIGMA * STEP).sqrt(),
        "you multiply by √(σ Δt); σ is a standard deviation already, and the root is of Δt alone",
    ),
    (SIGMA / STEP**0.5, "you divide by √Δt; multiply"),
    (0 * SIGMA, "there is no noise, or it is the same for all cells"),
)


def _euler(f, t, y, dt, sigma, generator, *, scale: Callable = float) -> Tensor:
    """The step without its noise."""
    return y + scale(dt) * f(t, y)


MISCONCEPTIONS = (
    ("√Δt belongs to the noise; the drift f moves the state by Δt f", partial(_euler, scale=math.sqrt)),
    ("you forget Δt at the drift: it moves the state by Δt f", partial(_euler, scale=lambda dt: 1.0)),
    ("you return what the step adds; add it to y", lambda f, t, y, dt, sigma, generator: dt * f(t, y)),
    ("the drift does not come in", lambda f, t, y, dt, sigma, generator: y.clone()),
    (
        "the time does not come in: f(t, y), not f(0, y)",
        lambda f, t, y, dt, sigma, generator: y + dt * f(0.0, y),
    ),
    (
        "the drift is taken at the end of the step; Euler's method takes it at t",
        lambda f, t, y, dt, sigma, generator: y + dt * f(t + dt, y),
    ),
)


def euler_maruyama(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(f, t, y (B, D), dt, sigma (D,), generator) -> (B, D)`."""
    still = {
        "f": lambda t, y: t - 2 * y,
        "t": 0.7,
        "y": torch.randn(3, 2, generator=_generator(seed)),
        "dt": 0.1,
        "sigma": torch.zeros(2),
        "generator": _generator(seed),
    }
    return examine(
        "euler_maruyama",
        answer,
        {"without noise, one step of Euler": still},
        _euler,
        MISCONCEPTIONS,
        lambda step: _judge_noise(step, seed),
    )


def _generator(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def _judge_noise(step: Callable, seed: int) -> tuple[Item, ...]:
    """Three items on the kicks that cells get in one step, and one on many steps."""
    generator = _generator(seed)
    first, second, again = (_kick(step, numbers) for numbers in (generator, generator, _generator(seed)))
    if first.answer is None:
        return (Item(False, f"noise: {first.problem}"), *3 * [Item(False, "noise: the same again")])
    return (
        _judge_independence(first.answer),
        _judge_size(first.answer),
        _judge_generator(first, second, again),
        _judge_long_run(step, seed),
    )


def _kick(step: Callable, generator: Generator) -> Attempt:
    """One step of many cells at 0 without drift, (B, 2)."""
    y = torch.zeros(CELLS, 2)
    at_rest = {"f": lambda t, y: torch.zeros_like(y), "t": 0.0, "y": y}
    return attempt(step, at_rest | {"dt": STEP, "sigma": SIGMA, "generator": generator}, y)


def _judge_independence(kicks: Tensor) -> Item:
    """Whether cells, and the variables of a cell, are kicked independently."""
    if (kicks.std(0) < 1e-6 * SIGMA).any():
        return Item(
            False, "one number each: all cells get the same kick; draw one number for each entry of y"
        )
    correlation = torch.corrcoef(kicks.T)[0, 1].item()
    if abs(correlation) > 0.1:
        kick = f"the kicks of u and v have the correlation {correlation:.2f}"
        return Item(False, f"one number each: {kick}; draw one number for each variable, too")
    return Item(True, "one number each: kicks of cells and variables are independent")


def _judge_size(kicks: Tensor) -> Item:
    """Whether the kicks have mean 0 and the standard deviation σ √Δt."""
    spread, expected = kicks.std(0), SIGMA * STEP**0.5
    measured = f"size of a kick: standard deviations {spread[0]:.3f} and {spread[1]:.3f}"
    if (kicks.mean(0).abs() > 0.1 * spread).any():
        return Item(False, "size of a kick: its mean is not 0. `torch.rand` is uniform, `torch.randn` normal")
    if _is_close(spread, expected):
        return Item(True, f"{measured}, as σ √Δt is")
    reason = next((f" {reason}" for slip, reason in SLIPS if _is_close(spread, slip)), "")
    return Item(False, f"{measured}; σ √Δt is {expected[0]:.3f} and {expected[1]:.3f}.{reason}")


def _is_close(spread: Tensor, expected: Tensor) -> bool:
    return torch.allclose(spread, expected.double(), rtol=SPREAD_TOLERANCE, atol=1e-6)


def _judge_generator(first: Attempt, second: Attempt, again: Attempt) -> Item:
    """Whether numbers come from the generator that is given, new ones at each step."""
    if second.answer is None or torch.equal(first.answer, second.answer):
        return Item(False, "numbers: each step gives the same kicks; do not seed inside the function")
    if again.answer is None or not torch.equal(first.answer, again.answer):
        return Item(False, "numbers: pass on `generator=generator`, so that a run can be repeated")
    return Item(True, "numbers: new ones at each step, from the generator you were given")


def _judge_long_run(step: Callable, seed: int) -> Item:
    """The variance to which an Ornstein-Uhlenbeck process with γ = σ = 1 settles: 1 / (2 - Δt)."""
    arguments = {"f": lambda t, y: -y, "t": 0.0, "y": torch.zeros(CELLS // 5, 2), "dt": LONG_STEP}
    arguments |= {"sigma": torch.ones(2), "generator": _generator(seed)}
    for k in range(LONG_RUN):
        tried = attempt(step, arguments | {"t": k * LONG_STEP}, arguments["y"])
        if tried.answer is None:
            return Item(False, f"in the long run: {tried.problem}")
        arguments["y"] = tried.answer
    variance = tried.answer.var().item()
    measured = f"in the long run: y' = -y with noise 1 has the variance {variance:.2f}"
    if abs(variance * (2 - LONG_STEP) - 1) <= 0.1:
        return Item(True, f"{measured}, near σ²/(2 γ) = 0.5")
    return Item(False, f"{measured}; it should be near σ²/(2 γ) = 0.5")
