"""Fitting a hidden Markov model by expectation and maximisation, as Baum and Welch do."""

import torch
from torch import Tensor

from helpers.statespace.ascent import Fitted, ascend
from helpers.statespace.hmm.filter import HMMSmoothed, smooth_observations
from helpers.statespace.hmm.model import HMM, Observations, check_observations


@torch.no_grad()
def baum_welch(
    hmm: HMM,
    y: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    iterations: int = 200,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> Fitted:
    """Improve a model step by step: smooth under it, then let each parameter be the average it stands for.

    The log-likelihood never falls. It finds the nearest local maximum; the start decides which, and in which
    order the states come. A state that no data support keeps its parameters, and a probability of 0 stays 0.

    Parameters
    ----------
    hmm : HMM
        The start.
    y, mask, lengths
        The series, as for `hmm_filter`. Steps without any observation count for the transitions only.
    iterations : int
        At most this many.
    tolerance : float
        Stop when the log-likelihood of all series together gains less, in nats.
    progress : bool
        Whether to show how far it is.

    Raises
    ------
    ValueError
        As `hmm_filter`; if no series has a step; or, saying at which iteration, when a Gaussian state's
        covariance collapses, as it can onto too few points, where the likelihood has no upper bound.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 40 and 109-111.
    """
    data = check_observations(hmm, y, mask, lengths)
    if not data.valid.any():
        raise ValueError("lengths must leave at least one step: all are 0")

    def evaluate(hmm: HMM) -> HMMSmoothed:
        return smooth_observations(hmm, data)  # the E-step

    def improve(hmm: HMM, smoothed: HMMSmoothed) -> HMM:
        return maximise(hmm, smoothed, data)  # the M-step

    return ascend(hmm, evaluate, improve, iterations, tolerance, progress)


def maximise(hmm: HMM, smoothed: HMMSmoothed, data: Observations) -> HMM:
    """The model under which states as probable as `smoothed` says, and y with them, are most likely.

    Each parameter is the average that it stands for, over the B series that have a step::

        π_k = Σ_b γ_0(k) / B,   A_ij = N_ij / Σ_j N_ij,   N_ij = Σ_b Σ_t P(h_{t-1} = i, h_t = j | y)

    with γ_t(k) = P(h_t = k | y), and the emission as its `refit` says. What no data support stays.
    """
    probability = smoothed.probability * data.valid.unsqueeze(-1)  # γ, 0 in padding
    first = probability[:, 0].sum(0)
    counts = smoothed.pair_counts.sum(0)
    leaving = counts.sum(-1, keepdim=True)
    transition = torch.where(leaving > 0, counts / leaving, hmm.transition)
    return HMM(first / first.sum(), transition, hmm.emission.refit(data.y, data.mask, probability))
