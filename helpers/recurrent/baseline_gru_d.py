"""GRU-D with a hidden decay that is a flow: back to a baseline, by the time that has passed."""

import math

import torch
from torch import Generator, Tensor, nn

from helpers.recurrent.gru import GRU
from helpers.recurrent.gru_d import InputDecay
from helpers.recurrent.irregular import JumpingCell, check_duration, check_sizes, gaps, join_like
from helpers.series import IrregularBatch


class BaselineGRUD(JumpingCell):
    """A state that returns, unit by unit, to a baseline of its own, and jumps where something is observed.

    ::

        h'_t = h∞ + (h_{t-1} - h∞) ⊙ exp(-γ Δt),   Δt the time since the step before
        h_t = GRU(h'_t, [x̂_t, m_t])               where anything was observed, h'_t elsewhere

    with x̂_t as in `GRUD`, and a GRU whose reset gate acts before the matrix product, as in the paper. The
    decay is the solution of dh/dt = -γ ⊙ (h - h∞): two steps of Δt are one of 2Δt, whatever the grid, a
    step without an observation only lets time pass, and a long gap ends in the baseline. γ = exp(log γ) > 0
    and h∞ (H,) are learned.

    Parameters
    ----------
    input_size, hidden_size, mean, generator, device, dtype
        As for `GRUD`.
    tau : float
        Time constant, in the unit of the times, from which all decays start: 1/γ, and that of the inputs.

    Raises
    ------
    ValueError
        As `GRUD`.

    Source: after Che et al. (2018), Recurrent neural networks for multivariate time series with missing
    values, Scientific Reports 8:6085, whose hidden decay depends on the grid.
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
        self.input_size, self.hidden_size = input_size, hidden_size
        like = torch.empty(0, device=device, dtype=dtype)
        self.input_decay = InputDecay(input_size, mean, tau, like)
        self.log_gamma = nn.Parameter(like.new_full((hidden_size,), -math.log(tau)))
        self.h_inf = nn.Parameter(like.new_zeros(hidden_size))
        self.cell = GRU(
            2 * input_size, hidden_size, reset="before", generator=generator, device=device, dtype=dtype
        )

    @property
    def gamma(self) -> Tensor:
        """γ, (H,), per unit of the times."""
        return self.log_gamma.exp()

    def encode(self, batch: IrregularBatch) -> Tensor:
        """[x_t or else x_t', m_t, δ_t, Δt] of every step, (B, T, 3D + 1)."""
        self.check_batch(batch)
        last = batch.last_observed(self.input_decay.mean)
        return join_like(batch.values, last, batch.mask, batch.deltas(), gaps(batch))

    def project(self, u: Tensor) -> Tensor:
        """[Δt, whether anything was observed, what the GRU needs] of every step, (B, T, 1 + 1 + 3H)."""
        D = self.input_size
        self.check_encoded(u, 3 * D + 1, times=D + 1)
        x, m, delta, dt = u.split([D, D, D, 1], dim=-1)
        return self.project_jump(self.input_decay(x, m, delta), m, dt)

    def evolve(self, h: Tensor, dt: float | Tensor) -> Tensor:
        """h∞ + (h - h∞) ⊙ exp(-γ Δt), (B, H): one Δt, or one for each series (B, 1)."""
        check_duration(dt)
        return torch.lerp(self.h_inf, h, torch.exp(-self.gamma * dt))
