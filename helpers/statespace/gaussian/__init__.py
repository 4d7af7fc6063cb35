"""Linear-Gaussian states: the Kalman filter and what is built on it.

The filter stands in `model.py` (what is assumed), `step.py` (predict and update, the equations) and
`filter.py` (the loop over them). Every faster path imports `step.py`, or shows its equations in another form,
and equals the plain loop::

    step ─┬─ filter: the plain loop
          ├─ riccati, recursion ┐
          └─ scan ──────────────┴─ sharing: covariances, then means ─ filter ─┬─ smoother ─ sampling
                                                                 adjoint ─────┤
          recursion ─ compiled: both at once ─────────────────────────────────┴─ likelihood ─ gradient, em
"""

from helpers.statespace.gaussian.as_rnn import LinearRNN, kalman_as_rnn, state_space_to_linear_rnn
from helpers.statespace.gaussian.discretise import discretise
from helpers.statespace.gaussian.filter import Filtered, kalman_filter
from helpers.statespace.gaussian.gradient import maximise_likelihood
from helpers.statespace.gaussian.likelihood import log_likelihood
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.one_step import predict, update
from helpers.statespace.gaussian.sampling import Simulated, sample_posterior, simulate
from helpers.statespace.gaussian.smoother import Smoothed, rts_smoother
from helpers.statespace.gaussian.stationary import stationary_covariance, steady_state_covariance
from helpers.statespace.gaussian.varma import impulse_response, varma_to_state_space

__all__ = [
    "Filtered",
    "LinearGaussian",
    "LinearRNN",
    "Simulated",
    "Smoothed",
    "discretise",
    "impulse_response",
    "kalman_as_rnn",
    "kalman_filter",
    "log_likelihood",
    "maximise_likelihood",
    "predict",
    "rts_smoother",
    "sample_posterior",
    "simulate",
    "state_space_to_linear_rnn",
    "stationary_covariance",
    "steady_state_covariance",
    "update",
    "varma_to_state_space",
]
