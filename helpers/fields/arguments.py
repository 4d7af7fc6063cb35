"""What fields ask of their arguments, and how they say no."""

import torch
from torch import Tensor


def check_last(name: str, tensor: Tensor, size: int, what: str) -> None:
    """Refuse a tensor whose last axis does not hold `size` entries."""
    if tensor.ndim == 0 or tensor.shape[-1] != size:
        raise ValueError(f"{name} must end in the {size} {what}: got shape {tuple(tensor.shape)}")


def check_not_negative(name: str, value: float) -> None:
    """Refuse a number that is negative or not finite."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and not negative: got {value}")


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse a NaN or an infinity, and say where it is."""
    check_entries(name, tensor, tensor.isfinite(), "finite")


def check_real_matrix(name: str, matrix: Tensor, axes: str) -> None:
    """Refuse anything but a matrix of finite real numbers that is not empty."""
    if not isinstance(matrix, Tensor) or matrix.dtype == torch.bool or matrix.is_complex():
        kind = f"a {matrix.dtype} tensor" if isinstance(matrix, Tensor) else type(matrix).__name__
        raise ValueError(f"{name} must be a tensor of real numbers: got {kind}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must have shape {axes}, none of them 0: got {tuple(matrix.shape)}")
    check_finite(name, matrix)


def check_powers(name: str, powers: Tensor, axes: str) -> None:
    """Refuse anything but a matrix of whole numbers that are not negative."""
    check_real_matrix(name, powers, axes)
    check_entries(name, powers, (powers >= 0) & (powers == powers.round()), "whole and not negative")


def check_entries(name: str, tensor: Tensor, right: Tensor, expected: str) -> None:
    """Refuse a tensor with an entry that is not `right`, and say which."""
    if right.all():
        return
    place = (~right).nonzero()[0].tolist()
    raise ValueError(f"{name} must be {expected}: {name}{place} = {tensor[tuple(place)].item():g}")
