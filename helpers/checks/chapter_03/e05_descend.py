"""Exercise 5: a step of training that learns nothing from the past and is not held back."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Verdict


def _gradient(W_hh: Tensor, read: Tensor, target: Tensor, *, cut: bool = False) -> Tensor:
    """∂/∂W of ‖h_T - target‖² for h_t = tanh(read_t + W h_{t-1}); `cut` detaches the state at each step."""
    W = W_hh.detach().clone().requires_grad_()
    h = torch.zeros_like(target)
    with torch.enable_grad():
        for read_t in read:
            h = torch.tanh(read_t + W @ (h.detach() if cut else h))
        return torch.autograd.grad((h - target).square().sum(), W)[0]


def _shortened(g: Tensor, max_norm: Tensor) -> Tensor:
    return g * (max_norm / g.norm()).clamp(max=1)


def _untouched(g: Tensor, max_norm: Tensor) -> Tensor:
    return g


def _stepped(
    W_hh: Tensor,
    read: Tensor,
    target: Tensor,
    learning_rate: Tensor,
    max_norm: Tensor,
    *,
    cut: bool = False,
    clip: Callable = _shortened,
) -> Tensor:
    return W_hh - learning_rate * clip(_gradient(W_hh, read, target, cut=cut), max_norm)


def _clips_the_step(
    W_hh: Tensor, read: Tensor, target: Tensor, learning_rate: Tensor, max_norm: Tensor
) -> Tensor:
    return W_hh - _shortened(learning_rate * _gradient(W_hh, read, target), max_norm)


MISCONCEPTIONS = (
    Misconception(
        "both faults are left: the state is cut from the graph inside the loop, and the gradient is clipped "
        "when it has been used already",
        lambda **step: _stepped(**step, cut=True, clip=_untouched),
    ),
    Misconception(
        "the state is still cut from the graph at every step: only the last step of the sum over time is in "
        "your gradient. Nothing inside the loop over t may be detached",
        lambda **step: _stepped(**step, cut=True),
    ),
    Misconception(
        "your step is longer than learning_rate × max_norm: clip after `backward`, before the weights change",
        lambda **step: _stepped(**step, clip=_untouched),
    ),
    Misconception(
        "you clip entry by entry, which changes the gradient's direction; clip its norm",
        lambda **step: _stepped(**step, clip=lambda g, max_norm: g.clamp(-max_norm, max_norm)),
    ),
    Misconception(
        "you stretch a gradient that is shorter than max_norm; clipping only shortens",
        lambda **step: _stepped(**step, clip=lambda g, max_norm: g * max_norm / g.norm()),
    ),
    Misconception("you clip the step, learning rate included; clip the gradient", _clips_the_step),
    Misconception(
        "you climb: descent subtracts the gradient",
        lambda **step: _stepped(**step | {"learning_rate": -step["learning_rate"]}),
    ),
)


def descend(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(W_hh (H, H), read (T, H), target (H,), learning_rate, max_norm) -> (H, H)`."""
    generator = torch.Generator().manual_seed(seed)
    recent, far = _network(generator, steps=2), _network(generator, steps=12)
    cases = (
        Case("two steps, a short gradient", recent | _optimiser(max_norm=100.0)),
        Case("twelve steps, a short gradient", far | _optimiser(max_norm=100.0)),
        Case("two steps, a gradient too long", recent | _optimiser(max_norm=0.5)),
        Case("twelve steps, a gradient too long", far | _optimiser(max_norm=0.5)),
    )
    return examine("descend", answer, cases, _stepped, MISCONCEPTIONS)


def _network(generator: torch.Generator, steps: int, units: int = 4) -> dict[str, Tensor]:
    """Inputs that come in at the first step, a rotation that keeps them, and a target far from them."""
    W = torch.linalg.qr(torch.randn(units, units, generator=generator)).Q
    read = torch.zeros(steps, units)
    read[0] = torch.randn(units, generator=generator)
    return {"W_hh": W, "read": read, "target": 2 * torch.randn(units, generator=generator).sign()}


def _optimiser(max_norm: float) -> dict[str, Tensor]:
    return {"learning_rate": torch.tensor(0.1), "max_norm": torch.tensor(max_norm)}
