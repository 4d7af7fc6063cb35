"""One step of the Kalman filter: the equations, which every path of the filter imports.

They take what they are given. For a caller, `one_step.py` checks arguments first, and S afterwards.
"""

import torch
from torch import Tensor

from helpers.arguments import refuse_where
from helpers.observation import LOG_TWO_PI
from helpers.statespace.matrices import is_positive_definite, smallest_eigenvalue


def predict(
    mean: Tensor, covariance: Tensor, A: Tensor, Q: Tensor, input_effect: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Carry a Gaussian belief about the state one step ahead.

    ::

        m⁻ = A m + B u,   P⁻ = A P Aᵀ + Q

    Parameters
    ----------
    mean, covariance : Tensor (..., H) and (..., H, H)
        m and P.
    A, Q : Tensor (..., H, H)
    input_effect : Tensor (..., H), optional
        B u.

    Returns
    -------
    mean, covariance : Tensor (..., H) and (..., H, H)
        m⁻ and P⁻.

    Raises
    ------
    ValueError
        As `helpers.statespace.predict`: naming the argument whose shape or dtype is wrong, that is not finite
        or no covariance.
    """
    return apply(A, mean) + input_effect, predict_covariance(covariance, A, Q)


def update(
    mean: Tensor, covariance: Tensor, y: Tensor, C: Tensor, R: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Let an observation correct a Gaussian belief about the state.

    ::

        e = y − C m⁻,   S = C P⁻ Cᵀ + R,   K = P⁻ Cᵀ S⁻¹
        m = m⁻ + K e,   P = (I − K C) P⁻ (I − K C)ᵀ + K R Kᵀ

    Parameters
    ----------
    mean, covariance : Tensor (..., H) and (..., H, H)
        m⁻ and P⁻.
    y : Tensor (..., D)
    C, R : Tensor (..., D, H) and (..., D, D)

    Returns
    -------
    mean, covariance, innovation, innovation_covariance : Tensor (..., H), (..., H, H), (..., D), (..., D, D)
        m, P, e and S.

    Raises
    ------
    ValueError
        As `helpers.statespace.update`: naming the argument whose shape or dtype is wrong, that is not finite
        or no covariance; or if S is not positive definite by more than rounding, with its smallest
        eigenvalue.
    """
    innovation = y - apply(C, mean)
    covariance, gain, innovation_covariance = update_covariance(covariance, C, R)
    return mean + apply(gain, innovation), covariance, innovation, innovation_covariance


def apply(matrix: Tensor, vectors: Tensor) -> Tensor:
    """M x for matrices (..., N, K) and vectors (..., K), shape (..., N)."""
    return (matrix @ vectors.unsqueeze(-1)).squeeze(-1)


def predict_covariance(covariance: Tensor, A: Tensor, Q: Tensor) -> Tensor:
    """Uncertainty one step ahead, P⁻ = A P Aᵀ + Q."""
    return A @ covariance @ A.mT + Q


def update_covariance(covariance: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Uncertainty after an observation, in Joseph's form: a sum of two positive semi-definite matrices.

    Returns P, the gain K and S. The shorter P⁻ − K C P⁻ is a difference, and loses its sign to rounding.

    Source: Bucy and Joseph (1968), Filtering for stochastic processes with applications to guidance, p. 141.
    """
    cross = C @ covariance
    innovation_covariance = cross @ C.mT + R
    gain = torch.linalg.solve_ex(innovation_covariance, cross).result.mT
    kept = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device) - gain @ C
    return kept @ covariance @ kept.mT + gain @ R @ gain.mT, gain, innovation_covariance


# A missing entry says nothing of the state: its gain is 0, and it multiplies |S| by 1.


def observed_rows(C: Tensor, seen: Tensor) -> Tensor:
    """C (..., D, H) with zeros in the rows that `seen` (..., D) leaves out."""
    return seen.unsqueeze(-1) * C


def observed_pairs(R: Tensor, seen: Tensor) -> Tensor:
    """R (..., D, D) with rows and columns of the identity where `seen` (..., D) leaves entries out."""
    both = seen.unsqueeze(-1) & seen.unsqueeze(-2)
    return torch.where(both, R, torch.eye(seen.shape[-1], dtype=R.dtype, device=R.device))


# How probable an observation is.


def log_density(whitened: Tensor, log_determinant: Tensor, seen: Tensor) -> Tensor:
    """The log-density of innovations, −½ (eᵀ S⁻¹ e + log |S| + n log 2π), shape (..., N).

    Parameters
    ----------
    whitened, log_determinant : Tensor (..., D, N) and (..., 1)
        What `whiten` makes of S and of the innovations, as columns.
    seen : Tensor (..., D, N), bool
        True where observed; there are n.
    """
    squares = whitened.square().sum(-2) + log_determinant
    return -0.5 * (squares + LOG_TWO_PI * seen.sum(-2, dtype=squares.dtype))


def check_innovation(innovation_covariance: Tensor) -> None:
    """Refuse an S (..., D, D) that is not positive definite."""

    def message(*index: int) -> str:
        series = f"of series {index[-1]} " if index else ""
        smallest = smallest_eigenvalue(innovation_covariance[index])
        return (
            f"the innovation covariance C P C' + R {series}must be positive definite: "
            f"its smallest eigenvalue is {smallest:.3g}"
        )

    refuse_where(~is_positive_definite(innovation_covariance), message)


def check_innovations(innovation_covariance: Tensor, series: Tensor) -> None:
    """Refuse an S (T, M, D, D) that is not positive definite; `series` (M,) names the series of each."""
    refuse_where(
        ~is_positive_definite(innovation_covariance).T,
        lambda m, t: (
            "the innovation covariance C P C' + R must be positive definite: "
            f"series {series[m].item()} at step {t} has smallest eigenvalue "
            f"{smallest_eigenvalue(innovation_covariance[t, m]):.3g}"
        ),
    )
