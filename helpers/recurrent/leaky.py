"""The leaky recurrent network: units that forget with a time constant."""

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from helpers.recurrent.vanilla import VanillaRNN


class LeakyRNN(VanillaRNN):
    """A state that moves only a part of the way to where a vanilla network would put it.

    ::

        h_t = (1 - α) h_{t-1} + α φ(W_xh x_t + W_hh h_{t-1} + b),   α = Δt / τ

    This is one Euler step of τ dh/dt = -h + φ(W_xh x + W_hh h + b), so that τ is the time in which a unit
    without input forgets all but 1/e (exactly so as Δt → 0). With τ = Δt it is `VanillaRNN`.

    Parameters
    ----------
    input_size, hidden_size, activation, bias, generator, device, dtype
        As for `VanillaRNN`.
    tau : float, or Tensor of shape (H,)
        Time constant τ, one for all units or one for each, in the unit of `dt` and at least `dt`.
    dt : float
        Time Δt between two steps.
    learn_tau : bool
        Train a τ for each unit, from `tau` on, which must then be larger than `dt`. What is trained is
        a with α = 1 / (1 + e^(-a)), so that τ stays larger than Δt whatever the optimiser does.

    Raises
    ------
    ValueError
        As `VanillaRNN`, or if Δt is not positive, τ is too short, or τ has another shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str = "tanh",
        *,
        tau: float | Tensor,
        dt: float,
        learn_tau: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, activation, bias=bias, generator=generator, device=device, dtype=dtype
        )
        self.dt = dt
        alpha = dt / _time_constants(tau, dt, self.W_hh)
        if learn_tau:
            _check_room_to_learn(alpha)
            self.alpha = nn.Parameter(alpha)
            parametrize.register_parametrization(self, "alpha", _Logistic())
        else:
            self.register_buffer("alpha", alpha)

    @property
    def tau(self) -> Tensor:
        """τ = Δt / α of each unit, shape (H,)."""
        return self.dt / self.alpha

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """(1 - α) h_{t-1} + α φ(W_hh h_{t-1} + p_t), from (B, H) and (B, H) to (B, H)."""
        return torch.lerp(h, super().step(h, p), self.alpha)


class _Logistic(nn.Module):
    """α = 1 / (1 + e^(-a)), between 0 and 1 for every a."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.sigmoid(a)

    def right_inverse(self, alpha: Tensor) -> Tensor:
        return torch.logit(alpha)


def _time_constants(tau: float | Tensor, dt: float, like: Tensor) -> Tensor:
    """Check τ and Δt, and return τ of each unit, (H,)."""
    if not 0.0 < dt < float("inf"):
        raise ValueError(f"dt must be positive and finite: got {dt}")
    tau = torch.as_tensor(tau, dtype=like.dtype, device=like.device)
    units = len(like)
    if tau.shape not in {(), (units,)}:
        raise ValueError(f"tau must be one number or have shape (H,) = ({units},): got {tuple(tau.shape)}")
    tau = tau.detach().expand(units)
    wrong = ~(tau.isfinite() & (tau >= dt))
    if wrong.any():
        unit = int(wrong.nonzero()[0])
        raise ValueError(
            f"tau must be finite and at least dt = {dt}: unit {unit} has tau = {tau[unit].item()}"
        )
    return tau


def _check_room_to_learn(alpha: Tensor) -> None:
    if (alpha >= 1).any():
        unit = int((alpha >= 1).nonzero()[0])
        raise ValueError(f"tau must be larger than dt where it is learnt: unit {unit} has tau = dt")
