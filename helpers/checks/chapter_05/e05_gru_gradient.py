"""Exercise 5: what arrives of a gradient in a GRU's unit, and what of it on the highway."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _total(
    z: Tensor,
    w: Tensor,
    n: Tensor,
    *,
    slope: Callable = lambda n: 1 - n**2,
    factor: Callable = lambda z, w, slope: 1 - z + z * w * slope,
) -> Tensor:
    """Π_t (1 - z + z w φ'(n_t)), (N,)."""
    return factor(z.unsqueeze(-1), w.unsqueeze(-1), slope(n)).prod(-1)


def _highway(z: Tensor, w: Tensor, n: Tensor) -> Tensor:
    return (1 - z) ** n.shape[-1]


def _by_path(z: Tensor, w: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    return _total(z, w, n), _highway(z, w, n)


OF_TOTAL = (
    (
        "that is the highway alone; the state also acts through the candidate, which reads w h_{t-1}",
        _highway,
    ),
    (
        "you add one path that stays on the highway and one that never is on it; at every step a path may "
        "take either way, 2^T in all: add the two ways at each step, then multiply the steps",
        lambda z, w, n: _highway(z, w, n) + _total(z, w, n, factor=lambda z, w, slope: z * w * slope),
    ),
    (
        "that is the way through all the candidates alone; at each step the highway's 1 - z is added to it",
        partial(_total, factor=lambda z, w, slope: z * w * slope),
    ),
    (
        "tanh' is missing: through the candidate a gradient is multiplied by 1 - n_t², too",
        partial(_total, slope=torch.ones_like),
    ),
    (
        "tanh' is 1 - n_t², with the square: n_t is squashed already",
        partial(_total, slope=lambda n: 1 - n),
    ),
    (
        "you take tanh' of n_t; n_t is squashed already, tanh' = 1 - n_t²",
        partial(_total, slope=lambda n: 1 - n.tanh() ** 2),
    ),
    (
        "your z says what is kept, PyTorch's convention; in this book 1 - z is kept",
        partial(_total, factor=lambda z, w, slope: z + (1 - z) * w * slope),
    ),
    (
        "what comes through the candidate is multiplied by z, too: only the part z of n_t is written",
        partial(_total, factor=lambda z, w, slope: 1 - z + w * slope),
    ),
    (
        "the weight w is missing: the candidate reads w h_{t-1}",
        partial(_total, factor=lambda z, w, slope: 1 - z + z * slope),
    ),
    (
        "you add up the steps; one step's derivative multiplies the next one's (chain rule)",
        lambda z, w, n: (1 - z.unsqueeze(-1) + (z * w).unsqueeze(-1) * (1 - n**2)).sum(-1),
    ),
    (
        "you use the last step's factor at every step; each candidate has a slope of its own",
        lambda z, w, n: _total(z, w, n[..., -1:].expand_as(n)),
    ),
)
OF_HIGHWAY = (
    ("z is renewed at each step; what is kept is 1 - z", lambda z, w, n: z ** n.shape[-1]),
    ("that is one step of the highway; there are T", lambda z, w, n: 1 - z),
    ("e^(-zT) is good for small z only; each step keeps 1 - z", lambda z, w, n: (-z * n.shape[-1]).exp()),
    (
        "1 - zT is right for one step; the second step takes its part of what is left",
        lambda z, w, n: 1 - z * n.shape[-1],
    ),
    ("you count one step too few", lambda z, w, n: (1 - z) ** (n.shape[-1] - 1)),
    ("that is the whole gradient; on the highway it meets neither w nor tanh'", _total),
)


def gru_gradient(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(z (N,), w (N,), n (N, T)) -> total (N,), highway (N,)`: ∂h_T/∂h_0."""
    draws = torch.Generator().manual_seed(seed)
    cases = {
        "z = 1/2, w = 1, two steps, by hand": _units([0.5], [1.0], torch.tensor([[0.0, 0.5]])),
        "z = 0 and 1, a memory and a vanilla unit": _units([0.0, 1.0], [1.5, 1.5], _candidates(draws, 2, 4)),
        "w < 0, a unit that opposes itself": _units([0.6], [-1.2], _candidates(draws, 1, 3)),
        "four units, five steps, at random": {
            "z": torch.rand(4, generator=draws),
            "w": 0.5 + 2 * torch.rand(4, generator=draws),
            "n": _candidates(draws, 4, 5),
        },
    }
    return examine("gru_gradient", answer, cases, _by_path, {"total": OF_TOTAL, "highway": OF_HIGHWAY})


def _units(z: list[float], w: list[float], n: Tensor) -> dict[str, Tensor]:
    return {"z": torch.tensor(z), "w": torch.tensor(w), "n": n}


def _candidates(draws: torch.Generator, units: int, steps: int) -> Tensor:
    """Any will do: for each sequence of candidates there are inputs that lead to it."""
    return 1.6 * torch.rand(units, steps, generator=draws) - 0.8
