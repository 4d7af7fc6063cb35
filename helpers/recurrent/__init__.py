"""Recurrent cells, and what happens to gradients inside them.

A cell is read in two files: its own, such as `lstm.py`, with its equations, and `recurrence.py`, the weights
and the loop that all cells share. The tools ask for nothing but the protocol `Recurrence`.

Step t leads from h_{t-1} to h_t, t = 1 … T, with h_0 the initial state: `x[:, t-1]` is x_t and
`states[:, t-1]` is h_t. Results that also speak of h_0 have T + 1 entries, and there index k is h_k.
"""

from helpers.recurrent.baseline_gru_d import BaselineGRUD
from helpers.recurrent.bidirectional import Bidirectional
from helpers.recurrent.explosion import Clipped, clip, first_non_finite, refuse_non_finite
from helpers.recurrent.gradients import (
    GradientProfile,
    PathDecomposition,
    gradient_profile,
    path_count,
    path_decomposition,
)
from helpers.recurrent.gru import GRU, GRUTrace
from helpers.recurrent.gru_d import GRUD
from helpers.recurrent.gru_delta import GRUDelta
from helpers.recurrent.gru_ode import GRUODE
from helpers.recurrent.jacobians import JacobianProduct, jacobian_product, step_jacobians
from helpers.recurrent.lstm import LSTM, LSTMTrace
from helpers.recurrent.memory import (
    chrono_,
    cutoff_frequency,
    forget_bias_for,
    frequency_response,
    memory_time_constant,
)
from helpers.recurrent.min_gru import MinGRU, MinGRUTrace, affine_scan
from helpers.recurrent.ode_rnn import ODERNN
from helpers.recurrent.recurrence import Cell, Recurrence, scan
from helpers.recurrent.stacked import Stacked
from helpers.recurrent.torch_layers import from_torch, to_torch
from helpers.recurrent.truncation import (
    TruncatedPass,
    TruncationCurve,
    truncated_bptt,
    truncated_loss,
    truncation_curve,
)
from helpers.recurrent.vanilla import LeakyRNN, VanillaRNN
from helpers.recurrent.weights import (
    bound_spectral_norm,
    bound_spectral_radius,
    keep_orthogonal,
    orthogonal_,
    spectral_norm_,
    spectral_radius_,
)

__all__ = [
    "GRU",
    "GRUD",
    "GRUODE",
    "LSTM",
    "ODERNN",
    "BaselineGRUD",
    "Bidirectional",
    "Cell",
    "Clipped",
    "GRUDelta",
    "GRUTrace",
    "GradientProfile",
    "JacobianProduct",
    "LSTMTrace",
    "LeakyRNN",
    "MinGRU",
    "MinGRUTrace",
    "PathDecomposition",
    "Recurrence",
    "Stacked",
    "TruncatedPass",
    "TruncationCurve",
    "VanillaRNN",
    "affine_scan",
    "bound_spectral_norm",
    "bound_spectral_radius",
    "chrono_",
    "clip",
    "cutoff_frequency",
    "first_non_finite",
    "forget_bias_for",
    "frequency_response",
    "from_torch",
    "gradient_profile",
    "jacobian_product",
    "keep_orthogonal",
    "memory_time_constant",
    "orthogonal_",
    "path_count",
    "path_decomposition",
    "refuse_non_finite",
    "scan",
    "spectral_norm_",
    "spectral_radius_",
    "step_jacobians",
    "to_torch",
    "truncated_bptt",
    "truncated_loss",
    "truncation_curve",
]
