r"""A flat prior, exactly: components of the first state about which nothing is known.

The state is written :math:`h_t + J_t \delta` with a flat prior on δ (k,). Given δ the model is an ordinary
one, so the same filter, with the same gains, carries h and the k columns of J (de Jong's augmented filter).
What the innovations :math:`e_t + E_t \delta` say of δ adds up,

.. math:: M_t = \sum_{s \le t} E_s^\top S_s^{-1} E_s, \qquad s_t = -\sum_{s \le t} E_s^\top S_s^{-1} e_s,

and δ given :math:`y_0 \dots y_t` has mean :math:`M_t^{-1} s_t` and covariance :math:`M_t^{-1}`. The
log-likelihood is :math:`\log \int p(y \mid \delta)\, d\delta`.

A flat prior plus noise is flat still. So h_0 may keep a variance in the diffuse directions, which changes
nothing but keeps every S positive definite, even without observation noise.

Until the data have fixed a direction, variances along it are infinite and means stay at the prior mean. A
step's log-likelihood is 0 until the data have fixed all of δ; the step which does so has that of all so far.

Source: de Jong (1991), The diffuse Kalman filter, Annals of Statistics 19(2).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import symmetric

LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Offset:
    """What is known of δ.

    Parameters
    ----------
    mean : Tensor (..., k, N)
    covariance : Tensor (..., k, k)
        Of the directions that are known.
    unknown : Tensor (..., k, k)
        Projector on the directions of which nothing is known.
    """

    mean: Tensor
    covariance: Tensor
    unknown: Tensor

    def __getitem__(self, step) -> "Offset":
        return Offset(self.mean[step], self.covariance[step], self.unknown[step])

    def before(self) -> "Offset":
        """What was known one step earlier: nothing before step 0."""
        identity = torch.eye(self.unknown.shape[-1], dtype=self.mean.dtype, device=self.mean.device)
        return Offset(
            torch.cat([torch.zeros_like(self.mean[:1]), self.mean[:-1]]),
            torch.cat([torch.zeros_like(self.covariance[:1]), self.covariance[:-1]]),
            torch.cat([identity.expand_as(self.unknown[:1]), self.unknown[:-1]]),
        )


def diffuse_directions(model: LinearGaussian) -> Tensor:
    """J_0, shape (H, k): one column for each diffuse component, as long as the model's noise is large."""
    noises = (model.transition_covariance, model.observation_covariance)
    size = max(noise.detach().diagonal(dim1=-2, dim2=-1).amax().item() for noise in noises)
    directions = torch.diag(model.diffuse.to(model.transition.dtype))[:, model.diffuse]
    return directions * (math.sqrt(size) if size > 0 else 1.0)


def integrated(steps: Tensor, whitened: Tensor, carried: Tensor, directions: Tensor) -> tuple[Tensor, Offset]:
    r"""Average the likelihood over δ, and say what is known of δ after each step.

    .. math::
        \log \int p(y_0 \dots y_t \mid J_0 \delta)\, d(J_0 \delta) = \log p(y_0 \dots y_t \mid \delta = 0)
        + \tfrac12 s_t^\top M_t^{-1} s_t - \tfrac12 \log |M_t| + \tfrac{k}{2} \log 2\pi + \log |J_0|

    Parameters
    ----------
    steps : Tensor (T, M, N)
        Log-likelihood of each step given δ = 0.
    whitened, carried : Tensor (T, M, D, N) and (T, M, D, k)
        :math:`S^{-1/2} e` and :math:`S^{-1/2} E`.
    directions : Tensor (H, k)
        :math:`J_0`.
    """
    precision = symmetric((carried.mT @ carried).cumsum(0))
    evidence = -(carried.mT @ whitened).cumsum(0)
    unknown = _unknown(precision.detach())
    root = torch.linalg.cholesky(precision + unknown)
    covariance = torch.cholesky_inverse(root) - unknown
    mean = covariance @ evidence
    log_determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
    constant = carried.shape[-1] * LOG_TWO_PI + directions.square().sum(0).log().sum()
    gained = 0.5 * ((evidence * mean).sum(-2) - log_determinant + constant)
    known = (unknown == 0).flatten(-2).all(-1, keepdim=True)
    so_far = torch.where(known, steps.cumsum(0) + gained, 0.0)
    return so_far.diff(dim=0, prepend=torch.zeros_like(so_far[:1])), Offset(mean, covariance, unknown)


def _unknown(precision: Tensor) -> Tensor:
    """Projector on the directions in which a precision (..., k, k), at most 1, vanishes but for rounding."""
    values, vectors = torch.linalg.eigh(precision)
    null = vectors * (values < torch.finfo(values.dtype).eps ** 0.75).unsqueeze(-2)
    return null @ null.mT


def pin(columns: Tensor, covariance: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    r"""Mean and covariance of h + J δ, from those of h, J, and what is known of δ.

    Parameters
    ----------
    columns : Tensor (T, M, n, N + k)
        Means of h, and J.
    covariance : Tensor (T, M, n, n)
        Of h given δ.
    """
    series = offset.mean.shape[-1]
    mean, carried = columns[..., :series], columns[..., series:]
    return mean + carried @ offset.mean, covariance + spread_of(carried, carried, offset)


def spread_of(left: Tensor, right: Tensor, offset: Offset) -> Tensor:
    """Covariance of J δ with J' δ: infinite where it depends on what is unknown of δ."""
    finite = left @ offset.covariance @ right.mT
    endless = left @ offset.unknown @ right.mT
    size = left.square().sum(-1).unsqueeze(-1) * right.square().sum(-1).unsqueeze(-2)
    slack = torch.finfo(endless.dtype).eps ** 0.75 * size.sqrt()
    return torch.where(endless.abs() > slack, torch.inf * endless.sign(), finite)
