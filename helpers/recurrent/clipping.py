"""Gradient clipping that says what it did."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_


@dataclass(frozen=True)
class Clipped:
    """What `clip` found and did.

    Parameters
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
    if not 0.0 < max_norm < math.inf:
        raise ValueError(f"max_norm must be positive and finite: got {max_norm}")
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
