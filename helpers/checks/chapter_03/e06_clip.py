"""Exercise 6: clipping a gradient by its global norm."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _norm(dW_hh: Tensor, db: Tensor) -> Tensor:
    return (dW_hh.square().sum() + db.square().sum()).sqrt()


def _factor(norm: Tensor, theta: Tensor) -> Tensor:
    return (theta / norm).clamp(max=1)


def _clip(
    dW_hh: Tensor, db: Tensor, theta: Tensor, *, norm: Callable = _norm, factor: Callable = _factor
) -> tuple[Tensor, Tensor]:
    by = factor(norm(dW_hh, db), theta)
    return by * dW_hh, by * db


_SQUARED = (
    "you divide by the squared norm, so that what you return has the norm θ / ‖g‖: take the root of "
    "the sum of squares"
)
MISCONCEPTIONS = (
    (
        "you clip each parameter by itself, which turns the gradient: both must shrink by one factor, from "
        "the norm of the two together",
        lambda dW_hh, db, theta: (
            dW_hh * _factor(dW_hh.norm(), theta),
            db * _factor(db.norm(), theta),
        ),
    ),
    (
        "you clip each entry, which turns the gradient; shorten all of it by one factor",
        lambda dW_hh, db, theta: (dW_hh.clamp(-theta, theta), db.clamp(-theta, theta)),
    ),
    (
        "you stretch gradients that are shorter than θ, and divide by zero where there is none; the "
        "factor is never above 1",
        partial(_clip, factor=lambda norm, theta: theta / norm),
    ),
    (_SQUARED, partial(_clip, norm=lambda dW_hh, db: _norm(dW_hh, db) ** 2)),
    (
        _SQUARED,
        partial(_clip, factor=lambda norm, theta: torch.where(norm > theta, theta / norm**2, 1.0)),
    ),
    (
        "you add the two norms; the norm of all entries is the root of the sum of their squares",
        partial(_clip, norm=lambda dW_hh, db: dW_hh.norm() + db.norm()),
    ),
    (
        "you compare the larger of the two norms with θ; the norm of both together is larger still",
        partial(_clip, norm=lambda dW_hh, db: torch.maximum(dW_hh.norm(), db.norm())),
    ),
    (
        "you compare the largest entry with θ; the norm takes all entries together",
        partial(_clip, norm=lambda dW_hh, db: torch.maximum(dW_hh.abs().max(), db.abs().max())),
    ),
    (
        "you shorten a long gradient to length 1; its new length is θ",
        partial(_clip, factor=lambda norm, theta: torch.where(norm > theta, 1 / norm, 1.0)),
    ),
    ("you return the gradient as it was", lambda dW_hh, db, theta: (dW_hh, db)),
)


def clip(answer, seed: int = 1) -> Verdict:
    """Exercise 6: `answer(dW_hh (H, H), db (H,), theta ()) -> dW_hh (H, H), db (H,)`, clipped."""
    generator = torch.Generator().manual_seed(seed)
    G, g = torch.randn(5, 5, generator=generator), 3 * torch.randn(5, generator=generator)
    cases = {
        "norm 5 clipped to 2, by hand": _gradient(torch.tensor([[3.0]]), torch.tensor([4.0]), 2.0),
        "each short enough, not both together": _gradient(torch.eye(2), torch.tensor([1.0, 1.0]), 1.6),
        "a short gradient, which stays": _gradient(0.01 * G, 0.01 * g, 1.0),
        "no gradient at all": _gradient(torch.zeros(2, 2), torch.zeros(2), 1.0),
        "a long gradient at random": _gradient(100 * G, 100 * g, 0.5),
    }
    return examine("clip", answer, cases, _clip, {"dW_hh": MISCONCEPTIONS, "db": MISCONCEPTIONS})


def _gradient(dW_hh: Tensor, db: Tensor, theta: float) -> dict[str, Tensor]:
    return {"dW_hh": dW_hh, "db": db, "theta": torch.tensor(theta)}
