"""The first step of an adaptive method, from two slopes."""

import torch
from torch import Tensor

from helpers.odes.controller import PIController
from helpers.odes.norms import all_finite, pooled, rms, tolerance
from helpers.odes.stepper import Field, beside

LITTLE, FIRST_GUESS = 1e-5, 1e-6
"""Norms of state and slope below which they say nothing about time, and what the guess is then."""

NO_SLOPE = 1e-15


def first_goal(
    field: Field, control: PIController, y: Tensor, slope: Tensor, given: float | None
) -> tuple[Tensor, int]:
    """Where the first step ends (B,), of the size given or chosen, and after how many evaluations.

    A sample whose slope (B, ...) at y is not finite goes nowhere.
    """
    if given is None:
        h, evaluations = first_step(field, control, control.start, y, slope), 2
    else:
        h, evaluations = torch.full_like(control.start, given), 1
    return torch.where(all_finite(slope), control.goal(control.start, h), control.start), evaluations


@torch.no_grad()
def first_step(field: Field, control: PIController, t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
    """A signed step (B,) of about the right size.

    ::

        h₀ = 0.01 ‖y‖ / ‖f‖,   d₂ = ‖f(t + h₀, y + h₀ f) - f‖ / h₀
        h₁ = (0.01 / max(‖f‖, d₂))^(1 / (q + 1)),   h = min(50 h₀, h₁)

    in the norm of the controller's tolerance. Where the field is not finite after h₀, the step is h₀. The
    source has 100 h₀: that is |hλ| = 1 for y' = λy, where the error estimate of bosh3 happens to vanish.

    Source: Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, 2nd edition, section
    II.4.
    """
    scale = tolerance(y.abs(), control.rtol, control.atol)
    span = (control.end - t).abs()

    def norm(values: Tensor) -> Tensor:
        ratios = rms(values / scale)
        return ratios if control.per_sample else pooled(ratios, ratios.isfinite())

    size, speed = norm(y), norm(slope)
    guess = torch.where((size < LITTLE) | (speed < LITTLE), FIRST_GUESS, 0.01 * size / speed)
    guess = torch.minimum(guess, span)
    forward = torch.copysign(guess, control.end - t)
    probe = field((t + forward).to(y.dtype), y + beside(forward, y).to(y.dtype) * slope)
    steepest = torch.maximum(speed, norm(probe - slope) / guess)
    step = (0.01 / steepest) ** (1 / (control.tableau.error_order + 1))
    step = torch.where(steepest <= NO_SLOPE, (1e-3 * guess).clamp(min=FIRST_GUESS), step)
    step = torch.where(steepest.isfinite(), torch.minimum(50 * guess, step), guess)
    step = torch.minimum(torch.maximum(step, control.smallest_step(t)), span)
    return torch.copysign(step, control.end - t)
