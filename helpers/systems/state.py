"""What every system does with its state and parameters: split, align, and stack into a Jacobian."""

from dataclasses import fields
from functools import reduce

import torch
from torch import Tensor


def split(y: Tensor, variables: tuple[str, ...]) -> tuple[Tensor, ...]:
    """One tensor (...) for each variable of a state (..., D)."""
    check_variables(y, variables)
    return y.unbind(-1)


def check_variables(y: Tensor, variables: tuple[str, ...]) -> None:
    """Refuse a state that does not end in as many entries as there are variables."""
    if y.ndim == 0 or y.shape[-1] != len(variables):
        names = ", ".join(variables)
        raise ValueError(
            f"y must end in the {len(variables)} variables ({names}): got shape {tuple(y.shape)}"
        )


def per_sample(system: object, entry: Tensor) -> tuple[float | Tensor, ...]:
    """The parameters of a system in their order, each shaped to meet one entry of its states.

    Numbers stay as they are. A tensor (B,) belongs to the samples, the first dimension of an entry
    (B, ...), whatever follows it: the times of a trajectory, say.

    Raises
    ------
    ValueError
        If a parameter is a tensor with neither one value nor one for each sample.
    """
    return tuple(_align(field.name, getattr(system, field.name), entry) for field in fields(system))


def repression_slope(amount: Tensor, n: float | Tensor) -> Tensor:
    """How the share of synthesis that a repressor leaves, 1 / (1 + xⁿ), changes with its amount x.

    ::

        -n xⁿ⁻¹ / (1 + xⁿ)²

    Where xⁿ overflows, so may xⁿ⁻¹: the largest number stands for it, lest 0 · ∞ be NaN.
    """
    largest = torch.finfo(amount.dtype).max
    power = (amount ** (n - 1)).clamp(-largest, largest)
    share = 1 / (1 + amount**n)
    return -n * (power * share * share)


def matrix(rows: list[list[Tensor]]) -> Tensor:
    """Stack entries of shape (...) into matrices (..., D, D)."""
    return torch.stack([torch.stack(torch.broadcast_tensors(*row), dim=-1) for row in rows], dim=-2)


def _align(name: str, parameter: float | Tensor, entry: Tensor) -> float | Tensor:
    if not isinstance(parameter, Tensor) or parameter.ndim == 0 or entry.ndim == 0:
        return parameter
    if parameter.ndim > 1 or parameter.shape[0] not in (1, entry.shape[0]):
        raise ValueError(
            f"{name} must be one number or one for each of the {entry.shape[0]} samples: "
            f"got shape {tuple(parameter.shape)}"
        )
    return parameter[(..., *[None] * (entry.ndim - 1))]


def multiply_factors(factors: Tensor) -> Tensor:
    """Π over the last axis, whose derivative, unlike that of `Tensor.prod`, divides by nothing."""
    return reduce(torch.mul, factors.unbind(-1))
