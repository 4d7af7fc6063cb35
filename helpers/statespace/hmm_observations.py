"""Which entries of a batch were observed, and what is refused among them."""

import torch
from torch import Tensor

from helpers.arguments import check_lengths, refuse_where
from helpers.statespace.hmm import HMM


def valid_steps(y: Tensor, lengths: Tensor | None) -> Tensor:
    """True for a series' real steps, False for padding, shape (B, T)."""
    if y.ndim < 2 or y.shape[1] == 0:
        raise ValueError(f"y must have shape (B, T, ...) with at least one step: got {tuple(y.shape)}")
    series, steps = y.shape[:2]
    if lengths is None:
        return torch.ones(series, steps, dtype=torch.bool, device=y.device)
    if lengths.shape != (series,):
        raise ValueError(f"lengths must have shape (B,) = ({series},): got {tuple(lengths.shape)}")
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(f"lengths must be integers: got {lengths.dtype}")
    check_lengths(lengths, "y", y)
    return torch.arange(steps, device=y.device) < lengths.unsqueeze(-1)


def observed_entries(y: Tensor, mask: Tensor | None, valid: Tensor) -> Tensor:
    """True where y was observed and lies within its series, the shape of y."""
    valid = valid.reshape(*valid.shape, *[1] * (y.ndim - 2)).expand_as(y)
    if mask is None:
        return valid
    if mask.shape != y.shape:
        raise ValueError(f"mask must have the shape {tuple(y.shape)} of y: got {tuple(mask.shape)}")
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool: got {mask.dtype}")
    return mask & valid


def log_evidence(hmm: HMM, y: Tensor, mask: Tensor | None, valid: Tensor) -> Tensor:
    """log p(y_t | h_t = k), shape (B, T, K); 0 for every state where nothing was observed."""
    return hmm.emission.log_prob(y, observed_entries(y, mask, valid))


def refuse_impossible(step_log_likelihood: Tensor) -> None:
    """Raise where a step (B, T) has probability 0 given the past: there is no posterior then."""
    refuse_where(
        step_log_likelihood == -torch.inf,
        lambda b, t: (
            f"y is impossible under this HMM: series {b} has probability 0 at step {t} given its past"
        ),
    )
