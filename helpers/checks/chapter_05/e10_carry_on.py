"""Exercise 10: an LSTM whose memory fades although its gates are open, and breaks between two parts."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _carry_on(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W_xh: Tensor,
    W_hh: Tensor,
    b: Tensor,
    *,
    squash: Callable = torch.positive,
    show: Callable = torch.tanh,
    last: Callable = lambda h, c: c,
    first: Callable = lambda h, c: (h, c),
) -> tuple[Tensor, Tensor]:
    """Hidden states (B, T, H), and the cell state after the last step (B, H)."""
    (h, c), states = first(h, c), []
    for x_t in x.unbind(1):
        i, f, g, o = (x_t @ W_xh.mT + h @ W_hh.mT + b).chunk(4, -1)
        c = squash(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
        h = torch.sigmoid(o) * show(c)
        states.append(h)
    return torch.stack(states, 1), last(h, c)


OF_BOTH = (
    (
        "tanh(c) still goes on to the next step: only h shows c squashed, the memory itself stays as it is",
        partial(_carry_on, squash=torch.tanh, show=torch.positive),
    ),
    (
        "now h shows tanh of tanh, and the memory is still squashed at each step: the line `c = c.tanh()` "
        "has to go",
        partial(_carry_on, squash=torch.tanh),
    ),
    (
        "you no longer squash at all; h is still o times tanh(c)",
        partial(_carry_on, show=torch.positive),
    ),
    (
        "yours starts each time from an empty memory; it should start from the c that it is given",
        partial(_carry_on, first=lambda h, c: (h, 0 * c)),
    ),
    (
        "yours starts each time from zeros; it should start from the h and c that it is given",
        partial(_carry_on, first=lambda h, c: (0 * h, 0 * c)),
    ),
    (
        "your c starts from h; it should start from the c that it is given",
        partial(_carry_on, first=lambda h, c: (h, h)),
    ),
)
OF_MEMORY = (
    (
        "you still hand on h in the place of c; the next part of the series must find the memory",
        partial(_carry_on, last=lambda h, c: h),
    ),
    (
        "both faults are left: h is handed on in the place of c, and c is squashed inside the loop",
        partial(_carry_on, squash=torch.tanh, show=torch.positive, last=lambda h, c: h),
    ),
    (
        "you hand on tanh(c); hand on c",
        partial(_carry_on, last=lambda h, c: torch.tanh(c)),
    ),
    *OF_BOTH,
)


def carry_on(answer, seed: int = 1) -> Verdict:
    """Exercise 10: `answer(x (B, T, D), h (B, H), c (B, H), W_xh, W_hh, b) -> h (B, T, H), c (B, H)`."""
    draws = torch.Generator().manual_seed(seed)
    keeping = _network(draws, series=2, steps=6, inputs=1, units=2)
    keeping["W_xh"], keeping["W_hh"] = torch.zeros(8, 1), torch.zeros(8, 2)
    keeping["b"] = torch.tensor([-30.0] * 2 + [30.0] * 2 + [0.0] * 4)
    cases = {
        "open forget gates, which keep": keeping,
        "one step": _network(draws, series=3, steps=1, inputs=2, units=3),
        "eight steps, five units": _network(draws, series=3, steps=8, inputs=2, units=5),
    }
    return examine("carry_on", answer, cases, _carry_on, {"h": OF_BOTH, "c": OF_MEMORY})


def _network(draws: Generator, series: int, steps: int, inputs: int, units: int) -> dict[str, Tensor]:
    """A network in the middle of a long series, with what it remembers of the part before."""
    shapes = {
        "x": (series, steps, inputs),
        "h": (series, units),
        "c": (series, units),
        "W_xh": (4 * units, inputs),
        "W_hh": (4 * units, units),
        "b": (4 * units,),
    }
    return {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()}
