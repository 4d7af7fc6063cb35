"""What was observed: which entries, and what is refused among them."""

import torch
from torch import Tensor

from helpers.arguments import check_lengths, refuse_where
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import check_kind


def observed(
    model: LinearGaussian, y: Tensor, mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The observations, 0 where missing, and where they are not: shapes (B, T, D), (B, T, D).

    What stands at a missing entry is never read, neither by values nor by gradients.

    Raises
    ------
    ValueError
        Naming the argument whose kind or shape is wrong, or the observed entry that is not finite.
    """
    check_kind("y", y, model.transition, "the model")
    if y.ndim != 3 or y.shape[-1] != model.observation_size or 0 in y.shape[:2]:
        raise ValueError(
            f"y must have shape (B, T, D) = (B, T, {model.observation_size}) with at least one series "
            f"and step: got {tuple(y.shape)}"
        )
    _check_counts(model, y)
    mask = _entries(y, mask, lengths)
    wrong = mask & ~y.detach().isfinite()
    refuse_where(
        wrong,
        lambda b, t, d: (
            f"observed values must be finite: "
            f"series {b} at step {t} has y[{b}, {t}, {d}] = {y[b, t, d].item()}"
        ),
    )
    return torch.where(mask, y, 0.0), mask


def drifts(model: LinearGaussian, y: Tensor, inputs: Tensor | None) -> Tensor | None:
    """What inputs (B, T, U) add to the state at each step, B_t u_t, shape (B, T, H); None without them."""
    if (model.input is None) != (inputs is None):
        given, absent = ("model.input", "inputs") if inputs is None else ("inputs", "model.input")
        raise ValueError(f"inputs and model.input belong together: got {given} without {absent}")
    if inputs is None:
        return None
    check_kind("inputs", inputs, model.transition, "the model")
    expected = (*y.shape[:2], model.input.shape[-1])
    if inputs.shape != expected:
        raise ValueError(f"inputs must have shape (B, T, U) = {expected}: got {tuple(inputs.shape)}")
    refuse_where(
        ~inputs.detach()[:, 1:].isfinite(),
        lambda b, t, u: (
            f"inputs must be finite: series {b} at step {t + 1} has "
            f"inputs[{b}, {t + 1}, {u}] = {inputs[b, t + 1, u].item()}"
        ),
    )
    inputs = torch.cat([torch.zeros_like(inputs[:, :1]), inputs[:, 1:]], 1)  # entry 0 is never used
    return (model.input @ inputs.unsqueeze(-1)).squeeze(-1)


def _entries(y: Tensor, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    """True where y was observed and lies within its series."""
    if mask is None:
        mask = torch.ones_like(y, dtype=torch.bool)
    if mask.shape != y.shape:
        raise ValueError(f"mask must have the shape {tuple(y.shape)} of y: got {tuple(mask.shape)}")
    if mask.dtype != torch.bool or mask.device != y.device:
        raise ValueError(f"mask must be bool on {y.device}: got {mask.dtype} on {mask.device}")
    if lengths is None:
        return mask
    if lengths.shape != y.shape[:1] or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(
            f"lengths must be integers of shape (B,) = ({len(y)},): "
            f"got {lengths.dtype} {tuple(lengths.shape)}"
        )
    check_lengths(lengths, "y", y)
    steps = torch.arange(y.shape[1], device=y.device)
    return mask & (steps < lengths.unsqueeze(-1)).unsqueeze(-1)


def _check_counts(model: LinearGaussian, y: Tensor) -> None:
    """Check that y has as many series and steps as the model's sequences of matrices."""
    series, steps = y.shape[:2]
    if model.steps not in (None, steps):
        raise ValueError(f"y must have the model's T = {model.steps} steps: got shape {tuple(y.shape)}")
    if model.series not in (None, series):
        raise ValueError(f"y must have the model's B = {model.series} series: got shape {tuple(y.shape)}")
