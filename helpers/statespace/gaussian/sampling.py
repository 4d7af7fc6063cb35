"""Draws from the model, before and after anything was observed."""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_generator, check_whole_number, refuse_where
from helpers.series import IrregularBatch, check_series
from helpers.statespace.gaussian.data import check_inputs, check_observations, input_effect
from helpers.statespace.gaussian.filter import Filtered, kalman_filter
from helpers.statespace.gaussian.model import LinearGaussian, check_model
from helpers.statespace.gaussian.smoother import rts_smoother
from helpers.statespace.gaussian.step import apply


@dataclass(frozen=True, eq=False)
class Simulated:
    """One draw of hidden states and observations per series.

    Attributes
    ----------
    states : Tensor (B, T, H)
    observations : Tensor (B, T, D)
    """

    states: Tensor
    observations: Tensor


@torch.no_grad()
def simulate(
    model: LinearGaussian, steps: int, batch: int = 1, *, inputs: Tensor | None = None, generator: Generator
) -> Simulated:
    """Let states evolve and emit, as the model says.

    Parameters
    ----------
    steps, batch : int
        T and B: how many steps, and how many independent series.
    inputs : Tensor (B, T, U), optional
        u_t; entry 0 is never used.
    generator : torch.Generator
        Where the randomness comes from.

    Raises
    ------
    ValueError
        If the model has a flat prior, from which nothing can be drawn, or other numbers of steps or series,
        if it has inputs and none are given, or the reverse, or if states grow beyond the largest number.
    """
    check_model(model)
    check_generator("generator", generator)
    if model.diffuse is not None and bool(model.diffuse.any()):
        raise ValueError(
            "a model with diffuse components cannot be simulated: nothing can be drawn from a flat prior"
        )
    _check_counts(model, steps, batch)
    check_inputs(model, inputs, (batch, steps))
    drawn = _draw(model, steps, batch, inputs, generator)
    for name, tensor in {"transition": drawn.states, "observation": drawn.observations}.items():
        check_entries(f"what {name} leads to", tensor, tensor.isfinite(), f"fit into {tensor.dtype}")
    return drawn


@torch.no_grad()
def sample_posterior(
    model: LinearGaussian,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    *,
    count: int,
    generator: Generator,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Draw whole paths of the state given the observations, shape (count, B, T, H).

    ::

        h̃ = h⁺ + E[h | y − y⁺]

    where h⁺ and y⁺ are drawn from the model without mean: the smoother's error does not depend on what was
    observed, so that the error of one simulation can be added to the smoothed mean of the data.

    Parameters
    ----------
    y, mask, inputs, lengths
        As in `kalman_filter`.
    count : int
        How many paths for each series.
    generator : torch.Generator
        Where the randomness comes from.

    Raises
    ------
    ValueError
        As `kalman_filter`, or if the observations leave a diffuse component undetermined.

    Source: Durbin and Koopman (2002), A simple and efficient simulation smoother, Biometrika 89(3).
    """
    check_whole_number("count", count)
    check_generator("generator", generator)
    y, mask, lengths = check_series("y", y, mask, lengths)
    check_observations(model, y, mask, inputs, lengths)
    centred = replace(
        model,
        initial_mean=torch.zeros_like(model.initial_mean),
        initial_covariance=model.known_initial_covariance,
        observation_intercept=None,
    )
    drawn = _draw(_repeat_series(centred, count), y.shape[1], count * len(y), None, generator)
    mask, inputs, lengths = (
        part if part is None else _repeat_rows(part, count) for part in (mask, inputs, lengths)
    )
    difference = _repeat_rows(y, count) - drawn.observations
    repeated = _repeat_series(model, count)
    filtered = kalman_filter(repeated, difference, mask, inputs=inputs, lengths=lengths)
    _check_determined(filtered, len(y))
    paths = drawn.states + rts_smoother(repeated, filtered).mean
    check_entries("what transition and y lead to", paths, paths.isfinite(), f"fit into {paths.dtype}")
    return paths.unflatten(0, (count, len(y)))


def _draw(
    model: LinearGaussian, steps: int, batch: int, inputs: Tensor | None, generator: Generator
) -> Simulated:
    """States and observations of every series, all noise drawn at once."""
    like = model.transition
    shape = (batch, steps, model.state_size + model.observation_size)
    noise = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    evolving, emitting = noise.split([model.state_size, model.observation_size], -1)
    first = apply(_square_root(model.initial_covariance), evolving[:, 0]) + model.initial_mean
    moved = apply(_square_root(model.transition_covariance), evolving)
    if inputs is not None:
        moved = moved + input_effect(model, check_inputs(model, inputs, (batch, steps)))
    transition = model.transition.expand(*moved.shape, model.state_size).unbind(1)
    states = [first]
    for step in range(1, steps):
        states.append(apply(transition[step], states[-1]) + moved[:, step])
    states = torch.stack(states, 1)
    scatter = apply(_square_root(model.observation_covariance), emitting)
    intercept = 0.0 if model.observation_intercept is None else model.observation_intercept
    return Simulated(states, apply(model.observation, states) + intercept + scatter)


def _square_root(covariance: Tensor) -> Tensor:
    """A matrix M with M Mᵀ = the covariance (..., H, H), which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0.0).sqrt().unsqueeze(-2)  # rounding may leave -1e-17 where 0 is meant


def _repeat_rows(rows: Tensor, count: int) -> Tensor:
    return rows.repeat(count, *[1] * (rows.ndim - 1))


def _repeat_series(model: LinearGaussian, count: int) -> LinearGaussian:
    """The same model for `count` copies of its series."""
    own = {name: _repeat_rows(getattr(model, name), count) for name in model.names_per_series}
    return replace(model, **own)


def _check_counts(model: LinearGaussian, steps: int, batch: int) -> None:
    for what, given, own in (("steps", steps, model.steps), ("batch", batch, model.series)):
        check_whole_number(what, given)
        if own not in (None, given):
            raise ValueError(f"{what} must be {own}, as the model's matrices say: got {given}")


def _check_determined(filtered: Filtered, series: int) -> None:
    if filtered.diffuse is None:
        return
    undetermined = (filtered.diffuse.unknown[-1] != 0).flatten(-2).any(-1)
    refuse_where(
        undetermined,
        lambda m: (
            f"the observations of series {m % series} must determine its diffuse components, and do not"
        ),
    )
