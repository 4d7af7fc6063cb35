"""The most likely Gaussian behind values of which some are only known to lie below a limit."""

import math

import numpy as np
from torch import Tensor

TOLERANCE = 1e-10
MAXIMUM_STEPS = 100


def fit_censored_gaussian(detected: Tensor, below: int, limit: float) -> tuple[float, float]:
    r"""Maximum-likelihood mean and its standard error, the standard deviation being unknown too.

    With :math:`\gamma = 1/\sigma` and :math:`\eta = (\mu - L)/\sigma` the log likelihood

    .. math:: n \ln\gamma - \tfrac12 \sum_i \big(\gamma (x_i - L) - \eta\big)^2 + m \ln \Phi(-\eta)

    is concave, so that damped Newton steps reach its one maximum from anywhere.

    Parameters
    ----------
    detected : Tensor of shape (n,)
        :math:`x_i`, the measured values.
    below : int
        :math:`m`, how many values are only known to lie below the limit.
    limit : float
        :math:`L`, in the unit of the values.

    Source: Olsen (1978), Note on the uniqueness of the maximum likelihood estimator for the Tobit model,
    Econometrica 46, 1211-1215.
    """
    excess = detected - limit
    count, total, squares = len(excess), float(excess.sum()), float(excess @ excess)
    scale = 1 / float(excess.std())
    point = np.array([scale * total / count, scale])  # (eta, gamma)
    for _ in range(MAXIMUM_STEPS):
        gradient, information = _score(point, count, total, squares, below)
        step = np.linalg.solve(information, gradient)
        decrement = math.sqrt(gradient @ step / count)
        point = point + step / (1 + decrement)
        if decrement < TOLERANCE:
            break
    eta, gamma = point
    slope = np.array([1 / gamma, -eta / gamma**2])  # of the mean, in (eta, gamma)
    return limit + eta / gamma, math.sqrt(slope @ np.linalg.solve(information, slope))


def _score(
    point: np.ndarray, count: int, total: float, squares: float, below: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the log likelihood, and its negative Hessian, in (eta, gamma)."""
    eta, gamma = point
    hazard = math.exp(-(eta**2) / 2) / (math.sqrt(math.pi / 2) * math.erfc(eta / math.sqrt(2)))
    gradient = np.array(
        [gamma * total - count * eta - below * hazard, count / gamma - gamma * squares + eta * total]
    )
    information = np.array(
        [[count + below * hazard * (hazard - eta), -total], [-total, count / gamma**2 + squares]]
    )
    return gradient, information
