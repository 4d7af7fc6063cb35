"""What fields ask of states and matrices."""

import torch
from torch import Tensor

from helpers.arguments import check_entries, check_finite, check_tensor, is_finite_number, kind

Time = float | Tensor

LARGEST_POWER = 1000
"""Beyond it a power says nothing but 0, 1 or infinity."""


def check_last(name: str, tensor: Tensor, size: int, what: str) -> None:
    """Refuse a tensor whose last axis does not hold `size` entries."""
    check_tensor(name, tensor)
    if tensor.ndim == 0 or tensor.shape[-1] != size:
        raise ValueError(f"{name} must end in the {size} {what}: got shape {tuple(tensor.shape)}")


def time_like(t: Time, reference: Tensor) -> Tensor:
    """A time, a number or a tensor of real ones, of another tensor's dtype and device."""
    if not isinstance(t, Tensor) and not is_finite_number(t):
        raise ValueError(f"t must be a finite number or a tensor: got {t!r}")
    if isinstance(t, Tensor) and (t.dtype == torch.bool or t.is_complex()):
        raise ValueError(f"t must be a number or a tensor of real numbers: got {kind(t)}")
    return torch.as_tensor(t, dtype=reference.dtype, device=reference.device)


def check_real_matrix(name: str, matrix: Tensor, axes: str) -> None:
    """Refuse anything but a matrix of finite real numbers that is not empty."""
    if not isinstance(matrix, Tensor) or matrix.dtype == torch.bool or matrix.is_complex():
        raise ValueError(f"{name} must be a tensor of real numbers: got {kind(matrix)}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must have shape {axes}, none of them 0: got {tuple(matrix.shape)}")
    check_finite(name, matrix)


def check_powers(name: str, powers: Tensor, axes: str) -> None:
    """Refuse anything but a matrix of whole numbers from 0 to `LARGEST_POWER`."""
    check_real_matrix(name, powers, axes)
    valid = (powers >= 0) & (powers == powers.round())
    check_entries(name, powers, valid, "be whole and not negative")
    check_entries(name, powers, powers <= LARGEST_POWER, f"be at most {LARGEST_POWER}")


def check_reactants(reactants: Tensor, S: Tensor) -> None:
    """Refuse anything but powers (D, R) in the shape of the stoichiometry S."""
    check_powers("reactants", reactants, "(D, R)")
    if reactants.shape != S.shape:
        raise ValueError(f"reactants must have the shape {tuple(S.shape)} of S: got {tuple(reactants.shape)}")
