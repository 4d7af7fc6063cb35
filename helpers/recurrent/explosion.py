"""Explosions: gradients clipped, with a report, and states that stopped being numbers, found."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

from helpers.arguments import check_positive_number, kind
from helpers.recurrent.recurrence import check_sequence


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
        Parameters whose gradient holds an infinity or NaN.
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

    by PyTorch's own `clip_grads_with_norm_`, which adds 1e-6 to ‖g‖ in the quotient. A gradient that holds
    an infinity or NaN has no direction to keep: it is left as it is, and reported.

    Parameters
    ----------
    model : nn.Module
        Its `.grad` are changed in place. Norms are taken in float64, so that one of 1e30 is still finite.
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
    norms = torch.stack(
        [torch.linalg.vector_norm(weight.grad, dtype=torch.float64) for weight in trained.values()]
    )
    norm = torch.linalg.vector_norm(norms)
    by_name = dict(zip(trained, norms.tolist(), strict=True))
    non_finite = tuple(name for name, value in by_name.items() if not math.isfinite(value))
    if non_finite:
        return Clipped(norm.item(), 1.0, {}, non_finite)
    clip_grads_with_norm_(trained.values(), max_norm, norm)
    squared = norm.item() ** 2
    shares = {name: value**2 / squared if squared else 0.0 for name, value in by_name.items()}
    return Clipped(norm.item(), min(1.0, max_norm / (norm.item() + 1e-6)), shares, ())


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
