"""Exercise 5: one step of Heun's method, for samples that each have their own time and step."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.attempt import Attempt, attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict

STEPS = 64
TOLERANCE = 0.15  # of the order
BEGIN = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.2, 0.4]], dtype=torch.float64)
END = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)


def _columns(dt: Tensor, y: Tensor) -> Tensor:
    return dt[:, None].expand(y.shape)


def _rows(dt: Tensor, y: Tensor) -> Tensor:
    """What `dt * y` does: it runs only if there are as many variables as samples, or one of either."""
    fits = len(dt) in (1, y.shape[1])
    return dt.expand(y.shape) if fits else torch.full_like(y, torch.nan)


def _heun(
    f: Callable,
    t: Tensor,
    y: Tensor,
    dt: Tensor,
    *,
    clock: float = 1.0,
    reach: float = 1.0,
    weights: tuple[float, float] = (0.5, 0.5),
    spread: Callable = _columns,
) -> Tensor:
    """One step of two stages, k₂ = f(t + clock Δt, y + reach Δt k₁) and y + Δt (b₁ k₁ + b₂ k₂)."""
    step = spread(dt, y)
    k1 = f(t, y)
    k2 = f(t + clock * dt, y + reach * step * k1)
    return y + step * (weights[0] * k1 + weights[1] * k2)


MISCONCEPTIONS = (
    (
        "that is Euler's method: the second slope, at the end of the step, does not come in",
        partial(_heun, weights=(1.0, 0.0)),
    ),
    (
        "you take the second slope at the time t; it belongs to the end of the step, t + Δt",
        partial(_heun, clock=0.0),
    ),
    ("you take the second slope at the state y; first go there, y + Δt k₁", partial(_heun, reach=0.0)),
    (
        "both slopes are those at the start, once at a later time; the second belongs to y + Δt k₁ at t + Δt",
        partial(_heun, clock=0.0, reach=0.0),
    ),
    (
        "that is the midpoint method, of order 2 as well; Heun's goes to the end of the step and averages",
        partial(_heun, clock=0.5, reach=0.5, weights=(0.0, 1.0)),
    ),
    (
        "you go half a step for the second slope; average with the slope at the end of the step",
        partial(_heun, clock=0.5, reach=0.5),
    ),
    ("you add both slopes; take their mean", partial(_heun, weights=(1.0, 1.0))),
    ("you use the second slope alone; take the mean of both", partial(_heun, weights=(0.0, 1.0))),
    (
        "Δt times k multiplies the columns: variable 0 gets the step of sample 0. Each row is a sample; "
        "`dt[:, None]` has one step for each row",
        partial(_heun, spread=_rows),
    ),
    ("you return what the step adds; add it to y", lambda f, t, y, dt: _heun(f, t, y, dt) - y),
    (
        "you forget Δt where the slopes are averaged; a slope times a time is a change",
        lambda f, t, y, dt: y + (f(t, y) + f(t + dt, y + dt[:, None] * f(t, y))) / 2,
    ),
    (
        "you forget Δt on the way to the second slope: go to y + Δt k₁",
        lambda f, t, y, dt: y + dt[:, None] * (f(t, y) + f(t + dt, y + f(t, y))) / 2,
    ),
)


def heun_step(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(f, t (B,), y (B, D), dt (B,)) -> (B, D)`, and the order it has."""
    cases = {
        "y' = t from t = 0, y = 1 in one step of 2, by hand": _start(_ramp, [0.0], [[1.0]], [2.0]),
        "two samples, two variables, two steps": _start(
            _turn, [0.0, 0.0], [[0.0, 1.0], [2.0, 0.0]], [0.1, 0.5]
        ),
        "five samples in three seasons": _population(torch.Generator().manual_seed(seed)),
    }
    return examine("heun_step", answer, cases, _heun, MISCONCEPTIONS, lambda step: [_judge_order(step)])


def _ramp(t: Tensor, y: Tensor) -> Tensor:
    return _as_column(t, y).expand(y.shape).clone()


def _turn(t: Tensor, y: Tensor) -> Tensor:
    _as_column(t, y)
    return torch.stack([-y[:, 1], y[:, 0]], 1)


def _seasons(t: Tensor, y: Tensor) -> Tensor:
    """Logistic growth whose rate goes with the season, y' = (1 + sin t) y (1 - y)."""
    return (1 + _as_column(t, y).sin()) * y * (1 - y)


def _as_column(t: Tensor, y: Tensor) -> Tensor:
    """t as (B, 1); the message reaches the student through the check."""
    if getattr(t, "shape", None) != y.shape[:1]:
        shape = tuple(getattr(t, "shape", ()))
        raise ValueError(f"f wants t of shape {tuple(y.shape[:1])}, one time for each sample: got {shape}")
    return t[:, None]


def _start(f: Callable, t: list[float], y: list[list[float]], dt: list[float]) -> dict[str, object]:
    return {"f": f, "t": torch.tensor(t), "y": torch.tensor(y), "dt": torch.tensor(dt)}


def _population(generator: torch.Generator) -> dict[str, object]:
    t, dt = 3 * torch.rand(5, generator=generator), 0.2 + torch.rand(5, generator=generator)
    return {"f": _seasons, "t": t, "y": 0.1 + 0.5 * torch.rand(5, 3, generator=generator), "dt": dt}


def _judge_order(step: Callable) -> Item:
    """How the error falls with the step: the binary logarithm of the ratio of two errors."""
    coarse, fine = (_run(step, steps) for steps in (STEPS, 2 * STEPS))
    if coarse.answer is None or fine.answer is None:
        return Item(False, f"order: {coarse.problem or fine.problem}")
    exact = torch.sigmoid(BEGIN.logit() + (END + 1 - END.cos())[:, None])
    order = torch.log2((coarse.answer - exact).abs().max() / (fine.answer - exact).abs().max()).item()
    if abs(order - 2) <= TOLERANCE:
        return Item(True, f"order: half the step divides the error by {2**order:.2f}, nearly 2² = 4")
    if abs(order - 1) <= TOLERANCE:
        return Item(False, "order: half the step only halves the error. That is order 1, as Euler's method")
    if order < 0.5 or math.isnan(order):
        return Item(False, "order: the error does not fall with the step; this does not solve y' = f(t, y)")
    return Item(False, f"order: half the step divides the error by {2**order:.2f}; it should be nearly 4")


def _run(step: Callable, steps: int) -> Attempt:
    """`_seasons` from `BEGIN` to `END` in so many steps, or the first step that went wrong.

    The exact solution is logit y(t) = logit y(0) + t + 1 - cos t.
    """
    t, tried = torch.zeros_like(END), Attempt(BEGIN)
    for _ in range(steps):
        arguments = {"f": _seasons, "t": t, "y": tried.answer, "dt": END / steps}
        tried = attempt(step, arguments, BEGIN)
        if tried.answer is None:
            break
        t = t + END / steps
    return tried
