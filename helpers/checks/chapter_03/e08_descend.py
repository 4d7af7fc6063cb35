"""Exercise 8: a step of training that learns nothing from the past and is not held back."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _gradient(W_hh: Tensor, read: Tensor, target: Tensor, *, cut: bool = False) -> Tensor:
    """∂/∂W of ‖h_T - target‖² for h_t = tanh(read_t + W h_{t-1}); `cut` detaches the state at each step."""
    W = W_hh.detach().clone().requires_grad_()
    h = torch.zeros_like(target)
    with torch.enable_grad():
        for read_t in read:
            h = torch.tanh(read_t + W @ (h.detach() if cut else h))
        return torch.autograd.grad((h - target).square().sum(), W)[0]


def _shorten(g: Tensor, max_norm: Tensor) -> Tensor:
    return g * (max_norm / g.norm()).clamp(max=1)


def _step(
    W_hh: Tensor,
    read: Tensor,
    target: Tensor,
    learning_rate: Tensor,
    max_norm: Tensor,
    *,
    cut: bool = False,
    clip: Callable = _shorten,
) -> Tensor:
    return W_hh - learning_rate * clip(_gradient(W_hh, read, target, cut=cut), max_norm)


MISCONCEPTIONS = (
    (
        "both faults are left: the state is cut from the graph inside the loop, and the gradient is clipped "
        "when it has been used already",
        partial(_step, cut=True, clip=lambda g, max_norm: g),
    ),
    (
        "the state is still cut from the graph at every step: only the last step of the sum over time is in "
        "your gradient. Nothing inside the loop over t may be detached",
        partial(_step, cut=True),
    ),
    (
        "your step is longer than learning_rate × max_norm: clip after `backward`, before the weights change",
        partial(_step, clip=lambda g, max_norm: g),
    ),
    (
        "you clip entry by entry, which changes the gradient's direction; clip its norm",
        partial(_step, clip=lambda g, max_norm: g.clamp(-max_norm, max_norm)),
    ),
    (
        "you stretch a gradient that is shorter than max_norm; clipping only shortens",
        partial(_step, clip=lambda g, max_norm: g * max_norm / g.norm()),
    ),
    (
        "you clip the step, learning rate included; clip the gradient",
        lambda W_hh, read, target, learning_rate, max_norm: (
            W_hh - _shorten(learning_rate * _gradient(W_hh, read, target), max_norm)
        ),
    ),
    (
        "you climb: descent subtracts the gradient",
        partial(_step, clip=lambda g, max_norm: -_shorten(g, max_norm)),
    ),
)


def descend(answer, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(W_hh (H, H), read (T, H), target (H,), learning_rate, max_norm) -> (H, H)`."""
    generator = torch.Generator().manual_seed(seed)
    recent, far = _network(generator, steps=2), _network(generator, steps=12)
    cases = {
        "two steps, a short gradient": recent | _optimiser(max_norm=100.0),
        "twelve steps, a short gradient": far | _optimiser(max_norm=100.0),
        "two steps, a gradient too long": recent | _optimiser(max_norm=0.5),
        "twelve steps, a gradient too long": far | _optimiser(max_norm=0.5),
    }
    return examine("descend", answer, cases, _step, MISCONCEPTIONS)


def _network(generator: torch.Generator, steps: int, units: int = 4) -> dict[str, Tensor]:
    """Inputs that come in at the first step, a rotation that keeps them, and a target far from them."""
    W = torch.linalg.qr(torch.randn(units, units, generator=generator)).Q
    read = torch.zeros(steps, units)
    read[0] = torch.randn(units, generator=generator)
    return {"W_hh": W, "read": read, "target": 2 * torch.randn(units, generator=generator).sign()}


def _optimiser(max_norm: float) -> dict[str, Tensor]:
    return {"learning_rate": torch.tensor(0.1), "max_norm": torch.tensor(max_norm)}
