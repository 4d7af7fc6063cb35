"""The log-likelihood of a linear-Gaussian model, with a gradient that needs no graph over time."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.associative_scan import blocked_scan
from helpers.statespace.covariances import CovarianceRecursion, compact, covariance_recursion
from helpers.statespace.kalman import kalman_filter
from helpers.statespace.linear_gaussian import LinearGaussian
from helpers.statespace.matrices import symmetric, whiten
from helpers.statespace.means import as_columns, as_rows, filter_means
from helpers.statespace.observations import drifts, observed
from helpers.statespace.parallel import parallel_adjoint, parallel_means

LOG_TWO_PI = math.log(2.0 * math.pi)


def log_likelihood(
    model: LinearGaussian,
    y: Tensor,
    mask: Tensor | None = None,
    *,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    r"""How probable each series is, log p(y_0 … y_{T-1}), with a gradient at the cost of one smoothing pass.

    The number is that of `kalman_filter(...).log_likelihood`. Its gradient comes from the smoother, not
    from a graph of the filter's steps: by Fisher's identity the score is the expectation, given the whole
    series, of the gradient that one would have if the states had been seen. With r and N what the present and
    the future say about a predicted state (see `parallel_adjoint`), r⁺ and N⁺ what the future alone says, and
    :math:`\bar m_t` the smoothed mean,

    .. math::
        u_t &= S_t^{-1} e_t - K_t^\top r^+_t, \qquad U_t = S_t^{-1} + K_t^\top N^+_t K_t \\
        \partial / \partial A_t &= r_t \bar m_{t-1}^\top - N_t A_t P_{t-1}, \qquad
        \partial / \partial Q_t = \tfrac12 (r_t r_t^\top - N_t), \qquad
        \partial / \partial (B_t u_t) = r_t \\
        \partial / \partial C_t &= u_t \bar m_t^\top - K_t^\top (I - N^+_t P_t), \quad
        \partial / \partial R_t = \tfrac12 (u_t u_t^\top - U_t), \qquad \partial / \partial y_t = -u_t \\
        \partial / \partial m_0 &= r_0, \qquad \partial / \partial P_0 = \tfrac12 (r_0 r_0^\top - N_0)

    r and u are residuals already, and no Q, R or predicted covariance is inverted, so that the gradient keeps
    its digits, and models with singular noise (VARMA) have one too.

    The gradient with respect to a covariance is symmetric: half of the change from moving an entry and its
    mirror image together lies at either. It can be differentiated only once; `kalman_filter` can be more
    often. Models with a diffuse start get their gradient through `kalman_filter`.

    Parameters are those of `kalman_filter`.

    Returns
    -------
    Tensor (B,)
        In nats; 0 for a series of which nothing was observed.

    Raises
    ------
    ValueError
        As `kalman_filter` does.
    RuntimeError
        When differentiated with `create_graph=True`.

    Source: Segal and Weinstein (1989), IEEE Transactions on Information Theory 35(3), for A and C; Koopman
    and Shephard (1992), Exact score for time series models in state space form, Biometrika 79(4), for Q and
    R.
    """
    if model.diffuse is not None:
        return kalman_filter(model, y, mask, inputs=inputs, lengths=lengths).log_likelihood
    y, mask = observed(model, y, mask, lengths)
    return _LogLikelihood.apply(
        model,
        mask,
        y,
        drifts(model, y, inputs),
        model.transition,
        model.observation,
        model.transition_covariance,
        model.observation_covariance,
        model.initial_mean,
        model.initial_covariance,
    )


class _LogLikelihood(torch.autograd.Function):
    """The filter forwards, the score backwards; the tensors after `mask` are those to differentiate by."""

    @staticmethod
    def forward(
        ctx: Any, model: LinearGaussian, mask: Tensor, y: Tensor, drift: Tensor | None, *matrices: Tensor
    ):
        recursion = covariance_recursion(model, mask).separated()
        mean, innovation = _means(model, recursion, y, drift)
        ctx.recursion, ctx.mask = recursion, mask
        ctx.save_for_backward(mean, innovation, *matrices)
        whitened, log_determinant = whiten(recursion.innovation_covariance, innovation)
        observations = mask.sum((1, 2)).to(innovation.dtype)
        distance = as_rows(whitened).square().sum((1, 2))
        return -0.5 * (distance + log_determinant.sum((0, 2)) + observations * LOG_TWO_PI)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "log_likelihood can be differentiated only once: got create_graph=True; "
                "kalman_filter(...).log_likelihood can be differentiated again"
            )
        mean, innovation, *matrices = ctx.saved_tensors
        score = _Score(ctx.recursion, mean, innovation, weight)
        A, C, Q, R, m0, P0 = matrices
        driven = ctx.needs_input_grad[3]
        return (
            None,
            None,
            score.observations(),
            score.drift() if driven else None,
            score.transition(A),
            score.observation(C),
            score.transition_covariance(Q),
            score.observation_covariance(R, ctx.mask),
            score.initial_mean(m0),
            score.initial_covariance(P0),
        )


def _means(
    model: LinearGaussian, recursion: CovarianceRecursion, y: Tensor, drift: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Filtered means (T, M, H, N) and innovations (T, M, D, N)."""
    shared = recursion.groups == 1
    initial = as_columns(model.initial_mean.expand(len(y), -1).unsqueeze(1), shared)[0]
    columns = None if drift is None else as_columns(drift, shared)
    y = as_columns(y, shared)
    if shared:
        matrices = recursion.transition, recursion.observation, recursion.gain
        return parallel_means(initial, *matrices, columns, y, blocked_scan)[1:]
    A, C = (compact(matrix, len(y)) for matrix in (model.transition, model.observation))
    predicted, mean = filter_means(initial, A, C, recursion.gain, columns, y)
    return mean, y - recursion.observation @ predicted


