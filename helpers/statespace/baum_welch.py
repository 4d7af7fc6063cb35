"""Fitting a hidden Markov model by expectation and maximisation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.progress import ProgressBar
from helpers.statespace.forward_backward import HMMSmoothed, hmm_smoother
from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_observations import observed_entries, valid_steps


@dataclass(frozen=True, eq=False)
class BaumWelchFit:
    """A fitted model, and how the fit went.

    Parameters
    ----------
    hmm : HMM
        The model after the last iteration.
    log_likelihoods : tuple of float
        Of all series together: first the start's, then that of the model after each iteration.
    converged : bool
        True if the last iteration gained less than the tolerance.
    """

    hmm: HMM
    log_likelihoods: tuple[float, ...]
    converged: bool

    @property
    def iterations(self) -> int:
        """How many times the model was improved."""
        return len(self.log_likelihoods) - 1


@torch.no_grad()
def baum_welch(
    hmm: HMM,
    y: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    progress: bool = True,
) -> BaumWelchFit:
    r"""Improve a model step by step: smooth under it, then let each parameter be the average it stands for.

    .. math::
        \pi_k = \frac1B \sum_b \gamma^b_0(k), \qquad A_{ij} = \frac{N_{ij}}{\sum_j N_{ij}}, \qquad
        N_{ij} = \sum_{b,t} P(h_{t-1} = i, h_t = j \mid y^b)

    and the emission as its `refitted` says. The log-likelihood never falls. It finds the nearest local
    maximum; the start decides which, and in which order the states come. A state that no data support
    keeps its parameters, and a probability of 0 stays 0.

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
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more: got {iterations}")
    valid = valid_steps(y, lengths)
    if not valid.any():
        raise ValueError("lengths must leave at least one step: all are 0")
    mask = observed_entries(y, mask, valid)
    smoothed = hmm_smoother(hmm, y, mask, lengths)
    trace, converged = [smoothed.log_likelihood.sum().item()], False
    with ProgressBar(iterations, "iteration", shown=progress) as bar:
        while len(trace) <= iterations and not converged:
            hmm = _maximised(hmm, smoothed, y, mask, valid, iteration=len(trace))
            smoothed = hmm_smoother(hmm, y, mask, lengths)
            trace.append(smoothed.log_likelihood.sum().item())  # the one poll of an iteration
            converged = trace[-1] - trace[-2] < tolerance
            bar.advance(f"log-likelihood {trace[-1]:.6g}")
        bar.finish(_summary(trace, converged))
    return BaumWelchFit(hmm, tuple(trace), converged)


def _maximised(
    hmm: HMM, smoothed: HMMSmoothed, y: Tensor, mask: Tensor, valid: Tensor, iteration: int
) -> HMM:
    """The model that makes states as probable as `smoothed`, and y with them, most likely."""
    probability = smoothed.probability * valid.unsqueeze(-1)
    first = probability[:, 0].sum(0)
    counts = smoothed.pair_counts.sum(0)
    leaving = counts.sum(-1, keepdim=True)
    transition = torch.where(leaving > 0, counts / leaving, hmm.transition)
    try:
        emission = hmm.emission.refitted(y, mask, probability)
    except ValueError as error:
        raise ValueError(f"iteration {iteration} of Baum-Welch gave no valid emission: {error}") from error
    return HMM(first / first.sum(), transition, emission)


def _summary(trace: list[float], converged: bool) -> str:
    ending = "converged" if converged else "not yet converged"
    return f"{len(trace) - 1} iterations, {ending}: log-likelihood {trace[0]:.6g} → {trace[-1]:.6g}"
