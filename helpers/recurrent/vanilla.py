"""The vanilla recurrent network, and the leaky one, whose units forget with a time constant."""

from collections.abc import Callable
from numbers import Real

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from helpers.arguments import check_one_of, check_positive_number, check_tensor, refuse_where
from helpers.recurrent.recurrence import Cell, observed_steps, unroll
from helpers.series import IrregularBatch

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "linear": torch.positive,
}


class VanillaRNN(Cell):
    """A state that is renewed, at every step, from the input and from itself.

    ::

        h_t = φ(W_xh x_t + W_hh h_{t-1} + b),   t = 1 … T

    The weights are named as in the equation: `W_xh` (H, D), `W_hh` (H, H) and `b` (H,), all drawn
    uniformly from ±1/√H; `orthogonal_`, `spectral_radius_` and `spectral_norm_` start `W_hh` otherwise.

    Parameters
    ----------
    input_size : int
        D, the number of features; 0 for a network without input.
    hidden_size : int
        H, the number of units.
    activation : "tanh", "relu" or "linear"
        φ.
    bias : bool
        Without it, b is None.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the inputs must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number or the activation is unknown.

    Source: Elman (1990), Finding structure in time, Cognitive Science 14:179-211.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str = "tanh",
        *,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, device=device, dtype=dtype)
        check_one_of("activation", activation, ACTIVATIONS)
        self.activation, self.phi = activation, ACTIVATIONS[activation]
        self.reset_parameters(generator)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """φ(W_hh h_{t-1} + p_t), from (B, H) and (B, H) to (B, H)."""
        return self.phi(torch.addmm(p, h, self.W_hh.t()))

    def forward(
        self,
        x: "Tensor | IrregularBatch",
        h0: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the state after every step.

        A value whose mask is False is never read: it adds nothing to W_xh x_t, as the mean of a standardised
        feature would. A step at which nothing was observed, and one beyond a series' length, holds the
        state, so that `states[:, -1]` is each series' last state.

        Parameters
        ----------
        x : Tensor (B, T, D) or IrregularBatch
            A batch brings its own mask and lengths; its times are not read.
        h0 : Tensor (B, H), optional
            The state before the first step; zeros where left out.
        mask : Tensor (B, T, D), bool, optional
            True where observed.
        lengths : Tensor (B,), int, optional
            Number of real steps of each series.

        Returns
        -------
        Tensor (B, T, H)

        Raises
        ------
        ValueError
            If shapes, dtypes or devices clash, or a length is out of range.
        """
        x, active = observed_steps(x, mask, lengths)
        return unroll(self, x, h0, active)

    def extra_repr(self) -> str:
        """Sizes and activation, for printing."""
        return f"{self.input_size}, {self.state_size}, activation={self.activation!r}"


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
    tau : float or Tensor (H,)
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
            refuse_where(
                alpha >= 1,
                lambda unit: f"tau must be larger than dt where it is learnt: unit {unit} has tau = dt",
            )
            self.alpha = nn.Parameter(alpha)
            parametrize.register_parametrization(self, "alpha", _Logistic())
        else:
            self.register_buffer("alpha", alpha)

    @property
    def tau(self) -> Tensor:
        """τ = Δt / α of each unit, (H,)."""
        return self.dt / self.alpha

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """(1 - α) h_{t-1} + α φ(W_hh h_{t-1} + p_t), from (B, H) and (B, H) to (B, H)."""
        return self.update(h, self.gates(h, p))

    def gates(self, h: Tensor, p: Tensor) -> Tensor:
        """φ(W_hh h_{t-1} + p_t): what a vanilla network would renew the state to."""
        return super().step(h, p)

    def update(self, h: Tensor, renewed: Tensor) -> Tensor:
        """(1 - α) h_{t-1} + α times what it would be renewed to."""
        return torch.lerp(h, renewed, self.alpha)


class _Logistic(nn.Module):
    """α = 1 / (1 + e^(-a)), between 0 and 1 for every a."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.sigmoid(a)

    def right_inverse(self, alpha: Tensor) -> Tensor:
        return torch.logit(alpha)


def _time_constants(tau: float | Tensor, dt: float, like: Tensor) -> Tensor:
    """Check τ and Δt, and return τ of each unit, (H,)."""
    check_positive_number("dt", dt)
    if isinstance(tau, bool) or not isinstance(tau, Real):
        check_tensor("tau", tau, "be one number or a tensor")
    tau = torch.as_tensor(tau, dtype=like.dtype, device=like.device)
    units = len(like)
    if tau.shape not in {(), (units,)}:
        raise ValueError(f"tau must be one number or have shape (H,) = ({units},): got {tuple(tau.shape)}")
    tau = tau.detach().expand(units)
    refuse_where(
        ~(tau.isfinite() & (tau >= dt)),
        lambda unit: f"tau must be finite and at least dt = {dt}: unit {unit} has tau = {tau[unit].item()}",
    )
    return tau
