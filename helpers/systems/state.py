"""What every system does with its state and parameters: split, align, and stack into a Jacobian."""

from dataclasses import fields
from functools import reduce
from numbers import Real

import torch
from torch import Tensor

from helpers.arguments import check_finite_number, check_floating, check_tensor, kind


def split(y: Tensor, variables: tuple[str, ...], name: str = "y") -> tuple[Tensor, ...]:
    """One tensor (...) for each variable of a state (..., D)."""
    check_variables(y, variables, name)
    return y.unbind(-1)


def check_variables(y: Tensor, variables: tuple[str, ...], name: str = "y") -> None:
    """Refuse a state that does not end in as many floating-point entries as there are variables."""
    check_floating(name, y)
    if y.ndim == 0 or y.shape[-1] != len(variables):
        names = ", ".join(variables)
        raise ValueError(
            f"{name} must end in the {len(variables)} variables ({names}): got shape {tuple(y.shape)}"
        )


def check_parameters(system: object) -> None:
    """Refuse a parameter that is neither a finite number nor a tensor of real ones."""
    for field in fields(system):
        parameter = getattr(system, field.name)
        if isinstance(parameter, Real) and not isinstance(parameter, bool):
            check_finite_number(field.name, parameter)
            continue
        check_tensor(field.name, parameter, "be a number, or a tensor of one for each sample")
        if parameter.dtype == torch.bool or parameter.is_complex():
            raise ValueError(f"{field.name} must be real numbers: got {kind(parameter)}")


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


def repression(x: Tensor, n: float | Tensor) -> Tensor:
    """The share of synthesis that an amount x of a repressor leaves.

    ::

        1 / (1 + xⁿ) = x⁻ⁿ / (1 + x⁻ⁿ)

    By the second form beyond 1, where xⁿ may overflow, and 0 · ∞ would make the derivative NaN.
    """
    small, large, beyond = _two_ranges(x)
    return torch.where(beyond, large**-n / (1 + large**-n), 1 / (1 + small**n))


def repression_slope(x: Tensor, n: float | Tensor) -> Tensor:
    """How that share changes with x.

    ::

        -n xⁿ⁻¹ / (1 + xⁿ)² = -n x⁻ⁿ⁻¹ / (1 + x⁻ⁿ)²
    """
    small, large, beyond = _two_ranges(x)
    far, near = large ** (-n - 1) / (1 + large**-n) ** 2, small ** (n - 1) / (1 + small**n) ** 2
    return -n * torch.where(beyond, far, near)


def _two_ranges(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x within ±1, x beyond, each 1 elsewhere, and where it is beyond."""
    beyond = x.abs() > 1
    return torch.where(beyond, 1.0, x), torch.where(beyond, x, 1.0), beyond


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
