"""Exercise 6: the Lyapunov exponent of a population that jumps from season to season."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _slope(x: Tensor, r: Tensor) -> Tensor:
    return r * (1 - 2 * x)


def _exponent(
    x: Tensor,
    r: Tensor,
    transient: int,
    *,
    slope: Callable = _slope,
    average: Callable = lambda slope: slope.abs().log().mean(),
) -> Tensor:
    return average(slope(x[transient:], r))


MISCONCEPTIONS = (
    (
        "you take the logarithm of the mean slope; slopes multiply, so that their logarithms are averaged",
        partial(_exponent, average=lambda slope: slope.abs().mean().log()),
    ),
    (
        "you include the transient: the way to the attractor says nothing about the attractor",
        lambda x, r, transient: _exponent(x, r, 0),
    ),
    (
        "you forget the absolute value: a slope of -2 doubles a deviation as one of 2 does, and the "
        "logarithm of a negative number is NaN",
        partial(_exponent, average=lambda slope: slope.log().mean()),
    ),
    (
        "you leave out the steps with a negative slope; they stretch as well, by |f'|",
        partial(_exponent, average=lambda slope: slope[slope > 0].log().mean()),
    ),
    (
        "you divide by the length of the whole series; divide by the number of steps you have summed",
        lambda x, r, transient: _slope(x[transient:], r).abs().log().sum() / len(x),
    ),
    (
        "you return the sum; the exponent is the mean per step",
        partial(_exponent, average=lambda slope: slope.abs().log().sum()),
    ),
    (
        "the exponent of stretching is a natural logarithm; yours has base 2",
        partial(_exponent, average=lambda slope: slope.abs().log2().mean()),
    ),
    (
        "the exponent of stretching is a natural logarithm; yours has base 10",
        partial(_exponent, average=lambda slope: slope.abs().log10().mean()),
    ),
    (
        "you average x', the population; a deviation is stretched by the slope r (1 - 2 x)",
        partial(_exponent, slope=lambda x, r: r * x * (1 - x)),
    ),
    (
        "your derivative is not that of r x (1 - x) = r x - r x²",
        partial(_exponent, slope=lambda x, r: r * (1 - x)),
    ),
    ("your derivative lacks the factor r", partial(_exponent, slope=lambda x, r: 1 - 2 * x)),
    (
        "the stretching of a whole run is the mean of ln |f'|; you return the mean of |f'|",
        partial(_exponent, average=lambda slope: slope.abs().mean()),
    ),
)


def lyapunov_exponent(answer, seed: int = 1) -> Verdict:
    """Exercise 6: `answer(x (T,), r (), transient) -> ()` of the logistic map, per step."""
    start = 0.05 + 0.2 * torch.rand((), generator=torch.Generator().manual_seed(seed)).item()
    resting = {"x": torch.full((5,), 0.75), "r": torch.tensor(4.0), "transient": 0}
    cases = {
        "r = 4, resting at 3/4, where the slope is -2": resting,
        "r = 3.2, every other season good": _seasons(3.2, start, steps=160, transient=60),
        "r = 3.7, chaos": _seasons(3.7, start, steps=400, transient=100),
        "r = 4, chaos: ln 2 = 0.693 in the long run": _seasons(4.0, start, steps=5000, transient=100),
    }
    return examine("lyapunov_exponent", answer, cases, _exponent, MISCONCEPTIONS)


def _seasons(r: float, start: float, steps: int, transient: int) -> dict[str, Tensor | int]:
    """A population that starts at a thousandth of `start`; for the first seasons it grows by a factor r."""
    x = [start / 1000]
    for _ in range(steps - 1):
        x.append(r * x[-1] * (1 - x[-1]))
    return {"x": torch.tensor(x, dtype=torch.float64), "r": torch.tensor(r), "transient": transient}
