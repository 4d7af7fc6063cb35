"""What a filter reads: which entries were observed, and what is refused among them."""

import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.arguments import check_floating, check_like, entry, observed_entries, refuse_where
from helpers.series import IrregularBatch, check_series
from helpers.statespace.gaussian.model import LinearGaussian, check_model
from helpers.statespace.gaussian.step import apply
from helpers.statespace.matrices import lost


@dataclass(frozen=True, eq=False)
class Observations:
    """A batch of series that has been checked; nothing in it is missing any more.

    Attributes
    ----------
    y : Tensor (B, T, D)
        0 where nothing was observed: what stands there is read neither by values nor by gradients.
    mask : Tensor (B, T, D), bool
        True where observed.
    inputs : Tensor (B, T, U), or None
        u_t; 0 at step 0, whose entry is never used.
    """

    y: Tensor
    mask: Tensor
    inputs: Tensor | None = None


def check_observations(
    model: LinearGaussian,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Observations:
    """Check what `kalman_filter` is given.

    Raises
    ------
    ValueError
        Naming the argument whose kind or shape is wrong, or the observed entry that is not finite.
    """
    check_model(model)
    y, mask, lengths = check_series("y", y, mask, lengths)
    check_floating("y", y)
    check_like("y", y, "the model", model.transition)
    if y.ndim != 3 or y.shape[-1] != model.observation_size or 0 in y.shape[:2]:
        raise ValueError(
            f"y must have shape (B, T, D) = (B, T, {model.observation_size}) with at least one series "
            f"and step: got {tuple(y.shape)}"
        )
    _check_counts(model, y)
    _warn_of_vague_start(model)
    mask = observed_entries("y", y, mask, lengths)
    refuse_where(
        mask & ~y.isfinite(),
        lambda b, t, d: (
            f"observed values must be finite: series {b} at step {t} has {entry('y', y, b, t, d)}"
        ),
    )
    return Observations(torch.where(mask, y, 0.0), mask, check_inputs(model, inputs, y.shape[:2]))


def check_inputs(model: LinearGaussian, inputs: Tensor | None, shape: torch.Size) -> Tensor | None:
    """The inputs (B, T, U) with zeros at step 0, for series and steps of this shape; None without them."""
    if (model.input is None) != (inputs is None):
        given, absent = ("model.input", "inputs") if inputs is None else ("inputs", "model.input")
        raise ValueError(f"inputs and model.input belong together: got {given} without {absent}")
    if inputs is None:
        return None
    check_floating("inputs", inputs)
    check_like("inputs", inputs, "the model", model.transition)
    expected = (*shape, model.input.shape[-1])
    if inputs.shape != expected:
        raise ValueError(f"inputs must have shape (B, T, U) = {expected}: got {tuple(inputs.shape)}")
    refuse_where(
        ~inputs[:, 1:].isfinite(),
        lambda b, t, u: (
            f"inputs must be finite: series {b} at step {t + 1} has {entry('inputs', inputs, b, t + 1, u)}"
        ),
    )
    return torch.cat([torch.zeros_like(inputs[:, :1]), inputs[:, 1:]], 1)


def input_effect(model: LinearGaussian, inputs: Tensor | None) -> Tensor | None:
    """What inputs (B, T, U) add to the state at each step, B_t u_t, shape (B, T, H); None without them."""
    return None if inputs is None else apply(model.input, inputs)


def without_intercept(model: LinearGaussian, data: Observations) -> Observations:
    """The same data with y − d in place of y; 0 still where nothing was observed."""
    if model.observation_intercept is None:
        return data
    return replace(data, y=torch.where(data.mask, data.y - model.observation_intercept, 0.0))


@torch.no_grad()
def _warn_of_vague_start(model: LinearGaussian) -> None:
    """Warn where the first state is so uncertain that what readings leave of it is lost in rounding.

    A filter subtracts from P_0 what they told. Of one state with one sensor that leaves its digits.
    """
    if max(model.state_size, model.observation_size) == 1:
        return
    start, moved, read = (
        part.diagonal(dim1=-2, dim2=-1).reshape(-1, part.shape[-1]).amax(0)
        for part in (
            model.known_initial_covariance,
            model.transition_covariance,
            model.observation_covariance,
        )
    )
    weight = model.observation.square().reshape(-1, *model.observation.shape[-2:]).amax(0)  # (D, H)
    noise = (read + weight @ moved).unsqueeze(-1)
    moving = model.transition.square().reshape(-1, model.state_size, model.state_size).amax(0)
    told = torch.maximum(weight, weight @ moving)  # by a reading of the first state, or of the second
    vague = (told * start * lost(start.dtype) > noise) & (noise > 0)
    for state in vague.any(0).nonzero().flatten().tolist()[:1]:
        warnings.warn(
            f"initial_covariance[{state}, {state}] = {start[state].item():.3g} is so far above the noises "
            f"that {start.dtype} keeps less than a quarter of the digits of what the data leave of it: "
            "a flat prior (diffuse) keeps them all",
            stacklevel=4,
        )


def _check_counts(model: LinearGaussian, y: Tensor) -> None:
    """Check that y has as many series and steps as the model's sequences of matrices."""
    series, steps = y.shape[:2]
    if model.steps not in (None, steps):
        raise ValueError(f"y must have the model's T = {model.steps} steps: got shape {tuple(y.shape)}")
    if model.series not in (None, series):
        raise ValueError(f"y must have the model's B = {model.series} series: got shape {tuple(y.shape)}")