class _Score:
    """What r, N, u and U say about each parameter, summed over whatever shares it.

    Stacks are (T, M, ·, ·) and columns (T, M, ·, N), weighted by the gradient (B,) of each series'
    log-likelihood.
    """

    def __init__(self, recursion: CovarianceRecursion, mean: Tensor, innovation: Tensor, weight: Tensor):
        C, self.P, self.K = recursion.observation, recursion.filtered, recursion.gain
        self.A = recursion.transition[1:]
        self.shared = recursion.groups == 1
        self.weight = weight.reshape(1, 1, 1, -1) if self.shared else weight.reshape(1, -1, 1, 1)
        precision = torch.linalg.inv(recursion.innovation_covariance)
        weighted = C.mT @ precision
        forget = (self.A - (self.A @ self.K[:-1]) @ C[:-1]).mT
        self.r, self.N = parallel_adjoint(
            _with_nothing_after(forget), weighted @ innovation, symmetric(weighted @ C), blocked_scan
        )
        future_r = _with_nothing_after(self.A.mT @ self.r[1:])
        self.future_N = _with_nothing_after(self.A.mT @ self.N[1:] @ self.A)
        self.u = precision @ innovation - self.K.mT @ future_r
        self.U = precision + self.K.mT @ self.future_N @ self.K
        self.mean = mean + self.P @ future_r

    def observations(self) -> Tensor:
        """∂/∂y = -u."""
        return as_rows(-self.weight * self.u)

    def drift(self) -> Tensor:
        """∂/∂(B u) = r; entry 0 is never used."""
        later = as_rows(self.weight * self.r[1:])
        return pad(later, (0, 0, 1, 0))

    def transition(self, A: Tensor) -> Tensor:
        """∂/∂A = r m̄ᵀ - N A P."""
        moments = self.N[1:] @ (self.A @ self.P[:-1])
        return self._sum(A, self.r[1:], self.mean[:-1], moments)

    def observation(self, C: Tensor) -> Tensor:
        """∂/∂C = u m̄ᵀ - Kᵀ (I - N⁺ P)."""
        moments = self.K.mT - (self.K.mT @ self.future_N) @ self.P
        return self._sum(C, self.u, self.mean, moments)

    def transition_covariance(self, Q: Tensor) -> Tensor:
        """∂/∂Q = ½ (r rᵀ - N)."""
        return 0.5 * self._sum(Q, self.r[1:], self.r[1:], self.N[1:])

    def observation_covariance(self, R: Tensor, mask: Tensor) -> Tensor:
        """∂/∂R = ½ (u uᵀ - U), 0 at missing entries."""
        seen = mask[:1] if self.shared else mask
        both = (seen.unsqueeze(-1) & seen.unsqueeze(-2)).transpose(0, 1)
        return 0.5 * self._sum(R, self.u, self.u, torch.where(both, self.U, 0.0))

    def initial_mean(self, m0: Tensor) -> Tensor:
        """∂/∂m_0 = r_0."""
        return as_rows(self.weight * self.r[:1]).squeeze(1).sum_to_size(m0.shape)

    def initial_covariance(self, P0: Tensor) -> Tensor:
        """∂/∂P_0 = ½ (r_0 r_0ᵀ - N_0)."""
        by_series = self._sum(P0.unsqueeze(1) if P0.ndim == 3 else P0, self.r[:1], self.r[:1], self.N[:1])
        return 0.5 * by_series.reshape(P0.shape)

    def _sum(self, like: Tensor, left: Tensor, right: Tensor, moments: Tensor) -> Tensor:
        """Σ left rightᵀ - moments over the series and steps that share a matrix."""
        series = like.shape[0] if like.ndim == 4 else 1
        steps = like.shape[-3] if like.ndim > 2 else 1
        kept = "t" * (steps > 1) + "m" * (series > 1)
        pairs = torch.einsum(f"tmin,tmjn->{kept}ij", self.weight * left, right)
        weight = self.weight.sum().reshape(1, 1, 1, 1) if self.shared else self.weight
        total = pairs - torch.einsum(f"tmij,xmyz->{kept}ij", moments, weight)
        total = total.reshape(-1 if steps > 1 else 1, series, *total.shape[-2:]).transpose(0, 1)
        return pad(total, (0, 0, 0, 0, steps - total.shape[1], 0)).reshape(like.shape)


def _with_nothing_after(stack: Tensor) -> Tensor:
    """One more step at the end, of zeros."""
    return pad(stack, (0, 0) * 3 + (0, 1))
