"""Fitting a hidden Markov model by expectation and maximisation, as Baum and Welch do."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from helpers.arguments import check_whole_number
from helpers.progress import ProgressBar
from helpers.statespace.hmm.filter import hmm_smoother
from helpers.statespace.hmm.model import HMM, entries_and_steps


@dataclass(frozen=True, eq=False)
class ExpectedCounts:
    """How often each state and each transition was used in all series, as far as the smoother knows.

    Attributes
    ----------
    occupancy : Tensor (B, T, K)
        γ_t(k) = P(h_t = k | y); 0 in padding.
    first : Tensor (K,)
        Number of series that begin in each state, Σ γ_0(k) over the series.
    transitions : Tensor (K, K)
        N, the number of transitions from the row's state to the column's.
    log_likelihood : Tensor (B,)
        log p(y) of each series.
    """

    occupancy: Tensor
    first: Tensor
    transitions: Tensor
    log_likelihood: Tensor


@torch.no_grad()
def expected_counts(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> ExpectedCounts:
    """The E-step: smooth under the model, and count.

    Parameters and errors are those of `hmm_filter`.
    """
    smoothed = hmm_smoother(hmm, y, mask, lengths)
    _, valid = entries_and_steps(y, mask, lengths)
    occupancy = smoothed.probability * valid.unsqueeze(-1)
    return ExpectedCounts(
        occupancy, occupancy[:, 0].sum(0), smoothed.pair_counts.sum(0), smoothed.log_likelihood
    )


@torch.no_grad()
def maximise(
    hmm: HMM,
    counts: ExpectedCounts,
    y: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> HMM:
    """The M-step: let each parameter be the average that it stands for.

    With B the number of series that have a step::

        π_k = Σ γ_0(k) / B,   A_ij = N_ij / Σ_j N_ij

    and the emission as its `refit` says. A state that no data support keeps the parameters of `hmm`.
    """
    leaving = counts.transitions.sum(-1, keepdim=True)
    transition = torch.where(leaving > 0, counts.transitions / leaving, hmm.transition)
    entries, _ = entries_and_steps(y, mask, lengths)
    emission = hmm.emission.refit(y, entries, counts.occupancy)
    return HMM(counts.first / counts.first.sum(), transition, emission)


def baum_welch_models(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Iterator[tuple[HMM, Tensor]]:
    """Ever better models, each with its log-likelihood (B,); the first is the start.

    Parameters and errors are those of `baum_welch`.
    """
    if not entries_and_steps(y, mask, lengths)[1].any():
        raise ValueError("lengths must leave at least one step: all are 0")
    for iteration in count(1):
        counts = expected_counts(hmm, y, mask, lengths)
        yield hmm, counts.log_likelihood
        try:
            hmm = maximise(hmm, counts, y, mask, lengths)
        except ValueError as error:
            raise ValueError(
                f"iteration {iteration} of Baum-Welch gave no valid emission: {error}"
            ) from error


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
    """Improve a model step by step: count under it, then let each parameter be the average it stands for.

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
