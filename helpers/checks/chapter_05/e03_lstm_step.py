"""Exercise 3: one step of an LSTM."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _lstm_step(
    h: Tensor,
    c: Tensor,
    x: Tensor,
    W_xh: Tensor,
    W_hh: Tensor,
    b: Tensor,
    *,
    order: str = "ifgo",
    seen: Callable = lambda h, c: h,
    squash: Callable = torch.tanh,
    write: Callable = lambda c, i, f, g: f * c + i * g,
    show: Callable = lambda o, c, before: o * torch.tanh(c),
) -> tuple[Tensor, Tensor]:
    """h_t and c_t (B, H), in the chapter's order of blocks."""
    a = dict(zip(order, (x @ W_xh.mT + seen(h, c) @ W_hh.mT + b).chunk(4, -1), strict=True))
    i, f, o = (torch.sigmoid(a[gate]) for gate in "ifo")
    after = write(c, i, f, squash(a["g"]))
    return show(o, after, c), after


OF_BOTH = (
    (
        "your i and f are exchanged: the first block of rows is the input gate's, the second the forget "
        "gate's, which multiplies c_{t-1}",
        partial(_lstm_step, order="figo"),
    ),
    (
        "your g and o are exchanged: the third block of rows is the candidate's, the last the output gate's",
        partial(_lstm_step, order="ifog"),
    ),
    (
        "your f and g are exchanged: the second block of rows is the forget gate's, the third the "
        "candidate's",
        partial(_lstm_step, order="igfo"),
    ),
    (
        "you squash c itself; on the highway nothing squashes, tanh is only in what h shows",
        partial(_lstm_step, write=lambda c, i, f, g: torch.tanh(f * c + i * g)),
    ),
    (
        "you write with 1 - f, as a leaky unit or a GRU; an LSTM's input gate is its own",
        partial(_lstm_step, write=lambda c, i, f, g: f * c + (1 - f) * g),
    ),
    (
        "you write the whole candidate; the input gate says how much of it",
        partial(_lstm_step, write=lambda c, i, f, g: f * c + g),
    ),
    (
        "you keep all of c_{t-1}; the forget gate says how much of it",
        partial(_lstm_step, write=lambda c, i, f, g: c + i * g),
    ),
    (
        "your candidate is a sigmoid, which can only add; it is a tanh, which can also take away",
        partial(_lstm_step, squash=torch.sigmoid),
    ),
    (
        "your candidate is not squashed: g is a tanh",
        partial(_lstm_step, squash=torch.positive),
    ),
    (
        "your gates read c; they read what is shown, h_{t-1}",
        partial(_lstm_step, seen=lambda h, c: c),
    ),
    (
        "your gates do not read h_{t-1}: W_hh is missing",
        partial(_lstm_step, seen=lambda h, c: 0 * h),
    ),
)
OF_HIDDEN = (
    (
        "your output gate is inside tanh; h is o times the squashed c",
        partial(_lstm_step, show=lambda o, c, before: torch.tanh(o * c)),
    ),
    (
        "you show c as it is: h is o times tanh(c)",
        partial(_lstm_step, show=lambda o, c, before: o * c),
    ),
    (
        "your h lacks the output gate",
        partial(_lstm_step, show=lambda o, c, before: torch.tanh(c)),
    ),
    (
        "your h shows c_{t-1}; it shows what the cell is after the step",
        partial(_lstm_step, show=lambda o, c, before: o * torch.tanh(before)),
    ),
    ("that is c_t; return h_t first", lambda **given: _lstm_step(**given)[1]),
    *OF_BOTH,
)
OF_CELL = (("that is h_t; return c_t as the second", lambda **given: _lstm_step(**given)[0]), *OF_BOTH)


def lstm_step(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(h (B, H), c (B, H), x (B, D), W_xh (4H, D), W_hh (4H, H), b) -> h, c`."""
    draws = torch.Generator().manual_seed(seed)
    still = _cell(draws, series=2, inputs=2, units=3)
    still["W_xh"], still["W_hh"] = torch.zeros(12, 2), torch.zeros(12, 3)
    still["b"] = torch.tensor([-30.0] * 3 + [30.0] * 3 + [1.0] * 3 + [0.5] * 3)
    cases = {
        "one unit, no weights, by hand": {
            "h": torch.zeros(1, 1),
            "c": torch.ones(1, 1),
            "x": torch.ones(1, 1),
            "W_xh": torch.zeros(4, 1),
            "W_hh": torch.zeros(4, 1),
            "b": torch.tensor([0.0, math.log(3), math.atanh(0.5), -math.log(3)]),
        },
        "f = 1 and i = 0, which keep": still,
        "two inputs, two units, at random": _cell(draws, series=1, inputs=2, units=2),
        "five series, three inputs, four units": _cell(draws, series=5, inputs=3, units=4),
    }
    return examine("lstm_step", answer, cases, _lstm_step, {"h": OF_HIDDEN, "c": OF_CELL})


def _cell(draws: Generator, series: int, inputs: int, units: int) -> dict[str, Tensor]:
    """States, inputs and weights at random; memories of any size, as a cell that adds up has them."""
    shapes = {
        "h": (series, units),
        "c": (series, units),
        "x": (series, inputs),
        "W_xh": (4 * units, inputs),
        "W_hh": (4 * units, units),
        "b": (4 * units,),
    }
    return {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()}
