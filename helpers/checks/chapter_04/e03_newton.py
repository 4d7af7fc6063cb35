"""Exercise 3: Newton's method for the fixed points of a network, many starts at once."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _image(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(h @ W.T + b)


def _jacobian(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """diag(1 - f(h)²) W for each row of h, (B, H, H)."""
    return (1 - _image(W, b, h) ** 2)[:, :, None] * W


def _defect(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return _image(W, b, h) - h


def _speed(W: Tensor, b: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return _defect(W, b, after).norm(dim=1)


def _newton(
    W: Tensor,
    b: Tensor,
    h: Tensor,
    steps: int,
    *,
    jacobian: Callable = _jacobian,
    defect: Callable = _defect,
    residual: Callable = _speed,
) -> tuple[Tensor, Tensor]:
    """Steps Δ of (J - 1) Δ = -(f(h) - h), each of whose parts may be replaced, and what is left."""
    before = h
    for _ in range(steps):
        matrices = jacobian(W, b, h) - torch.eye(len(W))
        step = -torch.linalg.solve_ex(matrices, defect(W, b, h)[..., None]).result.squeeze(-1)
        before, h = h, h + step
    return h, residual(W, b, before, h)


OF_THE_STEP = (
    (
        "you solve with J; the function whose zero you want is f(h) - h, and its Jacobian is J - I",
        partial(_newton, jacobian=lambda W, b, h: _jacobian(W, b, h) + torch.eye(len(W))),
    ),
    (
        "you step away from the fixed point, the sign is wrong: (J - I) Δ = -(f(h) - h)",
        partial(_newton, defect=lambda W, b, h: -_defect(W, b, h)),
    ),
    (
        "you use W for J, as if the network were linear; each row of J has the factor tanh' = 1 - f(h)²",
        partial(_newton, jacobian=lambda W, b, h: W.expand(len(h), -1, -1)),
    ),
    (
        "you take tanh' = 1 - h²; h is no fixed point yet, so that it is 1 - f(h)²",
        partial(_newton, jacobian=lambda W, b, h: (1 - h**2)[:, :, None] * W),
    ),
    (
        "your tanh' multiplies the columns of W; unit i squashes what it hears, which is row i",
        partial(_newton, jacobian=lambda W, b, h: (1 - _image(W, b, h) ** 2)[:, None, :] * W),
    ),
    (
        "your J is transposed: entry (i, j) says how unit i changes with unit j, as in W",
        partial(_newton, jacobian=lambda W, b, h: _jacobian(W, b, h).mT),
    ),
    ("you look for a zero of f(h); at a fixed point f(h) - h is zero", partial(_newton, defect=_image)),
    (
        "you iterate the network, h ← f(h); that finds stable fixed points only, and slowly",
        partial(_newton, jacobian=lambda W, b, h: torch.zeros(len(h), *W.shape)),
    ),
)
OF_THE_RESIDUAL = (
    (
        "your residual belongs to the states before the last step; compute it again where you arrived",
        partial(_newton, residual=lambda W, b, before, after: _defect(W, b, before).norm(dim=1)),
    ),
    (
        "you return the length of the last step. Newton can make a short step and be nowhere: the residual "
        "is ‖f(h) - h‖",
        partial(_newton, residual=lambda W, b, before, after: (after - before).norm(dim=1)),
    ),
    (
        "you return the squared norm; take its root",
        partial(_newton, residual=lambda W, b, before, after: _speed(W, b, before, after) ** 2),
    ),
    (
        "you return half the squared norm; the residual is the norm",
        partial(_newton, residual=lambda W, b, before, after: _speed(W, b, before, after) ** 2 / 2),
    ),
    (
        "you return the largest entry; the Euclidean norm is asked for",
        partial(_newton, residual=lambda W, b, before, after: _defect(W, b, after).abs().amax(1)),
    ),
    (
        "you return zeros: a residual is measured, not assumed",
        partial(_newton, residual=lambda W, b, before, after: torch.zeros(len(after))),
    ),
)


def newton(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(W (H, H), b (H,), h (B, H), steps) -> h (B, H), residual (B,)`."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {"W": torch.tensor([[2 / 3]]), "b": torch.tensor([0.5]).atanh(), "h": torch.zeros(1, 1)}
    relay = {"W": torch.tensor([[0.0, 0.6], [-1.8, 0.0]]), "b": torch.tensor([0.3, -0.2])}
    starts = torch.tensor([[0.8, 0.5], [-0.9, 0.1], [0.0, 0.0]])
    cases = {
        "one neuron, one step, by hand": by_hand | {"steps": 1},
        "two neurons, three starts, one step": relay | {"h": starts, "steps": 1},
        "four neurons, five starts, two steps": _network(generator, starts=5) | {"steps": 2},
        "four neurons, eight starts, ten steps": _network(generator, starts=8) | {"steps": 10},
    }
    ideas = {"h": OF_THE_STEP, "residual": OF_THE_STEP + OF_THE_RESIDUAL}
    return examine("newton", answer, cases, _newton, ideas)


def _network(generator: Generator, starts: int, units: int = 4) -> dict[str, Tensor]:
    """A network whose state always comes to rest, and starts a little way from there."""
    return {
        "W": 0.9 * torch.linalg.qr(torch.randn(units, units, generator=generator)).Q,
        "b": 0.3 * torch.randn(units, generator=generator),
        "h": 0.5 * torch.randn(starts, units, generator=generator),
    }
