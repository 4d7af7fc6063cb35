"""Exercise 4: fixed points, slow points, and starts that have not come to rest, told apart."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

TOLERANCE = 1e-8
FOLD = 2**0.5 - math.atanh(0.5**0.5)  # of w = 2
NEAR, BRINK = FOLD + 1e-3, FOLD + 1e-5


def _defect(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(h @ W.T + b) - h


def _downhill(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Gradient (J - 1)ᵀ F of q = ‖F‖²/2, (B, H)."""
    J = (1 - torch.tanh(h @ W.T + b) ** 2)[:, :, None] * W
    return torch.einsum("bij,bi->bj", J - torch.eye(len(W)).to(J), _defect(W, b, h))


def _is_small(values: Tensor, tolerance: float) -> Tensor:
    return values.norm(dim=1) <= tolerance


def _outcomes(
    W: Tensor,
    b: Tensor,
    h: Tensor,
    tolerance: float,
    *,
    fixed: Callable = _is_small,
    slow: Callable = lambda fixed, at_rest: at_rest & ~fixed,
) -> tuple[Tensor, Tensor]:
    """Masks, (B,) each: where ‖F‖ is zero, and where only its slope is."""
    is_fixed = fixed(_defect(W, b, h), tolerance)
    is_slow = slow(is_fixed, _is_small(_downhill(W, b, h), tolerance))
    return is_fixed, is_slow


OF_FIXED = (
    (
        "you compare a square, ‖F‖² or q, with the tolerance; a speed of 1e-5 has the square 1e-10",
        partial(_outcomes, fixed=lambda F, tolerance: F.square().sum(1) / 2 <= tolerance),
    ),
    (
        "your threshold is looser than `tolerance`, and a slow point passes for a fixed one",
        partial(_outcomes, fixed=lambda F, tolerance: F.norm(dim=1) <= 1e-3),
    ),
    (
        "F is zero in one of its entries only; all of them must be",
        partial(_outcomes, fixed=lambda F, tolerance: (F.abs() <= tolerance).any(1)),
    ),
    (
        "you forget the absolute value: a negative F is not a small one",
        partial(_outcomes, fixed=lambda F, tolerance: (tolerance >= F).all(1)),
    ),
    (
        "the search has come to rest there, and that is all you ask. At a slow point it rests too: a fixed "
        "point is where ‖f(h) - h‖ itself is zero",
        lambda W, b, h, tolerance: _is_small(_downhill(W, b, h), tolerance),
    ),
)
OF_SLOW = (
    (
        "a fixed point is no slow point: F = 0 makes (J - I)ᵀ F zero as well. Leave the fixed ones out",
        partial(_outcomes, slow=lambda fixed, at_rest: at_rest),
    ),
    (
        "you call slow whatever is not fixed; a search that is still moving is neither. Ask whether "
        "(J - I)ᵀ F is zero",
        partial(_outcomes, slow=lambda fixed, at_rest: ~fixed),
    ),
    (
        "you never say slow: where (J - I)ᵀ F is zero and F is not, the speed has a minimum. Did you "
        "forget the I?",
        partial(_outcomes, slow=lambda fixed, at_rest: torch.zeros_like(fixed)),
    ),
    (
        "you take slow for `not converged`: True is for a search at rest",
        partial(_outcomes, slow=lambda fixed, at_rest: ~at_rest),
    ),
)


def outcomes(answer, seed: int = 1) -> Verdict:
    """Exercise 4: `answer(W (H, H), b (H,), h (B, H), tolerance) -> fixed (B,), slow (B,)`, bool."""
    generator = torch.Generator().manual_seed(seed)
    cases = {
        "a neuron that holds a bit": _neuron(0.0, [_rest(1.0, 0.0), 0.0, _rest(-1.0, 0.0), -0.5]),
        "a neuron that has just lost it": _neuron(0.55, [_rest(1.0, 0.55), _ghost(0.55), 0.3]),
        "a neuron near the fold": _neuron(NEAR, [_rest(1.0, NEAR), _ghost(NEAR), -0.3]),
        "a neuron on the brink": _neuron(BRINK, [_rest(1.0, BRINK), _ghost(BRINK), -0.2]),
        "two neurons that do not talk": _pair(),
        "a network of five": _network(generator),
    }
    ideas = {"fixed": OF_FIXED, "slow": OF_FIXED[:-1] + OF_SLOW}
    return examine("outcomes", answer, cases, _outcomes, ideas)


def _rest(h: float, b: float) -> float:
    """Where the neuron with w = 2 comes to rest."""
    for _ in range(200):
        h = math.tanh(2 * h + b)
    return h


def _ghost(b: float) -> float:
    """Where the neuron with w = 2 is slowest: the slope is 1."""
    return (-math.atanh(0.5**0.5) - b) / 2


def _neuron(b: float, states: list[float]) -> dict[str, Tensor | float]:
    return _search(torch.tensor([[2.0]]), torch.tensor([b], dtype=torch.float64), _column(states))


def _pair() -> dict[str, Tensor | float]:
    """One neuron that has just lost its bit beside one that holds it: at rest in both, one or neither."""
    lost, held = _rest(1.0, 0.55), _rest(1.0, 0.0)
    states = _column([lost, _ghost(0.55), lost, 0.3]), _column([held, -held, 0.5, 0.5])
    return _search(2 * torch.eye(2), torch.tensor([0.55, 0.0], dtype=torch.float64), torch.cat(states, 1))


def _network(generator: Generator, units: int = 5) -> dict[str, Tensor | float]:
    """A network with a slow point h: (J - I)ᵀ F = 0 for an F = f(h) - h that makes it a minimum of ‖F‖."""
    f = 1.6 * torch.rand(units, generator=generator, dtype=torch.float64) - 0.8
    W = torch.randn(units, units, generator=generator, dtype=torch.float64)
    F = -0.01 * f.sign()
    pull = (1 - f**2) * F
    W = W + torch.outer(pull, F - W.T @ pull) / pull.dot(pull)  # now Jᵀ F = F
    h = f - F
    return _search(W, f.atanh() - W @ h, torch.stack([h, f, h - F]))


def _column(states: list[float]) -> Tensor:
    return torch.tensor(states, dtype=torch.float64)[:, None]


def _search(W: Tensor, b: Tensor, h: Tensor) -> dict[str, Tensor | float]:
    return {"W": W.double(), "b": b, "h": h, "tolerance": TOLERANCE}
