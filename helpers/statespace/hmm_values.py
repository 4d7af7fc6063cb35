"""What each kind of emission accepts as observations; returned with missing entries replaced by zeros."""

import torch
from torch import Tensor

from helpers.arguments import refuse_where


def check_symbols(y: Tensor, mask: Tensor, symbols: int) -> Tensor:
    """Integers (B, T) from 0 to `symbols` - 1."""
    if y.ndim != 2:
        raise ValueError(f"y must have shape (B, T) for a categorical emission: got {tuple(y.shape)}")
    if y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
        raise ValueError(f"y must be integers for a categorical emission: got {y.dtype}")
    refuse_where(
        mask & ((y < 0) | (y >= symbols)),
        lambda b, t: f"y must lie between 0 and {symbols - 1}: series {b} has y[{t}] = {y[b, t]}",
    )
    return torch.where(mask, y, 0)


def check_reals(y: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Finite values (B, T, D) in the dtype of the parameter `like` (K, D)."""
    _check_features(y, like)
    if y.dtype != like.dtype:
        raise ValueError(
            f"y must have the dtype of the emission's parameters: got {y.dtype} and {like.dtype}"
        )
    refuse_where(mask & ~y.isfinite(), lambda *place: f"y must be finite where observed: {_entry(y, *place)}")
    return torch.where(mask, y, 0.0)


def check_counts(y: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Whole numbers (B, T, D), zero or more, turned into the dtype of the parameter `like` (K, D)."""
    _check_features(y, like)
    if y.dtype == torch.bool or y.is_complex() or (y.is_floating_point() and y.dtype != like.dtype):
        raise ValueError(f"y must be integers or have the rate's dtype {like.dtype}: got {y.dtype}")
    whole = y.isfinite() & (y >= 0) & (y == y.round() if y.is_floating_point() else True)
    refuse_where(
        mask & ~whole,
        lambda *place: f"y must be whole numbers, zero or more, where observed: {_entry(y, *place)}",
    )
    return torch.where(mask, y, 0).to(like.dtype)


def _check_features(y: Tensor, like: Tensor) -> None:
    features = like.shape[1]
    if y.ndim != 3 or y.shape[2] != features:
        raise ValueError(f"y must have shape (B, T, D) with D = {features}: got {tuple(y.shape)}")


def _entry(y: Tensor, series: int, step: int, feature: int) -> str:
    return f"series {series} has y[{step}, {feature}] = {y[series, step, feature]}"
