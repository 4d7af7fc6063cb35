"""The most probable path of a hidden Markov state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.series import IrregularBatch
from helpers.statespace.hmm.model import HMM, check_observations, refuse_impossible

PADDING = -1


@dataclass(frozen=True, eq=False)
class Decoded:
    """The most probable path of each series.

    Attributes
    ----------
    path : Tensor (B, T), int64
        State at each step; -1 beyond a series' length.
    log_probability : Tensor (B,)
        log p(path, y).
    """

    path: Tensor
    log_probability: Tensor


@torch.no_grad()
def viterbi(
    hmm: HMM, y: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Decoded:
    """Find the one path of states that explains a series best.

    ::

        δ_t(j) = max_i [ δ_{t-1}(i) + log A_ij ] + log p(y_t | j),   δ_0(j) = log π_j + log p(y_0 | j)

    and then back along the best predecessors. In log space throughout. Parameters and errors are those of
    `hmm_filter`; missing steps inside a series are decoded too.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 32-35 and 105.
    """
    data = check_observations(hmm, y, mask, lengths)
    log_evidence = hmm.log_evidence(data)  # (B, T, K)
    log_initial, log_transition = hmm.log_initial, hmm.log_transition
    scores, predecessors = _best_scores(log_initial, log_transition, log_evidence.transpose(0, 1))
    path = _trace_back(scores, predecessors, data.valid.sum(-1))
    log_joint = _path_log_probability(log_initial, log_transition, log_evidence, path, data.valid)
    return Decoded(path.where(data.valid, PADDING), log_joint)


def _best_scores(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """δ_t less its largest entry, and the best predecessor of each state at each later step, (T, B, K) both.

    Only differences within a step matter; the largest is taken off so that float32 keeps its digits.
    """
    lowest = torch.finfo(log_evidence.dtype).min
    scores, predecessors = torch.empty_like(log_evidence), torch.zeros_like(log_evidence, dtype=torch.long)
    peaks = torch.empty_like(log_evidence[..., 0])
    entering = log_initial.expand_as(log_evidence[0])
    for step, log_e in enumerate(log_evidence):
        score = entering + log_e
        peak = score.amax(-1, keepdim=True)
        scores[step], peaks[step] = score - peak.clamp(min=lowest), peak.squeeze(-1)
        if step + 1 < len(log_evidence):
            entering, predecessors[step + 1] = (scores[step].unsqueeze(-1) + log_transition).max(-2)
    refuse_impossible(peaks.T)
    return scores, predecessors


def _trace_back(scores: Tensor, predecessors: Tensor, lengths: Tensor) -> Tensor:
    """From each series' best last state back to its first, shape (B, T); in padding, that last state."""
    last = (lengths - 1).clamp(min=0)
    series = torch.arange(len(last), device=last.device)
    state = scores[last, series].argmax(-1, keepdim=True)  # (B, 1)
    path = state.repeat(1, len(scores))
    for step in range(len(scores) - 1, 0, -1):
        previous = predecessors[step].gather(-1, state)
        state = torch.where((step <= last).unsqueeze(-1), previous, state)
        path[:, step - 1 : step] = state
    return path


def _path_log_probability(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, path: Tensor, valid: Tensor
) -> Tensor:
    """log p(path, y) of each series, shape (B,)."""
    emitted = log_evidence.gather(-1, path.unsqueeze(-1)).squeeze(-1)
    entered = torch.cat([log_initial[path[:, :1]], log_transition[path[:, :-1], path[:, 1:]]], 1)
    return torch.where(valid, emitted + entered, 0.0).sum(-1)
