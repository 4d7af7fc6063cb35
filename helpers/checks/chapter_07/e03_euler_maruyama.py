"""Exercise 3: a step of the Euler-Maruyama method, judged by the kicks that it gives to many cells."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.attempt import Attempt, attempt
from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Item, Verdict

CELLS, STEP = 20_000, 0.04
SIGMA = torch.tensor([0.5, 2.0])
WITHIN = 0.04  # of a standard deviation, measured in so many cells to 0.5 %
DECAY, LONG_STEP, LONG_RUN = 1.0, 0.05, 200


def _euler(
    f: Callable,
    t: float,
    y: Tensor,
    dt: float,
    sigma: Tensor,
    generator: Generator,
    *,
    scale: Callable = float,
) -> Tensor:
    return y + scale(dt) * f(t, y)


DRIFT_IDEAS = (
    Misconception(
        "√Δt belongs to the noise; the drift f moves the state by Δt f",
        partial(_euler, scale=math.sqrt),
    ),
    Misconception(
        "you forget Δt at the drift: it moves the state by Δt f", partial(_euler, scale=lambda dt: 1.0)
    ),
    Misconception(
        "you return what the step adds; add it to y",
        lambda f, t, y, dt, sigma, generator: dt * f(t, y),
    ),
    Misconception("the drift does not come in", lambda f, t, y, dt, sigma, generator: y.clone()),
    Misconception(
        "the time does not come in: f(t, y), not f(0, y)",
        lambda f, t, y, dt, sigma, generator: y + dt * f(0.0, y),
    ),
    Misconception(
        "the drift is taken at the end of the step; Euler's method takes it at t",
        lambda f, t, y, dt, sigma, generator: y + dt * f(t + dt, y),
    ),
)
SLIPS = (
    (
        lambda sigma, dt: sigma * dt,
        "you multiply by Δt. Variances of independent kicks add, so that a kick grows with √Δt: with Δt the "
        "noise would vanish as steps get shorter",
    ),
    (lambda sigma, dt: sigma, "you forget √Δt: many short steps would shake the cell more than one long one"),
    (lambda sigma, dt: 0 * sigma + dt**0.5, "you forget σ"),
    (lambda sigma, dt: sigma**2 * dt**0.5, "you multiply by σ²; that is a variance, and a kick goes with σ"),
    (
        lambda sigma, dt: (sigma * dt).sqrt(),
        "you multiply by √(σ Δt); σ is a standard deviation already, and the root is of Δt alone",
    ),
    (lambda sigma, dt: sigma / dt**0.5, "you divide by √Δt; multiply"),
    (lambda sigma, dt: 0 * sigma, "there is no noise, or it is the same for all cells"),
)


def euler_maruyama(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(f, t, y (B, D), dt, sigma (D,), generator) -> (B, D)`."""
    y = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
    still = Case(
        "without noise, one step of Euler",
        {"f": _drift, "t": 0.7, "y": y, "dt": 0.1, "sigma": torch.zeros(2), "generator": _fresh(seed)},
    )
    verdict = examine("euler_maruyama", answer, [still], _euler, DRIFT_IDEAS)
    if not verdict.items or not callable(answer):
        return verdict
    generator = _fresh(seed)
    first, second = _kick(answer, generator), _kick(answer, generator)
    if first.answer is None:
        return Verdict(verdict.exercise, (*verdict.items, *_four_times(f"noise: {first.problem}")))
    again = _kick(answer, _fresh(seed))
    kicks = (_separate(first.answer), _spread(first.answer), _fresh_numbers(first, second, again))
    return Verdict(verdict.exercise, (*verdict.items, *kicks, _in_the_long_run(answer, seed)))


def _four_times(message: str) -> tuple[Item, ...]:
    return (Item(False, message),) + (Item(False, "noise: the same again"),) * 3


def _fresh(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def _drift(t: float, y: Tensor) -> Tensor:
    return t - 2 * y


def _kick(step: Callable, generator: Generator) -> Attempt:
    """One step of many cells at 0 without drift, (B, 2)."""
    y = torch.zeros(CELLS, 2)
    at_rest = {"f": lambda t, y: torch.zeros_like(y), "t": 0.0, "y": y}
    return attempt(step, at_rest | {"dt": STEP, "sigma": SIGMA, "generator": generator}, y)


def _separate(kicks: Tensor) -> Item:
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


def _spread(kicks: Tensor) -> Item:
    """Whether the kicks have mean 0 and the standard deviation σ √Δt."""
    spread = kicks.std(0)
    expected = SIGMA * STEP**0.5
    measured = f"size of a kick: standard deviations {spread[0]:.3f} and {spread[1]:.3f}"
    if (kicks.mean(0).abs() > 0.1 * spread).any():
        return Item(False, "size of a kick: its mean is not 0. `torch.rand` is uniform, `torch.randn` normal")
    if _close(spread, expected):
        return Item(True, f"{measured}, as σ √Δt is")
    of_slips = (reason for slip, reason in SLIPS if _close(spread, slip(SIGMA, STEP)))
    return Item(
        False, f"{measured}; σ √Δt is {expected[0]:.3f} and {expected[1]:.3f}. {next(of_slips, '')}".strip()
    )


def _close(spread: Tensor, expected: Tensor) -> bool:
    return torch.allclose(spread, expected.double(), rtol=WITHIN, atol=1e-6)


def _fresh_numbers(first: Attempt, second: Attempt, again: Attempt) -> Item:
    """Whether numbers come from the generator that is given, new ones at each step."""
    if second.answer is None or torch.equal(first.answer, second.answer):
        return Item(False, "numbers: each step gives the same kicks; do not seed inside the function")
    if again.answer is None or not torch.equal(first.answer, again.answer):
        return Item(False, "numbers: pass on `generator=generator`, so that a run can be repeated")
    return Item(True, "numbers: new ones at each step, from the generator you were given")


def _in_the_long_run(step: Callable, seed: int) -> Item:
    """The variance to which an Ornstein-Uhlenbeck process settles, σ²/(2γ - γ² Δt) with this step."""
    generator, tried = _fresh(seed), Attempt(torch.zeros(CELLS // 5, 2))
    relaxing = {"f": lambda t, y: -DECAY * y}
    noise = {"dt": LONG_STEP, "sigma": torch.ones(2), "generator": generator}
    for k in range(LONG_RUN):
        tried = attempt(step, relaxing | {"t": k * LONG_STEP, "y": tried.answer} | noise, tried.answer)
        if tried.answer is None:
            return Item(False, f"in the long run: {tried.problem}")
    variance = tried.answer.var().item()
    expected = 1 / (2 * DECAY - DECAY**2 * LONG_STEP)
    measured = f"in the long run: y' = -y with noise 1 has the variance {variance:.2f}"
    if abs(variance / expected - 1) <= 0.1:
        return Item(True, f"{measured}, near σ²/(2 γ) = 0.5")
    return Item(False, f"{measured}; it should be near σ²/(2 γ) = 0.5")
