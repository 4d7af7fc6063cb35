"""GRU-D: what was not observed decays, the last value towards its mean and the state towards zero."""

from numbers import Real
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from helpers.arguments import check_finite, check_finite_number, check_positive_number, check_shape
from helpers.recurrent import gru_d_loop
from helpers.recurrent.irregular import IrregularCell, check_sizes, draw, join_like, steps_that_move
from helpers.recurrent.recurrence import scan
from helpers.series import IrregularBatch


class GRUDGates(NamedTuple):
    """What decays and opens at a step, and what is offered: (B, H) each."""

    gamma_h: Tensor
    r: Tensor
    z: Tensor
    n: Tensor


class GRUD(IrregularCell):
    """A GRU that knows of each value whether and how long ago it was observed.

    ::

        δ_t = time since each feature was last observed before step t, `IrregularBatch.deltas`

        γx_t = exp(-max(0, w_γx ⊙ δ_t + b_γx))                       input decay, one for each feature
        γh_t = exp(-max(0, W_γh δ_t + b_γh))                         hidden decay, from all features

        x̂_t = m_t ⊙ x_t + (1 - m_t) ⊙ (γx_t ⊙ x_t' + (1 - γx_t) ⊙ x̄)
        ĥ_{t-1} = γh_t ⊙ h_{t-1}

        r_t = σ(W_xr x̂_t + W_hr ĥ_{t-1} + W_mr m_t + b_r)
        z_t = σ(W_xz x̂_t + W_hz ĥ_{t-1} + W_mz m_t + b_z)
        n_t = tanh(W_xn x̂_t + W_hn (r_t ⊙ ĥ_{t-1}) + W_mn m_t + b_n)
        h_t = (1 - z_t) ⊙ ĥ_{t-1} + z_t ⊙ n_t,   t = 1 … T

    with m_t = 1 where observed, x_t' the last value observed before step t, and x̄ the mean over the
    observations of the training set, which also stands for x_t' before a feature's first observation. The
    state starts at zero, and each step of a series moves it, also one at which nothing was observed. z_t = 0
    keeps the state, as in the paper, which writes W, U, V for W_x, W_h, W_m and h̃_t for n_t.

    W_x, W_h, W_m and b are drawn uniformly from ±1/√H. Every decay starts with the time constant τ, as
    exp(-δ_t/τ), and a hidden one takes the mean over the features for δ_t. So max(0, ·) begins where it has
    a gradient: a decay that starts with zero or negative weights never learns, nor does one with τ so far
    below the gaps that nothing is left of anything.

    Parameters
    ----------
    input_size : int
        D, the number of features.
    hidden_size : int
        H, the number of units.
    mean : float or Tensor (D,)
        x̄, in the units of the values: `Standardiser.fit(train).mean`, which names features that were never
        observed and takes a prior for them; or 0 where the values are standardised.
    tau : float
        τ, at the start, in the unit of the times: about the time between two observations of a feature.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the batches must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, no mean is given or it is not finite, or τ is not positive.

    Source: Che et al. (2018), Recurrent neural networks for multivariate time series with missing values,
    Scientific Reports 8:6085, section GRU-D; how the weights start is ours.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        mean: float | Tensor | None = None,
        tau: float = 1.0,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size, hidden_size)
        D, H = self.input_size, self.hidden_size = input_size, hidden_size
        like = torch.empty(0, device=device, dtype=dtype)
        self.input_decay = InputDecay(D, mean, tau, like)
        self.W_gamma_h = nn.Parameter(like.new_full((H, D), 1 / (D * tau)))
        self.b_gamma_h = nn.Parameter(like.new_zeros(H))
        self.W_xh, self.W_mh, self.W_hh = (draw((3 * H, n), H, generator, like) for n in (D, D, H))
        self.b = draw((3 * H,), H, generator, like)

    def encode(self, batch: IrregularBatch) -> Tensor:
        """[x_t or else x_t', m_t, δ_t] of every step, (B, T, 3D)."""
        self.check_batch(batch)
        last = batch.last_observed(self.input_decay.mean)
        return join_like(batch.values, last, batch.mask, batch.deltas())

    def project(self, u: Tensor) -> Tensor:
        """[γh_t, W_x x̂_t + W_m m_t + b] of every step, (B, T, H + 3H)."""
        return torch.cat(self.project_parts(u), dim=-1)

    def project_parts(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The same in two parts, (B, T, H) and (B, T, 3H)."""
        self.check_encoded(u, 3 * self.input_size, times=self.input_size)
        time_major = u.transpose(0, 1)  # (T, B, 3D): a step's rows lie together
        x, m, delta = time_major.flatten(0, 1).chunk(3, dim=-1)  # (T·B, D)
        gamma_h = decay(torch.addmm(self.b_gamma_h, delta, self.W_gamma_h.t()))
        x_hat = self.input_decay(x, m, delta)
        p = torch.addmm(self.b, x_hat, self.W_xh.t()).addmm_(m, self.W_mh.t())
        gamma_h, p = (part.unflatten(0, time_major.shape[:2]) for part in (gamma_h, p))
        return gamma_h.transpose(0, 1), p.transpose(0, 1)

    def gates(self, h: Tensor, p: Tensor) -> GRUDGates:
        """γh_t, r_t, z_t and n_t, from (B, H) and (B, 4H)."""
        return gates(h, p, self.W_hh)

    def update(self, h: Tensor, gates: GRUDGates) -> Tensor:
        """(1 - z_t) ⊙ ĥ_{t-1} + z_t ⊙ n_t, (B, H)."""
        return update(h, gates)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """The state after a step, from (B, H) and (B, 4H) to (B, H)."""
        return move(h, p, self.W_hh)

    def run(self, u: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
        """All states (B, T, H), by the faster loop where it can."""
        gamma_h, p = self.project_parts(u)
        active = steps_that_move(lengths, u.shape[1])
        if gru_d_loop.can_run(gamma_h, p, self.W_hh, first):
            return gru_d_loop.run(move, gamma_h, p, self.W_hh, first, active)
        return scan(self.step, first, torch.cat([gamma_h, p], dim=-1), active)


def gates(h: Tensor, p: Tensor, W_hh: Tensor) -> GRUDGates:
    """γh_t, r_t, z_t and n_t, from h_{t-1} (B, H), [γh_t, W_x x̂_t + W_m m_t + b] (B, 4H) and W_hh (3H, H)."""
    H = h.shape[-1]
    gamma_h, p_rz, p_n = p.split([H, 2 * H, H], dim=-1)
    W_rz, W_n = W_hh.split([2 * H, H])
    h_hat = gamma_h * h
    r, z = torch.sigmoid(torch.addmm(p_rz, h_hat, W_rz.t())).chunk(2, dim=-1)
    n = torch.tanh(torch.addmm(p_n, r * h_hat, W_n.t()))
    return GRUDGates(gamma_h, r, z, n)


def update(h: Tensor, gates: GRUDGates) -> Tensor:
    """(1 - z_t) ⊙ ĥ_{t-1} + z_t ⊙ n_t, with ĥ_{t-1} = γh_t ⊙ h_{t-1}, (B, H)."""
    return torch.lerp(gates.gamma_h * h, gates.n, gates.z)


def move(h: Tensor, p: Tensor, W_hh: Tensor) -> Tensor:
    """The state after a step, (B, H)."""
    return update(h, gates(h, p, W_hh))


class InputDecay(nn.Module):
    """The value that stands for an unobserved one: on its way from the last one to the mean.

    ::

        γx = exp(-max(0, w_γx ⊙ δ + b_γx)),   x̂ = m ⊙ x + (1 - m) ⊙ (γx ⊙ x' + (1 - γx) ⊙ x̄)
    """

    def __init__(self, features: int, mean: float | Tensor | None, tau: float, like: Tensor) -> None:
        super().__init__()
        check_positive_number("tau", tau)
        self.register_buffer("mean", check_mean(mean, features, like))
        self.w_gamma_x = nn.Parameter(like.new_full((features,), 1 / tau))
        self.b_gamma_x = nn.Parameter(like.new_zeros(features))

    def forward(self, x: Tensor, m: Tensor, delta: Tensor) -> Tensor:
        """x̂ from x where observed and x' elsewhere, from a mask of 0 and 1, and from δ: (..., D) each."""
        gamma_x = decay(torch.addcmul(self.b_gamma_x, self.w_gamma_x, delta))
        return torch.lerp(torch.lerp(self.mean, x, gamma_x), x, m)


def decay(rate_times_delta: Tensor) -> Tensor:
    """exp(-max(0, ·)), between 0 and 1; in place, for large new tensors take much of the time."""
    return rate_times_delta.relu_().neg().exp_()


def check_mean(mean: float | Tensor | None, features: int, like: Tensor) -> Tensor:
    """x̄ as one finite number per feature, (D,)."""
    if mean is None:
        remedy = "Standardiser.fit(train).mean, or 0.0 where the values are standardised"
        raise ValueError(f"mean must be given, over the observations of the training set: {remedy}")
    if isinstance(mean, Real):
        check_finite_number("mean", mean)
        mean = torch.tensor(float(mean), dtype=torch.float64).expand(features)
    check_shape("mean", mean, "D", (features,))
    mean = mean.detach().to(like, copy=True)
    check_finite("mean", mean)
    return mean
