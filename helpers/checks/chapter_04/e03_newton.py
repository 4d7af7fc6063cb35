"""Exercise 3: Newton's method for the fixed points of a network, many starts at once."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.examine import Case, Misconception
from helpers.checks.parts import Part, examine_parts
from helpers.checks.verdict import Verdict


def _image(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(h @ W.T + b)


def _jacobian(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """diag(1 - f(h)²) W for each row of h, (B, H, H)."""
    return (1 - _image(W, b, h) ** 2)[:, :, None] * W


def _defect(W: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return _image(W, b, h) - h


def _correction(
    W: Tensor, b: Tensor, h: Tensor, *, jacobian: Callable = _jacobian, defect: Callable = _defect
) -> Tensor:
    """Δ of (J - 1) Δ = -(f(h) - h), (B, H)."""
    matrices = jacobian(W, b, h) - torch.eye(len(W))
    return -torch.linalg.solve_ex(matrices, defect(W, b, h)[..., None]).result.squeeze(-1)


def _speed(W: Tensor, b: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return _defect(W, b, after).norm(dim=1)


def _newton(
    W: Tensor,
    b: Tensor,
    h: Tensor,
    steps: int,
    *,
    correction: Callable = _correction,
    residual: Callable = _speed,
) -> tuple[Tensor, Tensor]:
    before = h
    for _ in range(steps):
        before, h = h, h + correction(W, b, h)
    return h, residual(W, b, before, h)


def _with_jacobian(jacobian: Callable) -> Callable[..., Tensor]:
    return partial(_correction, jacobian=jacobian)


OF_THE_STEP = (
    (
        "you solve with J; the function whose zero you want is f(h) - h, and its Jacobian is J - I",
        _with_jacobian(lambda W, b, h: _jacobian(W, b, h) + torch.eye(len(W))),
    ),
    (
        "you step away from the fixed point, the sign is wrong: (J - I) Δ = -(f(h) - h)",
        lambda W, b, h: -_correction(W, b, h),
    ),
    (
        "you use W for J, as if the network were linear; each row of J has the factor tanh' = 1 - f(h)²",
        _with_jacobian(lambda W, b, h: W.expand(len(h), -1, -1)),
    ),
    (
        "you take tanh' = 1 - h²; h is no fixed point yet, so that it is 1 - f(h)²",
        _with_jacobian(lambda W, b, h: (1 - h**2)[:, :, None] * W),
    ),
    (
        "your tanh' multiplies the columns of W; unit i squashes what it hears, which is row i",
        _with_jacobian(lambda W, b, h: (1 - _image(W, b, h) ** 2)[:, None, :] * W),
    ),
    (
        "your J is transposed: entry (i, j) says how unit i changes with unit j, as in W",
        _with_jacobian(lambda W, b, h: _jacobian(W, b, h).mT),
    ),
    (
        "you look for a zero of f(h); at a fixed point f(h) - h is zero",
        lambda W, b, h: _correction(W, b, h, defect=_image),
    ),
    (
        "you iterate the network, h ← f(h); that finds stable fixed points only, and slowly",
        _defect,
    ),
)
OF_THE_RESIDUAL = (
    (
        "your residual belongs to the states before the last step; compute it again where you arrived",
        lambda W, b, before, after: _defect(W, b, before).norm(dim=1),
    ),
    (
        "you return the length of the last step. Newton can make a short step and be nowhere: the residual "
        "is ‖f(h) - h‖",
        lambda W, b, before, after: (after - before).norm(dim=1),
    ),
    (
        "you return the squared norm; take its root",
        lambda W, b, before, after: _speed(W, b, before, after) ** 2,
    ),
    (
        "you return half the squared norm; the residual is the norm",
        lambda W, b, before, after: _speed(W, b, before, after) ** 2 / 2,
    ),
    (
        "you return the largest entry; the Euclidean norm is asked for",
        lambda W, b, before, after: _defect(W, b, after).abs().amax(1),
    ),
    (
        "you return zeros: a residual is measured, not assumed",
        lambda W, b, before, after: torch.zeros(len(after)),
    ),
)


def newton(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(W (H, H), b (H,), h (B, H), steps) -> h (B, H), residual (B,)`."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {"W": torch.tensor([[2 / 3]]), "b": torch.tensor([0.5]).atanh(), "h": torch.zeros(1, 1)}
    relay = {"W": torch.tensor([[0.0, 0.6], [-1.8, 0.0]]), "b": torch.tensor([0.3, -0.2])}
    starts = torch.tensor([[0.8, 0.5], [-0.9, 0.1], [0.0, 0.0]])
    cases = (
        Case("one neuron, one step, by hand", by_hand | {"steps": 1}),
        Case("two neurons, three starts, one step", relay | {"h": starts, "steps": 1}),
        Case("four neurons, five starts, two steps", _network(generator, starts=5) | {"steps": 2}),
        Case("four neurons, eight starts, ten steps", _network(generator, starts=8) | {"steps": 10}),
    )
    wrong_steps = [(message, partial(_newton, correction=wrong)) for message, wrong in OF_THE_STEP]
    wrong_residuals = [(message, partial(_newton, residual=wrong)) for message, wrong in OF_THE_RESIDUAL]
    ideas = {"h": _ideas(wrong_steps, 0), "residual": _ideas(wrong_steps + wrong_residuals, 1)}
    return examine_parts("newton", answer, cases, _newton, ideas)


def _ideas(wrong: list[tuple[str, Callable]], index: int) -> list[Misconception]:
    return [Misconception(message, Part(function, index)) for message, function in wrong]


def _network(generator: Generator, starts: int, units: int = 4) -> dict[str, Tensor]:
    """A network whose state always comes to rest, and starts a little way from there."""
    return {
        "W": 0.9 * torch.linalg.qr(torch.randn(units, units, generator=generator)).Q,
        "b": 0.3 * torch.randn(units, generator=generator),
        "h": 0.5 * torch.randn(starts, units, generator=generator),
    }
