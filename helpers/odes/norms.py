"""How large an error is, in units of its tolerance."""

from math import sqrt

import torch
from torch import Tensor


@torch.no_grad()
def error_ratio(errors: tuple[Tensor, ...], y: Tensor, y_next: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
    """‖error / (atol + rtol max(|y|, |y₁|))‖_RMS of each sample (B,); not finite where the step is not.

    Of two estimates with norms r₅ and r₃ it is r₅² / √(r₅² + 0.01 r₃²).

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition,
    sections II.4 and II.10 (two estimates).
    """
    scale = tolerance(torch.maximum(y.abs(), y_next.abs()), rtol, atol)
    ratios = [rms(error / scale) for error in errors]
    return ratios[0] if len(ratios) == 1 else _of_two(*ratios)


def _of_two(fine: Tensor, coarse: Tensor) -> Tensor:
    """r₅² / √(r₅² + 0.01 r₃²) (B,), and 0 where both are 0."""
    squares = fine.square() + 0.01 * coarse.square()
    return fine.square() / (squares + torch.finfo(fine.dtype).tiny).sqrt()


def tolerance(size: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
    """atol + rtol |y| (B, ...)."""
    return torch.addcmul(atol, rtol, size)


def rms(values: Tensor) -> Tensor:
    """Root mean square over each sample's entries: (B, ...) to (B,), float64."""
    flat = values.reshape(len(values), -1)
    return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64) / sqrt(flat.shape[1])


def pooled(ratios: Tensor, chosen: Tensor) -> Tensor:
    """The RMS of the chosen samples' ratios, for all (B,): one joint step for the batch."""
    size = torch.linalg.vector_norm(torch.where(chosen, ratios, 0.0))
    return (size / chosen.sum().sqrt()).expand_as(ratios)


def all_finite(values: Tensor) -> Tensor:
    """Which samples (B,) have nothing but finite entries."""
    return values.isfinite().reshape(len(values), -1).all(1)
