"""What is known of a hidden Markov state: from the past (filter), and from the whole series (smoother)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_observations import log_evidence, refuse_impossible, valid_steps
from helpers.statespace.hmm_probabilities import log_probability
from helpers.statespace.hmm_recursions import filter_paths, smooth_paths


@dataclass(frozen=True, eq=False)
class HMMFiltered:
    """What is known of the state from the past and the present, step by step.

    Parameters
    ----------
    probability : Tensor (B, T, K)
        P(h_t = k | y_0 … y_t).
    predicted : Tensor (B, T, K)
        P(h_t = k | y_0 … y_{t-1}); the prior at step 0.
    step_log_likelihood : Tensor (B, T)
        log p(y_t | y_0 … y_{t-1}); 0 where nothing was observed.
    """

    probability: Tensor
    predicted: Tensor
    step_log_likelihood: Tensor

    @property
    def log_likelihood(self) -> Tensor:
        """log p(y_0 … y_{T-1}) of each series, shape (B,)."""
        return self.step_log_likelihood.sum(-1)


@dataclass(frozen=True, eq=False)
class HMMSmoothed:
    """What is known of the state from the whole series.

    Parameters
    ----------
    probability : Tensor (B, T, K)
        P(h_t = k | y_0 … y_{T-1}).
    pair_counts : Tensor (B, K, K)
        Expected number of transitions from the row's state to the column's within the series' length.
    log_likelihood : Tensor (B,)
        log p(y_0 … y_{T-1}).
    """

    probability: Tensor
    pair_counts: Tensor
    log_likelihood: Tensor


@torch.no_grad()
def hmm_filter(hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> HMMFiltered:
    r"""Predict the state, then weigh each value by how well it explains what was seen.

    .. math::
        \text{predict: } p_t(j) = \sum_i \alpha_{t-1}(i) A_{ij} \qquad
        \text{update: } \alpha_t(j) = p_t(j) \, p(y_t \mid j) / c_t \qquad
        \log p(y) = \sum_t \log c_t

    with p_0 the prior. Works on probabilities that are normalised every few steps where `safe_interval`
    proves that no digit is lost, and in log space otherwise, as when a transition is forbidden.
    The result carries no gradient; that of the log-likelihood is the matter of `hmm_log_likelihood`.

    Parameters
    ----------
    y : Tensor (B, T, D), or (B, T) of integers for a categorical emission
        The observations.
    mask : Tensor of bool, the shape of y, optional
        True where observed. Missing entries are marginalised exactly; what stands there is never read.
    lengths : Tensor (B,), integers, optional
        Steps of each series, the rest being padding. There the filter goes on to predict.

    Raises
    ------
    ValueError
        Naming the bad argument and place, or the series and step at which y has probability 0.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 19-21, 91-92 and 103.
    """
    evidence = log_evidence(hmm, y, mask, valid_steps(y, lengths))
    probability, steps = filter_paths(log_probability(hmm.initial), log_probability(hmm.transition), evidence)
    refuse_impossible(steps)
    prior = hmm.initial.expand(len(y), 1, -1)
    predicted = torch.cat([prior, probability[:, :-1] @ hmm.transition], 1)
    return HMMFiltered(probability, predicted, steps)


@torch.no_grad()
def hmm_smoother(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> HMMSmoothed:
    r"""Let the future speak too: the forward recursion meets the same recursion run backward.

    .. math::
        b_t(i) = \sum_j A_{ij} \, p(y_{t+1} \mid j) \, b_{t+1}(j), \qquad
        P(h_t = k \mid y) \propto \alpha_t(k) \, b_t(k)

    Parameters, treatment of missing entries and errors are those of `hmm_filter`. In padding the probability
    is the filter's prediction.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 24-27 and 37-38.
    """
    valid = valid_steps(y, lengths)
    evidence = log_evidence(hmm, y, mask, valid)
    sums = smooth_paths(log_probability(hmm.initial), log_probability(hmm.transition), evidence, valid)
    refuse_impossible(sums.step_log_likelihood)
    return HMMSmoothed(sums.probability, sums.pair_counts, sums.step_log_likelihood.sum(-1))
