"""Fitting a hidden Markov model by expectation and maximisation, as Baum and Welch do."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from helpers.arguments import check_whole_number
from helpers.progress import ProgressBar
from helpers.statespace.hmm.filter import HMMSmoothed, hmm_smoother
from helpers.statespace.hmm.model import HMM, entries_and_steps


def baum_welch_models(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Iterator[tuple[HMM, Tensor]]:
    """Ever better models, each with its log-likelihood (B,); the first is the start.

    Parameters and errors are those of `baum_welch`.
    """
    if not entries_and_steps(y, mask, lengths)[1].any():
        raise ValueError("lengths must leave at least one step: all are 0")
    for iteration in count(1):
        smoothed = hmm_smoother(hmm, y, mask, lengths)  # the E-step
        yield hmm, smoothed.log_likelihood
        try:
            hmm = maximise(hmm, smoothed, y, mask, lengths)  # the M-step
        except ValueError as error:
            raise ValueError(
                f"iteration {iteration} of Baum-Welch gave no valid emission: {error}"
            ) from error


@torch.no_grad()
def maximise(
    hmm: HMM, smoothed: HMMSmoothed, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> HMM:
    """The model under which states as probable as `smoothed` says, and y with them, are most likely.

    Each parameter is the average that it stands for, over the B series that have a step::

        π_k = Σ_b γ_0(k) / B,   A_ij = N_ij / Σ_j N_ij,   N_ij = Σ_b Σ_t P(h_{t-1} = i, h_t = j | y)

    with γ_t(k) = P(h_t = k | y), and the emission as its `refit` says. What no data support stays.
    """
    entries, valid = entries_and_steps(y, mask, lengths)
    probability = smoothed.probability * valid.unsqueeze(-1)  # γ, 0 in padding
    first = probability[:, 0].sum(0)
    counts = smoothed.pair_counts.sum(0)
    leaving = counts.sum(-1, keepdim=True)
    transition = torch.where(leaving > 0, counts / leaving, hmm.transition)
    return HMM(first / first.sum(), transition, hmm.emission.refit(y, entries, probability))


@dataclass(frozen=True, eq=False)
class BaumWelchFit:
    """A fitted model, and how the fit went.

    Attributes
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
    check_whole_number("iterations", iterations)
    models = baum_welch_models(hmm, y, mask, lengths)
    hmm, log_likelihood = next(models)
    trace, converged = [log_likelihood.sum().item()], False
    with ProgressBar(iterations, "iteration", shown=progress) as bar:
        while len(trace) <= iterations and not converged:
            hmm, log_likelihood = next(models)
            trace.append(log_likelihood.sum().item())  # the one poll of an iteration
            converged = trace[-1] - trace[-2] < tolerance
            bar.advance(f"log-likelihood {trace[-1]:.6g}")
        bar.finish(_summary(trace, converged))
    return BaumWelchFit(hmm, tuple(trace), converged)


def _summary(trace: list[float], converged: bool) -> str:
    ending = "converged" if converged else "not yet converged"
    return f"{len(trace) - 1} iterations, {ending}: log-likelihood {trace[0]:.6g} → {trace[-1]:.6g}"
