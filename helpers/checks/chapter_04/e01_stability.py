"""Exercise 1: what becomes of a small deviation from a fixed point of one neuron."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _slope(w: Tensor, h: Tensor) -> Tensor:
    return w * (1 - h**2)


def _stability(w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return _slope(w, h), _slope(w, h).abs() < 1


OF_THE_SLOPE = (
    (
        "you forget tanh': its derivative 1 - tanh² is 1 at 0 only, and at the fixed point it is 1 - h²",
        lambda w, h: w.clone(),
    ),
    ("you forget the inner derivative: by the chain rule, w multiplies 1 - h²", lambda w, h: 1 - h**2),
    (
        "you take tanh' of h; h is tanh(w h + b) already, so that tanh' there is 1 - h²",
        lambda w, h: _slope(w, h.tanh()),
    ),
    (
        "you take tanh' at w h, without b: at the fixed point tanh(w h + b) is h itself, and tanh' is 1 - h²",
        lambda w, h: _slope(w, (w * h).tanh()),
    ),
    ("you do not square h: tanh' is 1 - tanh²", lambda w, h: w * (1 - h)),
    ("w multiplies all of 1 - h²: mind the brackets", lambda w, h: 1 - w * h**2),
    (
        "you return the slope's absolute value; a negative slope says that the deviation alternates",
        lambda w, h: _slope(w, h).abs(),
    ),
    (
        "you return the slope of h' - h; what is left of a deviation is the slope of h' itself",
        lambda w, h: _slope(w, h) - 1,
    ),
)
OF_THE_MASK = (
    (
        "a slope below -1 is unstable too: the deviation changes sign at every step, and grows. Compare the "
        "slope's absolute value with 1",
        lambda w, h: _slope(w, h) < 1,
    ),
    (
        "slope < 0 is the criterion of a flow dh/dt = f(h); a map multiplies the deviation by its slope, and "
        "the factor must lie between -1 and 1",
        lambda w, h: _slope(w, h) < 0,
    ),
    (
        "you compare |w| with 1; away from 0 tanh is flatter, and even a strong neuron can be at rest",
        lambda w, h: w.abs() < 1,
    ),
    (
        "you compare 1 - h², which is never above 1; the slope has the factor w as well",
        lambda w, h: (1 - h**2).abs() < 1,
    ),
    ("a slope above 1 is unstable too", lambda w, h: _slope(w, h) > -1),
    ("your mask is inverted: True is for stable", lambda w, h: _slope(w, h).abs() >= 1),
)


def stability(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(w (N,), h (N,)) -> slope (N,), stable (N,) bool` at the fixed points h."""
    generator = torch.Generator().manual_seed(seed)
    w, h = torch.rand(2, 12, generator=generator)
    cases = {
        "w = 2, at rest in the middle, by hand": _neurons([2.0], [0.0]),
        "neurons that excite themselves": _neurons([0.5, 0.9, 2.0, 2.0, 5.0], [0.0, -0.6, 0.0, 0.96, 0.5]),
        "neurons that inhibit themselves": _neurons([-0.5, -1.5, -3.0, -3.0], [0.3, 0.2, 0.1, 0.9]),
        "twelve neurons at random": {"w": 8 * w - 4, "h": 1.9 * h - 0.95},
    }
    ideas = {"slope": OF_THE_SLOPE, "stable": OF_THE_MASK}
    return examine("stability", answer, cases, _stability, ideas)


def _neurons(w: list[float], h: list[float]) -> dict[str, Tensor]:
    """Any h between -1 and 1 is a fixed point: that of the neuron with b = artanh(h) - w h."""
    return {"w": torch.tensor(w), "h": torch.tensor(h)}
