"""The most probable path of a hidden Markov state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_observations import log_evidence, refuse_impossible, valid_steps
from helpers.statespace.hmm_probabilities import log_probability

PADDING = -1


@dataclass(frozen=True, eq=False)
class Decoded:
    """The most probable path of each series.

    Parameters
    ----------
    path : Tensor of int64, shape (B, T)
        State at each step; -1 beyond a series' length.
    log_probability : Tensor (B,)
        log p(path, y).
    """

    path: Tensor
    log_probability: Tensor


@torch.no_grad()
def viterbi(hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Decoded:
    r"""Find the one path of states that explains a series best.

    .. math::
        \delta_t(j) = \max_i \left[ \delta_{t-1}(i) + \log A_{ij} \right] + \log p(y_t \mid j), \qquad
        \delta_0 = \log \pi + \log p(y_0 \mid \cdot)

    and then back along the best predecessors. In log space throughout. Parameters and errors are those of
    `hmm_filter`; missing steps inside a series are decoded too.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 32-35 and 105.
    """
    valid = valid_steps(y, lengths)
    evidence = log_evidence(hmm, y, mask, valid)
    log_initial, log_transition = log_probability(hmm.initial), log_probability(hmm.transition)
    scores, predecessors = _best_scores(log_initial, log_transition, evidence.transpose(0, 1))
    path = _trace_back(scores, predecessors, valid.sum(-1))
    log_joint = _path_log_probability(log_initial, log_transition, evidence, path, valid)
    return Decoded(path.where(valid, PADDING), log_joint)


def _best_scores(log_initial: Tensor, log_transition: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
    """δ_t less its largest entry, and the best predecessor of each state at each later step, (T, B, K) both.

    Only differences within a step matter; the largest is taken off so that float32 keeps its digits.
    """
    lowest = torch.finfo(evidence.dtype).min
    scores, predecessors = torch.empty_like(evidence), torch.zeros_like(evidence, dtype=torch.long)
    peaks = torch.empty_like(evidence[..., 0])
    entering = log_initial.expand_as(evidence[0])
    for step, observed in enumerate(evidence):
        score = entering + observed
        peak = score.amax(-1, keepdim=True)
        scores[step], peaks[step] = score - peak.clamp(min=lowest), peak.squeeze(-1)
        if step + 1 < len(evidence):
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
    log_initial: Tensor, log_transition: Tensor, evidence: Tensor, path: Tensor, valid: Tensor
) -> Tensor:
    """log p(path, y) of each series, shape (B,)."""
    emitted = evidence.gather(-1, path.unsqueeze(-1)).squeeze(-1)
    entered = torch.cat([log_initial[path[:, :1]], log_transition[path[:, :-1], path[:, 1:]]], 1)
    return torch.where(valid, emitted + entered, 0.0).sum(-1)
