"""Exercise 1: what becomes of a small deviation from a fixed point of one neuron."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.chapter_04.masks import masks_as_numbers
from helpers.checks.examine import Case, Misconception
from helpers.checks.parts import examine_parts
from helpers.checks.verdict import Verdict


def _slope(w: Tensor, h: Tensor) -> Tensor:
    return w * (1 - h**2)


def _stability(w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return _slope(w, h), _where(lambda slope: slope.abs() < 1)(w, h)


def _where(criterion: Callable, slope: Callable = _slope) -> Callable[..., Tensor]:
    """1 where the slope meets the criterion, else 0."""
    return lambda w, h: criterion(slope(w, h)).float()


SLOPE_IDEAS = (
    Misconception(
        "you forget tanh': its derivative 1 - tanh² is 1 at 0 only, and at the fixed point it is 1 - h²",
        lambda w, h: w.clone(),
    ),
    Misconception(
        "you forget the inner derivative: by the chain rule, w multiplies 1 - h²",
        lambda w, h: 1 - h**2,
    ),
    Misconception(
        "you take tanh' of h; h is tanh(w h + b) already, so that tanh' there is 1 - h²",
        lambda w, h: _slope(w, h.tanh()),
    ),
    Misconception(
        "you take tanh' at w h, without b: at the fixed point tanh(w h + b) is h itself, and tanh' is 1 - h²",
        lambda w, h: _slope(w, (w * h).tanh()),
    ),
    Misconception(
        "you do not square h: tanh' is 1 - tanh²",
        lambda w, h: w * (1 - h),
    ),
    Misconception(
        "w multiplies all of 1 - h²: mind the brackets",
        lambda w, h: 1 - w * h**2,
    ),
    Misconception(
        "you return the slope's absolute value; a negative slope says that the deviation alternates",
        lambda w, h: _slope(w, h).abs(),
    ),
    Misconception(
        "you return the slope of h' - h; what is left of a deviation is the slope of h' itself",
        lambda w, h: _slope(w, h) - 1,
    ),
)
STABLE_IDEAS = (
    Misconception(
        "a slope below -1 is unstable too: the deviation changes sign at every step, and grows. Compare the "
        "slope's absolute value with 1",
        _where(lambda slope: slope < 1),
    ),
    Misconception(
        "slope < 0 is the criterion of a flow dh/dt = f(h); a map multiplies the deviation by its slope, and "
        "the factor must lie between -1 and 1",
        _where(lambda slope: slope < 0),
    ),
    Misconception(
        "you compare |w| with 1; away from 0 tanh is flatter, and even a strong neuron can be at rest",
        _where(lambda slope: slope.abs() < 1, slope=lambda w, h: w),
    ),
    Misconception(
        "you compare 1 - h², which is never above 1; the slope has the factor w as well",
        _where(lambda slope: slope.abs() < 1, slope=lambda w, h: 1 - h**2),
    ),
    Misconception(
        "a slope above 1 is unstable too",
        _where(lambda slope: slope > -1),
    ),
    Misconception(
        "your mask is inverted: True is for stable",
        _where(lambda slope: slope.abs() >= 1),
    ),
)


def stability(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(w (N,), h (N,)) -> slope (N,), stable (N,) bool` at the fixed points h."""
    generator = torch.Generator().manual_seed(seed)
    w, h = torch.rand(2, 12, generator=generator)
    cases = (
        Case("w = 2, at rest in the middle, by hand", _neurons([2.0], [0.0])),
        Case(
            "neurons that excite themselves", _neurons([0.5, 0.9, 2.0, 2.0, 5.0], [0.0, -0.6, 0.0, 0.96, 0.5])
        ),
        Case("neurons that inhibit themselves", _neurons([-0.5, -1.5, -3.0, -3.0], [0.3, 0.2, 0.1, 0.9])),
        Case("twelve neurons at random", {"w": 8 * w - 4, "h": 1.9 * h - 0.95}),
    )
    ideas = {"slope": SLOPE_IDEAS, "stable": STABLE_IDEAS}
    return examine_parts("stability", masks_as_numbers(answer), cases, _stability, ideas)


def _neurons(w: list[float], h: list[float]) -> dict[str, Tensor]:
    """Any h between -1 and 1 is a fixed point: that of the neuron with b = artanh(h) - w h."""
    return {"w": torch.tensor(w), "h": torch.tensor(h)}
