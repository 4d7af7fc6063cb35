"""Recurrent cells, and what happens to gradients inside them.

A cell is read in two files: its own, `vanilla.py`, with its equation in `step`, and `recurrence.py`, the
protocol that a cell obeys and the loop that runs it. The tools ask for nothing but that protocol.

Step t leads from h_{t-1} to h_t, t = 1 … T, with h_0 the initial state: `x[:, t-1]` is x_t and
`states[:, t-1]` is h_t. Results that also speak of h_0 have T + 1 entries, and there index k is h_k.
"""

from helpers.recurrent.explosion import Clipped, clip, first_non_finite, refuse_non_finite
from helpers.recurrent.gradients import (
    GradientProfile,
    PathDecomposition,
    gradient_profile,
    path_count,
    path_decomposition,
)
from helpers.recurrent.jacobians import JacobianProduct, jacobian_product, step_jacobians
from helpers.recurrent.recurrence import Recurrence, scan
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
    "Clipped",
    "GradientProfile",
    "JacobianProduct",
    "LeakyRNN",
    "PathDecomposition",
    "Recurrence",
    "TruncatedPass",
    "TruncationCurve",
    "VanillaRNN",
    "bound_spectral_norm",
    "bound_spectral_radius",
    "clip",
    "first_non_finite",
    "gradient_profile",
    "jacobian_product",
    "keep_orthogonal",
    "orthogonal_",
    "path_count",
    "path_decomposition",
    "refuse_non_finite",
    "scan",
    "spectral_norm_",
    "spectral_radius_",
    "step_jacobians",
    "truncated_bptt",
    "truncated_loss",
    "truncation_curve",
]
