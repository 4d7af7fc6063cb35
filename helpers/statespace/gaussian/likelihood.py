"""The log-likelihood of a linear-Gaussian model, with a gradient that needs no graph over time."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.series import IrregularBatch
from helpers.statespace.gaussian.adjoint import adjoint, adjoint_loop, with_nothing_after
from helpers.statespace.gaussian.arrays import product
from helpers.statespace.gaussian.compiled import LARGEST_COMPILED, compiled_log_likelihood
from helpers.statespace.gaussian.data import (
    Observations,
    check_observations,
    input_effect,
    without_intercept,
)
from helpers.statespace.gaussian.filter import filter_observations
from helpers.statespace.gaussian.means import Covariances, as_columns, as_rows, filter_means
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.gaussian.sharing import shared_covariances
from helpers.statespace.gaussian.step import log_density
from helpers.statespace.matrices import whiten


def log_likelihood(
    model: LinearGaussian,
    y: Tensor | IrregularBatch,
    mask: Tensor | None = None,
    *,
    inputs: Tensor | None = None,
    lengths: Tensor | None = None,
    compile: bool = False,
) -> Tensor:
    """How probable each series is, log p(y_0 … y_{T-1}), with a gradient at the cost of one smoothing pass.

    The number is that of `kalman_filter(...).log_likelihood`. Its gradient comes from the smoother, not
    from a graph of the filter's steps: by Fisher's identity the score is the expectation, given the whole
    series, of the gradient that one would have if the states had been seen. With r and N what the present and
    the future say about a predicted state (see `adjoint`), r⁺ and N⁺ what the future alone says, and
    m̄_t the smoothed mean::

        u_t = S_t⁻¹ e_t − K_tᵀ r⁺_t,   U_t = S_t⁻¹ + K_tᵀ N⁺_t K_t
        ∂/∂A_t = r_t m̄_{t-1}ᵀ − N_t A_t P_{t-1},   ∂/∂Q_t = ½ (r_t r_tᵀ − N_t),   ∂/∂(B_t u_t) = r_t
        ∂/∂C_t = u_t m̄_tᵀ − K_tᵀ (I − N⁺_t P_t),   ∂/∂R_t = ½ (u_t u_tᵀ − U_t),   ∂/∂y_t = −u_t
        ∂/∂m_0 = r_0,   ∂/∂P_0 = ½ (r_0 r_0ᵀ − N_0)

    r and u are residuals already, and no Q, R or predicted covariance is inverted, so that the gradient keeps
    its digits, and models with singular noise (VARMA) have one too.

    The gradient with respect to a covariance is symmetric: half of the change from moving an entry and its
    mirror image together lies at either. It can be differentiated only once; `kalman_filter` can be more
    often. Models with a diffuse start get their gradient through `kalman_filter`.

    Parameters are those of `kalman_filter`, but for this one.

    Parameters
    ----------
    compile : bool
        Compile the steps with torch.compile, at the first call with each shape, which takes half a minute:
        means and covariances in one recursion. Only values are computed so, of models of at most four states
        and observations without a flat prior, and where entries are missing or matrices change; others, and
        whatever a gradient is wanted of, as without.

    Returns
    -------
    Tensor (B,)
        In nats; 0 for a series of which nothing was observed.

    Raises
    ------
    ValueError
        As `kalman_filter` does, or if `compile` finds no C++ compiler.
    RuntimeError
        When differentiated with `create_graph=True`.

    Source: Segal and Weinstein (1989), IEEE Transactions on Information Theory 35(3), for A and C; Koopman
    and Shephard (1992), Exact score for time series models in state space form, Biometrika 79(4), for Q and
    R.
    """
    return log_likelihood_of(model, check_observations(model, y, mask, inputs, lengths), compile)


def log_likelihood_of(model: LinearGaussian, data: Observations, compile: bool = False) -> Tensor:
    """`log_likelihood` of data that have been checked."""
    if model.diffuse is not None:
        return filter_observations(model, data).log_likelihood
    data = without_intercept(model, data)
    arguments = (
        data.y,
        input_effect(model, data.inputs),
        model.transition,
        model.observation,
        model.transition_covariance,
        model.observation_covariance,
        model.initial_mean,
        model.initial_covariance,
    )
    wants_gradient = any(part is not None and part.requires_grad for part in arguments)
    if compile and not (wants_gradient and torch.is_grad_enabled()) and _is_worth_compiling(model, data.mask):
        value = compiled_log_likelihood(model, data, arguments[1])
        if value is not None:
            return value
    return _LogLikelihood.apply(model, data.mask, *arguments)


def _is_worth_compiling(model: LinearGaussian, mask: Tensor) -> bool:
    """Whether steps are small and noisy, and covariances neither come to rest nor serve all series."""
    noisy = bool((model.observation_covariance.diagonal(dim1=-2, dim2=-1) > 0).all())
    small = max(model.state_size, model.observation_size) <= LARGEST_COMPILED
    at_rest = model.steps is None and not model.has_own_covariances and bool((mask == mask[:1, :1]).all())
    return noisy and small and not at_rest


class _LogLikelihood(torch.autograd.Function):
    """The filter forwards, the score backwards; the tensors after `mask` are those to differentiate by."""

    @staticmethod
    def forward(
        ctx: Any, model: LinearGaussian, mask: Tensor, y: Tensor, effect: Tensor | None, *matrices: Tensor
    ):
        covariances = shared_covariances(model, mask, gains_only=not any(ctx.needs_input_grad))
        _, mean, innovation = filter_means(model, covariances, y, effect)
        ctx.covariances, ctx.mask = covariances, mask
        ctx.save_for_backward(mean, innovation, *matrices)
        seen = as_columns(mask, covariances.shared)
        steps = log_density(*whiten(covariances.innovation, innovation), seen)  # (T, M, N)
        return steps.sum(0).flatten()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "log_likelihood can be differentiated only once: got create_graph=True; "
                "kalman_filter(...).log_likelihood can be differentiated again"
            )
        mean, innovation, *matrices = ctx.saved_tensors
        score = Score(ctx.covariances, mean, innovation, weight)
        A, C, Q, R, m0, P0 = matrices
        driven = ctx.needs_input_grad[3]
        return (
            None,
            None,
            score.observations(),
            score.input_effect() if driven else None,
            score.transition(A),
            score.observation(C),
            score.transition_covariance(Q),
            score.observation_covariance(R, ctx.mask),
            score.initial_mean(m0),
            score.initial_covariance(P0),
        )


class Score:
    """What r, N, u and U say about each parameter, summed over whatever shares it.

    Stacks are (T, M, ·, ·) and columns (T, M, ·, N), weighted by the gradient (B,) of each series'
    log-likelihood. Columns beyond the series, as EM has them for a flat prior, count in the products but not
    in the number of series, `series`, by which what is shared is multiplied.
    """

    def __init__(
        self,
        covariances: Covariances,
        mean: Tensor,
        innovation: Tensor,
        weight: Tensor,
        series: int | None = None,
    ):
        self.P, self.K, self.A = covariances.filtered, covariances.gain, covariances.transition[1:]
        self.shared = covariances.shared
        self.weight = weight.reshape(1, 1, 1, -1) if self.shared else weight.reshape(1, -1, 1, 1)
        self.total = (self.weight if series is None else self.weight[..., :series]).sum()
        future = adjoint(
            covariances.transition,
            covariances.observation,
            covariances.seen,
            self.K,
            covariances.innovation,
            innovation,
            adjoint_loop,
        )
        self.r, self.N = future.r, future.N
        future_r = with_nothing_after(product(self.A.mT, self.r[1:]))
        self.future_N = with_nothing_after(product(product(self.A.mT, self.N[1:]), self.A))
        self.forgotten = product(self.K.mT, self.future_N)  # Kᵀ N⁺
        self.u = product(future.precision, innovation) - product(self.K.mT, future_r)
        self.U = future.precision + product(self.forgotten, self.K)
        self.mean = mean + product(self.P, future_r)

    def observations(self) -> Tensor:
        """∂/∂y = −u."""
        return as_rows(-self.weight * self.u)

    def input_effect(self) -> Tensor:
        """∂/∂(B u) = r; entry 0 is never used."""
        later = as_rows(self.weight * self.r[1:])
        return pad(later, (0, 0, 1, 0))

    def transition(self, A: Tensor) -> Tensor:
        """∂/∂A = r m̄ᵀ − N A P."""
        moments = product(self.N[1:], product(self.A, self.P[:-1]))
        return self._sum(A, self.r[1:], self.mean[:-1], moments)

    def observation(self, C: Tensor) -> Tensor:
        """∂/∂C = u m̄ᵀ − Kᵀ (I − N⁺ P)."""
        moments = self.K.mT - product(self.forgotten, self.P)
        return self._sum(C, self.u, self.mean, moments)

    def transition_covariance(self, Q: Tensor) -> Tensor:
        """∂/∂Q = ½ (r rᵀ − N)."""
        return 0.5 * self._sum(Q, self.r[1:], self.r[1:], self.N[1:])

    def observation_covariance(self, R: Tensor, mask: Tensor) -> Tensor:
        """∂/∂R = ½ (u uᵀ − U), 0 at missing entries."""
        seen = mask[:1] if self.shared else mask
        both = (seen.unsqueeze(-1) & seen.unsqueeze(-2)).transpose(0, 1)
        return 0.5 * self._sum(R, self.u, self.u, torch.where(both, self.U, 0.0))

    def initial_mean(self, m0: Tensor) -> Tensor:
        """∂/∂m_0 = r_0."""
        return as_rows(self.weight * self.r[:1]).squeeze(1).sum_to_size(m0.shape)

    def initial_covariance(self, P0: Tensor) -> Tensor:
        """∂/∂P_0 = ½ (r_0 r_0ᵀ − N_0)."""
        by_series = self._sum(P0.unsqueeze(1) if P0.ndim == 3 else P0, self.r[:1], self.r[:1], self.N[:1])
        return 0.5 * by_series.reshape(P0.shape)

    def _sum(self, like: Tensor, left: Tensor, right: Tensor, moments: Tensor) -> Tensor:
        """Σ left rightᵀ − moments over the series and steps that share a matrix."""
        series = like.shape[0] if like.ndim == 4 else 1
        steps = like.shape[-3] if like.ndim > 2 else 1
        if series > 1:
            total = product(self.weight * left, right.mT) - self.weight * moments  # (T, M, i, j)
        else:
            left, right = ((columns.movedim(1, -1).flatten(-2)) for columns in (self.weight * left, right))
            weight = self.total if self.shared else self.weight.flatten()
            total = left @ right.mT - (moments.movedim(1, -1) * weight).sum(-1)  # (T, i, j)
            total = total.unsqueeze(1)
        total = total.transpose(0, 1) if steps > 1 else total.sum(0).unsqueeze(1)
        return pad(total, (0, 0, 0, 0, steps - total.shape[1], 0)).reshape(like.shape)
