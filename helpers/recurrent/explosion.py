"""Explosions: gradients clipped, with a report, and states that stopped being numbers, found."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

from helpers.arguments import check_positive_number, kind
from helpers.recurrent.recurrence import check_sequence

SMALLEST_NORM = 1e-150
"""Of which the square keeps all its digits."""


@dataclass(frozen=True)
class Clipped:
    """What `clip` found and did.

    Attributes
    ----------
    norm : float
        ‖g‖ of the whole gradient before.
    factor : float
        By which every gradient was multiplied; 1 where nothing was done.
    shares : dict of str to float
        Part of ‖g‖² that each parameter has, by name; they sum to 1 (all 0 where ‖g‖ = 0). Empty if the norm
        is not finite.
    non_finite : tuple of str
        Parameters whose gradient holds an infinity or NaN, or is so long that no float64 holds its norm.
    """

    norm: float
    factor: float
    shares: dict[str, float]
    non_finite: tuple[str, ...]

    @property
    def clipped(self) -> bool:
        """Whether the gradient was changed."""
        return self.factor < 1.0


def clip(model: nn.Module, max_norm: float) -> Clipped:
    """Shrink a model's whole gradient to a norm where it is longer, keeping its direction.

    ::

        g ← g · min(1, max_norm / ‖g‖)

    by PyTorch's own `clip_grads_with_norm_`, which adds 1e-6 to ‖g‖ in the quotient. A gradient whose norm is
    infinite or NaN has no direction to keep: it is left as it is, and reported.

    Parameters
    ----------
    model : nn.Module
        Its `.grad` are changed in place. Norms are right in float64 even where their squares are no floats.
    max_norm : float

    Raises
    ------
    ValueError
        If `max_norm` is not positive and finite, or no parameter has a gradient.

    Source: Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks, ICML,
    algorithm 1.
    """
    check_positive_number("max_norm", max_norm)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module: got {kind(model)}")
    trained = {name: weight for name, weight in model.named_parameters() if weight.grad is not None}
    if not trained:
        raise ValueError("model has no gradient to clip: call backward() first")
    by_name = _norms({name: weight.grad for name, weight in trained.items()})
    norm = math.hypot(*by_name.values())
    if not math.isfinite(norm):
        return Clipped(
            norm, 1.0, {}, tuple(name for name, value in by_name.items() if not math.isfinite(value))
        )
    factor = min(1.0, max_norm / (norm + 1e-6))
    if factor < 1.0:
        clip_grads_with_norm_(trained.values(), max_norm, torch.tensor(norm, dtype=torch.float64))
    shares = {name: (value / norm) ** 2 if norm else 0.0 for name, value in by_name.items()}
    return Clipped(norm, factor, shares, ())


def _norms(gradients: dict[str, Tensor]) -> dict[str, float]:
    """‖·‖ in float64, by one poll; again, in the unit of its largest entry, where its square was no float."""
    norms = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients.values()])
    by_name = dict(zip(gradients, norms.tolist(), strict=True))
    for name, value in by_name.items():
        if not SMALLEST_NORM < value < math.inf:
            by_name[name] = float(euclidean_norm(gradients[name].double().flatten()))
    return by_name


def euclidean_norm(vectors: Tensor) -> Tensor:
    """‖·‖ along the last axis (..., N), right even where its square is no float."""
    if not vectors.shape[-1]:
        return vectors.sum(-1)
    largest = vectors.abs().amax(-1, keepdim=True)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    return torch.linalg.vector_norm(vectors / scale, dim=-1) * scale.squeeze(-1)


def first_non_finite(states: Tensor) -> Tensor:
    """Index of each series' first step with an infinity or NaN, -1 where there is none.

    Parameters
    ----------
    states : Tensor (B, T, S)

    Returns
    -------
    Tensor (B,), int

    Raises
    ------
    ValueError
        If the shape is another.
    """
    check_sequence("states", states, "S")
    broken = ~states.isfinite().all(-1)  # (B, T)
    never = broken.new_ones(len(states), 1)
    first = torch.cat([broken, never], dim=1).int().argmax(1)
    return torch.where(first == states.shape[1], -1, first)


def refuse_non_finite(states: Tensor, name: str = "states") -> None:
    """Refuse states, or any other sequence, that hold an infinity or NaN, and say where they began.

    Parameters
    ----------
    states : Tensor (B, T, S)
    name : str
        What to call it in the message.

    Raises
    ------
    FloatingPointError
        Naming the earliest step that broke, its first series and unit, and how many series are affected.
    ValueError
        If the shape is another.
    """
    first = first_non_finite(states)
    broken = first >= 0
    if not broken.any():
        return
    series = int(torch.where(broken, first, states.shape[1]).argmin())
    step = int(first[series])
    unit = int((~states[series, step].isfinite()).nonzero()[0])
    raise FloatingPointError(
        f"{name} must be finite: {name}[{series}, {step}, {unit}] = {states[series, step, unit].item()} "
        f"is the earliest that is not; {int(broken.sum())} of {len(states)} series are affected"
    )
