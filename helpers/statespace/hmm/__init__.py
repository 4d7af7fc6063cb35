"""Hidden Markov models: a discrete state that jumps, filtered, smoothed, decoded and fitted.

`model` says what one is, `filter` holds the forward and backward recursions; `scaled` is the same, faster.
`baum_welch` fits one, with what `prior` believes of it and from what `start` lets pass.
"""

from helpers.statespace.hmm.as_rnn import HMMAsRNN, hmm_as_rnn
from helpers.statespace.hmm.baum_welch import baum_welch
from helpers.statespace.hmm.emissions import CategoricalEmission, PoissonEmission
from helpers.statespace.hmm.filter import HMMFiltered, HMMSmoothed, hmm_filter, hmm_smoother
from helpers.statespace.hmm.gaussian_emission import GaussianEmission
from helpers.statespace.hmm.likelihood import hmm_log_likelihood
from helpers.statespace.hmm.model import HMM, HMMSimulation, simulate_hmm
from helpers.statespace.hmm.prior import HMMPrior
from helpers.statespace.hmm.viterbi import Decoded, viterbi

__all__ = [
    "HMM",
    "CategoricalEmission",
    "Decoded",
    "GaussianEmission",
    "HMMAsRNN",
    "HMMFiltered",
    "HMMPrior",
    "HMMSimulation",
    "HMMSmoothed",
    "PoissonEmission",
    "baum_welch",
    "hmm_as_rnn",
    "hmm_filter",
    "hmm_log_likelihood",
    "hmm_smoother",
    "simulate_hmm",
    "viterbi",
]
