"""Sums over all state paths, by the faster recursion wherever it is safe, else in log space."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.statespace import hmm_log_space, hmm_scaled


@dataclass(frozen=True, eq=False)
class PathSums:
    """What the smoothing recursions know, batch first.

    Parameters
    ----------
    probability : Tensor (B, T, K)
        Of each state given the whole series.
    pair_counts : Tensor (B, K, K)
        Expected number of transitions from the row's state to the column's, into valid steps.
    step_log_likelihood : Tensor (B, T)
        log p(y_t | y_0 … y_{t-1}).
    """

    probability: Tensor
    pair_counts: Tensor
    step_log_likelihood: Tensor


@torch.no_grad()
def filter_paths(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Filtered probabilities (B, T, K) and the log-likelihood (B, T) of each step."""
    relative, peak = _relative_evidence(log_initial, log_evidence)
    transition = log_transition.exp()
    if interval := hmm_scaled.safe_interval(transition):
        probability, steps = hmm_scaled.filtered(relative.exp_(), transition, interval)
    else:
        probability, steps = hmm_log_space.filtered(relative, log_transition)
    return probability.transpose(0, 1), (steps + peak).T


@torch.no_grad()
def smooth_paths(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, valid: Tensor | None = None
) -> PathSums:
    """Smoothed probabilities and pair counts; `valid` (B, T) leaves transitions into padding uncounted."""
    relative, peak = _relative_evidence(log_initial, log_evidence)
    transition = log_transition.exp()
    valid = torch.ones_like(peak, dtype=torch.bool) if valid is None else valid.T
    if interval := hmm_scaled.safe_interval(transition):
        probability, counts, steps = hmm_scaled.smoothed(relative.exp_(), transition, interval, valid)
    else:
        probability, counts, steps = hmm_log_space.smoothed(relative, log_transition, valid)
    return PathSums(probability.transpose(0, 1), counts, (steps + peak).T)


@torch.no_grad()
def sum_paths(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> Tensor:
    """log p(y), shape (B,); -inf for an impossible series."""
    relative, peak = _relative_evidence(log_initial, log_evidence)
    transition = log_transition.exp()
    if interval := hmm_scaled.safe_interval(transition):
        return hmm_scaled.log_likelihood(relative.exp_(), transition, interval) + peak.sum(0)
    return (hmm_log_space.propagate(relative, log_transition)[1] + peak).sum(0)


def _relative_evidence(log_initial: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Log evidence less its largest of each step, (T, B, K), and that largest, (T, B).

    The prior counts as evidence of step 0. A step that is impossible in every state has the largest -inf
    and then counts as missing, so that the recursions stay finite.
    """
    first = log_evidence[:, 0] + log_initial  # (B, K)
    peak = log_evidence.amax(-1).T.contiguous().unsqueeze(-1)  # (T, B, 1)
    peak[0] = first.amax(-1, keepdim=True)
    relative = log_evidence.new_empty(*peak.shape[:2], len(log_initial))
    torch.sub(log_evidence.transpose(0, 1), peak, out=relative)
    torch.sub(first, peak[0], out=relative[0])
    impossible = peak == -torch.inf
    if impossible.any():
        relative.masked_fill_(impossible, 0.0)
    return relative, peak.squeeze(-1)
