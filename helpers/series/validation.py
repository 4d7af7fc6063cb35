"""What makes four tensors a batch of irregular series, and where a bad one goes wrong."""

from collections.abc import Callable

import torch
from torch import Tensor


def refuse_where(wrong: Tensor, message: Callable[..., str]) -> None:
    """Raise `ValueError(message(*index))` for the first index at which `wrong` is True."""
    if wrong.any():
        raise ValueError(message(*wrong.nonzero()[0].tolist()))


def check_kinds(times: Tensor, values: Tensor, mask: Tensor, lengths: Tensor) -> None:
    """Check the shapes, dtypes and devices of a batch's four tensors."""
    if times.ndim != 2:
        raise ValueError(f"times must have shape (B, T): got {tuple(times.shape)}")
    series, steps = times.shape
    if values.ndim != 3 or values.shape[:2] != times.shape:
        raise ValueError(
            f"values must have shape (B, T, D) = ({series}, {steps}, D): got {tuple(values.shape)}"
        )
    if mask.shape != values.shape:
        raise ValueError(f"mask must have the shape {tuple(values.shape)} of values: got {tuple(mask.shape)}")
    if lengths.shape != (series,):
        raise ValueError(f"lengths must have shape (B,) = ({series},): got {tuple(lengths.shape)}")
    for name, tensor in {"times": times, "values": values}.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point: got {tensor.dtype}")
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool: got {mask.dtype}")
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(f"lengths must be integers: got {lengths.dtype}")
    devices = [str(tensor.device) for tensor in (times, values, mask, lengths)]
    if len(set(devices)) > 1:
        raise ValueError(f"times, values, mask and lengths must lie on one device: got {', '.join(devices)}")


def check_lengths(lengths: Tensor, steps: int) -> None:
    """Check `0 <= lengths <= T`."""
    refuse_where(
        (lengths < 0) | (lengths > steps),
        lambda b: f"lengths must lie between 0 and T = {steps}: series {b} has length {lengths[b]}",
    )


def check_times(times: Tensor, valid: Tensor) -> None:
    """Check that the times (B, T) of real steps are finite and increase strictly."""
    refuse_where(
        valid & ~times.isfinite(),
        lambda b, k: f"times must be finite: series {b} has times[{k}] = {times[b, k]}",
    )
    refuse_where(
        valid[:, 1:] & (times[:, 1:] <= times[:, :-1]),
        lambda b, k: (
            f"times must increase within each series: "
            f"series {b} has times[{k + 1}] = {times[b, k + 1]} after {times[b, k]}"
        ),
    )


def check_observations(values: Tensor, mask: Tensor, lengths: Tensor, valid: Tensor) -> None:
    """Check that observed values (B, T, D) are finite and lie within their series."""
    refuse_where(
        mask & ~valid.unsqueeze(-1),
        lambda b, k, d: (
            f"mask must be False beyond a series' length: "
            f"series {b} has length {lengths[b]} and mask[{k}, {d}] = True"
        ),
    )
    if (
        not values[mask].isfinite().all()
    ):  # in a sparse batch, far cheaper than to look everywhere for the place
        refuse_where(
            mask & ~values.isfinite(),
            lambda b, k, d: (
                f"observed values must be finite: series {b} has values[{k}, {d}] = {values[b, k, d]}"
            ),
        )
