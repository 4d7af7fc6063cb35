"""Fitting a hidden Markov model by expectation and maximisation, as Baum and Welch do."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from helpers.arguments import check_probability, kind
from helpers.series import IrregularBatch
from helpers.statespace.ascent import Fitted, ascend, name_collapse
from helpers.statespace.hmm.emissions import Belief, shares
from helpers.statespace.hmm.filter import HMMSmoothed, smooth_observations
from helpers.statespace.hmm.gaussian_emission import GaussianEmission
from helpers.statespace.hmm.model import HMM, Observations, check_observations
from helpers.statespace.hmm.prior import HMMPrior
from helpers.statespace.hmm.start import hold, refuse_indistinguishable


@torch.no_grad()
def baum_welch(
    hmm: HMM,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    prior: HMMPrior | None = None,
    fixed: Mapping[str, Tensor] | None = None,
    variance_floor: float | None = None,
    iterations: int = 200,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> Fitted:
    """Improve a model step by step: smooth under it, then let each parameter be the average it stands for.

    The log-likelihood, with a prior its sum with the prior's log density, never falls. It finds the nearest
    local maximum; the start decides which, and in which order the states come. A state that no data support
    keeps its parameters, and a probability of 0 stays 0.

    Without a bound, a Gaussian state may collapse onto a few readings, where the likelihood grows for ever.
    Its variance in every direction therefore stays above a floor, relative to the data's variance, and
    `Fitted.collapsed` names the states that lie on it: `"emission.covariance[1]"`.

    Parameters
    ----------
    hmm : HMM
        The start.
    y, mask, lengths
        The series, as for `hmm_filter`. Steps without any observation count for the transitions only.
    prior : HMMPrior, optional
        Pseudo-observations. `Fitted.log_likelihoods` then are log-likelihoods plus the prior's log density,
        but for a constant.
    fixed : mapping of str to Tensor, optional
        What stays, by names among initial, transition and the fields of the emission: a bool tensor of the
        field's shape, True for the entries that stay as in the start, of covariances that are not diagonal
        whole states; or a value for the whole field, at which it is held.
    variance_floor : float, optional
        The smallest variance f of a Gaussian state as a share of the data's; left out, √ε with the machine
        precision ε: 1.5e-8 in float64, 3.5e-4 in float32. A reading one deviation of the data from the state
        has the log density -1/(2f), of which rounding moves ε/(2f): with √ε that is half as many digits
        after the point as a number has, and what a fall may be that is not an error.
    iterations : int
        At most this many.
    tolerance : float
        Stop when the log-likelihood of all series together gains less, in nats.
    progress : bool
        Whether to show how far it is.

    Raises
    ------
    ValueError
        As `hmm_filter`; if no series has a step; if two states of the start emit alike and jump alike, which
        would stay so; if a covariance is to be learned and a feature has no variance, or the start lies below
        the floor; or if `prior` or `fixed` do not fit the model.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 40 and 109-111.
    """
    data = check_observations(hmm, y, mask, lengths)
    if not data.valid.any():
        raise ValueError("lengths must leave at least one step: all are 0")
    hmm, held = hold(hmm, fixed)
    refuse_indistinguishable(hmm)
    if not isinstance(prior, HMMPrior | None):
        raise ValueError(f"prior must be an HMMPrior: got {kind(prior)}")
    pseudo = (HMMPrior() if prior is None else prior).fit_to(hmm)
    belief = _with_floor(hmm, data, pseudo.belief(held), variance_floor)

    def evaluate(hmm: HMM) -> HMMSmoothed:
        smoothed = smooth_observations(hmm, data)  # the E-step
        if prior is None:
            return smoothed
        return replace(smoothed, log_likelihood=smoothed.log_likelihood.sum() + pseudo.log_density(hmm))

    def improve(hmm: HMM, smoothed: HMMSmoothed) -> HMM:
        return maximise(hmm, smoothed, data, pseudo, belief)  # the M-step

    def collapsed(hmm: HMM) -> tuple[str, ...]:
        states = [] if belief.floor is None else hmm.emission.collapsed(belief)
        return tuple(f"emission.covariance[{state}]" for state in states)

    readings = int(data.mask.sum())
    with name_collapse(collapsed):
        fitted = ascend(hmm, evaluate, improve, iterations, tolerance, progress, readings=readings)
    return replace(fitted, collapsed=collapsed(fitted.model))


def maximise(hmm: HMM, smoothed: HMMSmoothed, data: Observations, pseudo: HMMPrior, belief: Belief) -> HMM:
    """The model under which states as probable as `smoothed` says, and y with them, are most likely.

    Each parameter is the average that it stands for, over the B series that have a step::

        π_k = Σ_b γ_0(k) / B,   A_ij = N_ij / Σ_j N_ij,   N_ij = Σ_b Σ_t P(h_{t-1} = i, h_t = j | y)

    with γ_t(k) = P(h_t = k | y), and the emission as its `refit` says; pseudo-counts add to the sums. What no
    data support stays.
    """
    probability = smoothed.probability * data.valid.unsqueeze(-1)  # γ, 0 in padding
    first, counts = probability[:, 0].sum(0), smoothed.pair_counts.sum(0)
    initial = shares(first, pseudo.initial, hmm.initial, belief.fixed.get("initial"))
    transition = shares(counts, pseudo.transition, hmm.transition, belief.fixed.get("transition"))
    return HMM(initial, transition, hmm.emission.refit(data.y, data.mask, probability, belief))


def _with_floor(hmm: HMM, data: Observations, belief: Belief, share: float | None) -> Belief:
    """The belief and the floor that a Gaussian emission keeps to."""
    if share is not None:
        check_probability("variance_floor", share)
    if not isinstance(hmm.emission, GaussianEmission):
        if share is not None:
            raise ValueError(f"variance_floor must be left out without a Gaussian emission: got {share}")
        return belief
    share = torch.finfo(hmm.initial.dtype).eps ** 0.5 if share is None else share
    return replace(belief, floor=hmm.emission.floor(data.y, data.mask, belief, share))
