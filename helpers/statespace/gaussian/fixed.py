"""Which entries of a linear-Gaussian model a fit may change, and covariances with fixed entries."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from helpers.arguments import refuse_where
from helpers.statespace.fixed import split_fixed
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.matrices import (
    cholesky_factor,
    covariance_from_unconstrained,
    unconstrained_from_covariance,
)

COVARIANCES = ("transition_covariance", "observation_covariance", "initial_covariance")
LEARNABLE = ("transition", "observation", "input", "initial_mean", "observation_intercept", *COVARIANCES)
LEARNED_BY_DEFAULT = ("transition", "transition_covariance", "observation_covariance")
VECTORS = ("initial_mean", "observation_intercept")


def free_entries(
    model: LinearGaussian, learn: Collection[str] | None, fixed: Mapping[str, Tensor] | None
) -> tuple[LinearGaussian, dict[str, Tensor]]:
    """The start with the values that are given, and a mask for each field that is learned, True where free.

    Raises
    ------
    ValueError
        As `fit` does of `learn` and `fixed`.
    """
    if isinstance(learn, str) or not isinstance(learn, Collection | None):
        raise ValueError(f"learn must be a collection of names of fields: got {learn!r}")
    learn = LEARNED_BY_DEFAULT if learn is None else tuple(learn)
    for name in learn:
        if name not in LEARNABLE:
            raise ValueError(f"learn must name fields among {', '.join(LEARNABLE)}: got {name!r}")
    if not learn:
        raise ValueError(f"learn must name at least one of {', '.join(LEARNABLE)}: got none")
    masks, values = split_fixed({name: getattr(model, name) for name in LEARNABLE}, fixed)
    for name in masks:
        if name not in learn:
            raise ValueError(f"fixed has a mask for {name}, which must then be learned: got learn = {learn}")
    model = replace(model, **values)
    free = {name: _free(model, name, masks.get(name)) for name in learn if name not in values}
    free = {name: entries for name, entries in free.items() if entries.any()}
    if not free:
        raise ValueError(f"fixed must leave an entry to be learned: got all of {', '.join(learn)}")
    return model, free


def _free(model: LinearGaussian, name: str, mask: Tensor | None) -> Tensor:
    """Which entries of a field are free."""
    field, dimensions = getattr(model, name), 1 if name in VECTORS else 2
    if field is None:
        raise ValueError(f"learn names {name}, and the model has none")
    if field.ndim != dimensions:
        raise ValueError(
            f"{name} must be the same for all series and steps to be learned: got shape "
            f"{tuple(field.shape)}; maximise_likelihood fits any model"
        )
    if name.startswith("initial") and model.diffuse is not None and model.diffuse.any():
        raise ValueError(f"{name} cannot be learned where the start is diffuse")
    free = torch.ones_like(field, dtype=torch.bool) if mask is None else ~mask
    if name in COVARIANCES:
        _check_free_covariance(name, field, free)
    return free


def _check_free_covariance(name: str, covariance: Tensor, free: Tensor) -> None:
    """Refuse a mask that is not symmetric, and a start that is singular where it is free."""
    refuse_where(
        free != free.mT,
        lambda i, j: (
            f"fixed[{name!r}] must be symmetric: got {not free[i, j]} at [{i}, {j}] and {not free[j, i]} at "
            f"[{j}, {i}]"
        ),
    )
    variance = free.diagonal()
    if variance.any():
        cholesky_factor(covariance[variance][:, variance], name)
    without = ~variance & (covariance.diagonal() == 0)
    refuse_where(
        free & without,
        lambda i, j: (
            f"fixed[{name!r}] must hold [{i}, {j}] where the variance [{j}, {j}] is held at 0: got False"
        ),
    )


# By gradient: coordinates in which every vector is a covariance with the entries that are fixed.


def vector_from_covariance(covariance: Tensor, free: Tensor, name: str) -> Tensor:
    """A vector without constraints for the free entries of a covariance, row by row of its lower triangle.

    If all are free, it is `unconstrained_from_covariance`; so are the entries of it that are free otherwise.
    """
    if free.all():
        return unconstrained_from_covariance(covariance)
    rows = _rows(iter(()), covariance, torch.zeros_like(free), name)
    numbers = []
    for i, row in enumerate(rows):
        scale = row[i] if free[i, i] else covariance[i, i].sqrt()
        if free[i, i] and not scale > 0:
            raise ValueError(f"{name} must be positive definite where it is learned: it is not at [{i}, {i}]")
        numbers += [row[j] / scale for j in range(i) if free[i, j]]
        numbers += [scale.log()] if free[i, i] else []
    return torch.stack(numbers)


def covariance_from_vector(vector: Tensor, covariance: Tensor, free: Tensor, name: str) -> Tensor:
    """Undo `vector_from_covariance`: the covariance with other free entries.

    ::

        Σ = L Lᵀ,   L_ij = s_i S_ij where Σ_ij is free,   L_ij = (Σ_ij − Σ_k<j L_ik L_jk) / L_jj where fixed

    with L_ii = s_i = exp(d_i) where the variance is free, and s_i = √Σ_ii where it is fixed. Zeros may be
    fixed anywhere and variances stay positive; a variance that is fixed bounds what stands beside it.

    Raises
    ------
    ValueError
        If no covariance has the entries that are fixed beside these.
    """
    if free.all():
        return covariance_from_unconstrained(vector)
    rows = _rows(iter(vector.unbind()), covariance, free, name)
    size = len(rows)
    zero = covariance.new_zeros(())
    factor = torch.stack([torch.stack(row + [zero] * (size - len(row))) for row in rows])
    return torch.where(free, factor @ factor.mT, covariance)


def _rows(numbers: Iterator[Tensor], covariance: Tensor, free: Tensor, name: str) -> list[list[Tensor]]:
    """The rows of L, from the numbers for the free entries and from the fixed entries."""
    rows: list[list[Tensor]] = []
    for i in range(len(covariance)):
        row: list[Tensor] = []
        own = [next(numbers) for j in range(i + 1) if free[i, j]]
        scale = own.pop().exp() if free[i, i] else covariance[i, i].sqrt()
        for j in range(i):
            if free[i, j]:
                row.append(scale * own.pop(0))
            else:
                rest = covariance[i, j] - _dot(row, rows[j])
                row.append(rest / rows[j][j] if rows[j][j] > 0 else torch.zeros_like(rest))
        row.append(scale if free[i, i] else _pivot(covariance[i, i], _dot(row, row), name, i))
        rows.append(row)
    return rows


def _dot(left: list[Tensor], right: list[Tensor]) -> Tensor | float:
    return sum((a * b for a, b in zip(left, right, strict=False)), 0.0)


def _pivot(variance: Tensor, explained: Tensor | float, name: str, i: int) -> Tensor:
    """What a fixed variance leaves once the components before it are known; 0 if it is rounding."""
    left = variance - explained
    slack = torch.finfo(variance.dtype).eps ** 0.75 * variance
    if left < -slack:
        raise ValueError(f"{name} must be positive semi-definite with [{i}, {i}] fixed: got {left:.3g} left")
    return left.sqrt() if left > slack else torch.zeros_like(variance)
