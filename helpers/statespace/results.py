"""What filters, smoothers and simulations return."""

from dataclasses import dataclass

from torch import Tensor

from helpers.statespace.covariances import CovarianceRecursion
from helpers.statespace.diffuse import Offset


@dataclass(frozen=True, eq=False)
class Internals:
    """How the filter works: what series share is there once, and a flat prior is still apart.

    Parameters
    ----------
    recursion : CovarianceRecursion
        Covariances and gains of M = 1 or M = B groups; those of a flat prior are given δ.
    predicted, filtered, innovation : Tensor (T, M, H, N), (T, M, H, N) and (T, M, D, N)
        Means as columns, followed by those of a flat prior (see `diffuse`).
    offset : Offset or None
        What is known of δ after each step, where the prior is flat.
    """

    recursion: CovarianceRecursion
    predicted: Tensor
    filtered: Tensor
    innovation: Tensor
    offset: Offset | None


@dataclass(frozen=True, eq=False)
class Filtered:
    """What is known of the state from the past and the present, step by step.

    Covariances that all series share are stored once and repeated as a view: clone before you write in them.

    Parameters
    ----------
    mean, covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_t.
    predicted_mean, predicted_covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_{t-1}.
    innovation : Tensor (B, T, D)
        y_t minus its prediction; 0 where y is missing.
    innovation_covariance : Tensor (B, T, D, D)
        S_t; the rows and columns of missing entries are those of the identity.
    step_log_likelihood : Tensor (B, T)
        log p(y_t | y_0 … y_{t-1}); 0 where nothing was observed.
    mask : Tensor (B, T, D), bool
        True where y was observed.
    internals : Internals, optional
        What the smoother reads instead, where the filter kept it: the same, but shared.
    """

    mean: Tensor
    covariance: Tensor
    predicted_mean: Tensor
    predicted_covariance: Tensor
    innovation: Tensor
    innovation_covariance: Tensor
    step_log_likelihood: Tensor
    mask: Tensor
    internals: Internals | None = None

    @property
    def log_likelihood(self) -> Tensor:
        """log p(y_0 … y_{T-1}) of each series, shape (B,)."""
        return self.step_log_likelihood.sum(-1)


@dataclass(frozen=True, eq=False)
class Smoothed:
    """What is known of the state from the whole series.

    Parameters
    ----------
    mean, covariance : Tensor (B, T, H) and (B, T, H, H)
        Of h_t given y_0 … y_{T-1}.
    lag_covariance : Tensor (B, T, H, H)
        Of h_t with h_{t-1} given y_0 … y_{T-1}; 0 at step 0.
    """

    mean: Tensor
    covariance: Tensor
    lag_covariance: Tensor


@dataclass(frozen=True, eq=False)
class Simulated:
    """One draw of hidden states and observations per series.

    Parameters
    ----------
    states : Tensor (B, T, H)
    observations : Tensor (B, T, D)
    """

    states: Tensor
    observations: Tensor
