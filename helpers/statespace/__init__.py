"""Hidden states and what they emit: linear-Gaussian and hidden Markov models, and the RNNs that they are."""

from helpers.statespace.fitting import Fitted, fit, maximise_likelihood
from helpers.statespace.hmm import (
    HMM,
    BaumWelchFit,
    CategoricalEmission,
    Decoded,
    GaussianEmission,
    HMMAsRNN,
    HMMFiltered,
    HMMSimulation,
    HMMSmoothed,
    PoissonEmission,
    baum_welch,
    hmm_as_rnn,
    hmm_filter,
    hmm_log_likelihood,
    hmm_smoother,
    simulate_hmm,
    viterbi,
)
from helpers.statespace.kalman import kalman_filter, predict, update
from helpers.statespace.likelihood import log_likelihood
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.linear_rnn import LinearRNN, kalman_as_rnn, state_space_to_linear_rnn
from helpers.statespace.positive_definite import (
    covariance_from_unconstrained,
    unconstrained_from_covariance,
)
from helpers.statespace.results import Filtered, Simulated, Smoothed
from helpers.statespace.sampling import sample_posterior, simulate
from helpers.statespace.smoother import rts_smoother
from helpers.statespace.varma import impulse_response, spectral_radius, varma_to_state_space

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
    "spectral_radius",
    "state_space_to_linear_rnn",
    "unconstrained_from_covariance",
    "update",
    "varma_to_state_space",
    "viterbi",
]
