"""Exercise 6: the Lyapunov exponent of a population that jumps from season to season."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Verdict


def _slope(x: Tensor, r: Tensor) -> Tensor:
    return r * (1 - 2 * x)


def _mean_of_logarithms(slope: Tensor) -> Tensor:
    return slope.abs().log().mean()


def _exponent(
    x: Tensor,
    r: Tensor,
    transient: int,
    *,
    slope: Callable = _slope,
    average: Callable = _mean_of_logarithms,
) -> Tensor:
    return average(slope(x[transient:], r))


def _instead(**change: Callable) -> Callable[..., Tensor]:
    return lambda x, r, transient: _exponent(x, r, transient, **change)


def _wrong_count(x: Tensor, r: Tensor, transient: int) -> Tensor:
    return _slope(x[transient:], r).abs().log().sum() / len(x)


MISCONCEPTIONS = (
    Misconception(
        "you take the logarithm of the mean slope; slopes multiply, so that their logarithms are averaged",
        _instead(average=lambda slope: slope.abs().mean().log()),
    ),
    Misconception(
        "you include the transient: the way to the attractor says nothing about the attractor",
        lambda x, r, transient: _exponent(x, r, 0),
    ),
    Misconception(
        "you forget the absolute value: a slope of -2 doubles a deviation as one of 2 does, and the "
        "logarithm of a negative number is NaN",
        _instead(average=lambda slope: slope.log().mean()),
    ),
    Misconception(
        "you leave out the steps with a negative slope; they stretch as well, by |f'|",
        _instead(average=lambda slope: slope[slope > 0].log().mean()),
    ),
    Misconception(
        "you divide by the length of the whole series; divide by the number of steps you have summed",
        _wrong_count,
    ),
    Misconception(
        "you return the sum; the exponent is the mean per step",
        _instead(average=lambda slope: slope.abs().log().sum()),
    ),
    Misconception(
        "the exponent of stretching is a natural logarithm; yours has base 2",
        _instead(average=lambda slope: slope.abs().log2().mean()),
    ),
    Misconception(
        "the exponent of stretching is a natural logarithm; yours has base 10",
        _instead(average=lambda slope: slope.abs().log10().mean()),
    ),
    Misconception(
        "you average x', the population; a deviation is stretched by the slope r (1 - 2 x)",
        _instead(slope=lambda x, r: r * x * (1 - x)),
    ),
    Misconception(
        "your derivative is not that of r x (1 - x) = r x - r x²",
        _instead(slope=lambda x, r: r * (1 - x)),
    ),
    Misconception(
        "your derivative lacks the factor r",
        _instead(slope=lambda x, r: 1 - 2 * x),
    ),
    Misconception(
        "the stretching of a whole run is the mean of ln |f'|; you return the mean of |f'|",
        _instead(average=lambda slope: slope.abs().mean()),
    ),
)


def lyapunov_exponent(answer, seed: int = 1) -> Verdict:
    """Exercise 6: `answer(x (T,), r (), transient) -> ()` of the logistic map, per step."""
    start = 0.05 + 0.2 * torch.rand((), generator=torch.Generator().manual_seed(seed)).item()
    resting = {"x": torch.full((5,), 0.75), "r": torch.tensor(4.0), "transient": 0}
    cases = (
        Case("r = 4, resting at 3/4, where the slope is -2", resting),
        Case("r = 3.2, every other season good", _seasons(3.2, start, steps=160, transient=60)),
        Case("r = 3.7, chaos", _seasons(3.7, start, steps=400, transient=100)),
        Case("r = 4, chaos: ln 2 = 0.693 in the long run", _seasons(4.0, start, steps=5000, transient=100)),
    )
    return examine("lyapunov_exponent", answer, cases, _exponent, MISCONCEPTIONS)


def _seasons(r: float, start: float, steps: int, transient: int) -> dict[str, Tensor | int]:
    """A population that starts at a thousandth of `start`; for the first seasons it grows by a factor r."""
    x = [start / 1000]
    for _ in range(steps - 1):
        x.append(r * x[-1] * (1 - x[-1]))
    return {"x": torch.tensor(x, dtype=torch.float64), "r": torch.tensor(r), "transient": transient}
