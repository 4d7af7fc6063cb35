"""Hidden states and what they emit: linear-Gaussian and hidden Markov models, and the RNNs that they are."""

from helpers.statespace.ascent import Fitted
from helpers.statespace.baum_welch import BaumWelchFit, baum_welch
from helpers.statespace.emissions import CategoricalEmission, GaussianEmission, PoissonEmission
from helpers.statespace.fit import fit
from helpers.statespace.forward_backward import HMMFiltered, HMMSmoothed, hmm_filter, hmm_smoother
from helpers.statespace.gaussian import (
    Filtered,
    LinearGaussian,
    LinearRNN,
    Simulated,
    Smoothed,
    discretise,
    impulse_response,
    kalman_as_rnn,
    kalman_filter,
    log_likelihood,
    maximise_likelihood,
    predict,
    rts_smoother,
    sample_posterior,
    simulate,
    state_space_to_linear_rnn,
    stationary_covariance,
    steady_state_covariance,
    update,
    varma_to_state_space,
)
from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_likelihood import hmm_log_likelihood
from helpers.statespace.hmm_rnn import HMMAsRNN, hmm_as_rnn
from helpers.statespace.hmm_simulation import HMMSimulation, simulate_hmm
from helpers.statespace.matrices import covariance_from_unconstrained, unconstrained_from_covariance
from helpers.statespace.viterbi import Decoded, viterbi

__all__ = [
    "HMM",
    "BaumWelchFit",
    "CategoricalEmission",
    "Decoded",
    "Filtered",
    "Fitted",
    "GaussianEmission",
    "HMMAsRNN",
    "HMMFiltered",
    "HMMSimulation",
    "HMMSmoothed",
    "LinearGaussian",
    "LinearRNN",
    "PoissonEmission",
    "Simulated",
    "Smoothed",
    "baum_welch",
    "covariance_from_unconstrained",
    "discretise",
    "fit",
    "hmm_as_rnn",
    "hmm_filter",
    "hmm_log_likelihood",
    "hmm_smoother",
    "impulse_response",
    "kalman_as_rnn",
    "kalman_filter",
    "log_likelihood",
    "maximise_likelihood",
    "predict",
    "rts_smoother",
    "sample_posterior",
    "simulate",
    "simulate_hmm",
    "state_space_to_linear_rnn",
    "stationary_covariance",
    "steady_state_covariance",
    "unconstrained_from_covariance",
    "update",
    "varma_to_state_space",
    "viterbi",
]
