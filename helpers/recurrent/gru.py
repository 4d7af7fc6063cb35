"""The gated recurrent unit: one state, and two gates."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor, nn

from helpers.arguments import check_one_of
from helpers.recurrent.fused import TorchWeights
from helpers.recurrent.recurrence import Cell, GatedCell

RESETS = ("after", "before")


class GRUGates(NamedTuple):
    """What opens and closes at a step, and what is offered: (B, H) each."""

    r: Tensor
    z: Tensor
    n: Tensor


@dataclass(frozen=True, eq=False)
class GRUTrace:
    """The state and all gates of a GRU at every step.

    Where a step holds the state, its gates are those that it would have had, of an input of zeros; nothing
    depends on them.

    Attributes
    ----------
    h : Tensor (B, T, H)
        Hidden state.
    r, z : Tensor (B, T, H)
        Reset and update gate, between 0 and 1; z = 0 keeps the state.
    n : Tensor (B, T, H)
        The candidate, between -1 and 1.
    """

    h: Tensor
    r: Tensor
    z: Tensor
    n: Tensor


class GRU(GatedCell):
    """A state that moves, unit by unit, as far towards a new one as its update gate is open.

    ::

        r_t = σ(W_xr x_t + W_hr h_{t-1} + b_r)                       reset gate
        z_t = σ(W_xz x_t + W_hz h_{t-1} + b_z)                       update gate
        n_t = tanh(W_xn x_t + b_n + r_t ⊙ (W_hn h_{t-1} + b_hn))     candidate, reset="after"
        n_t = tanh(W_xn x_t + b_n + W_hn (r_t ⊙ h_{t-1}))            candidate, reset="before"
        h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t,   t = 1 … T

    z_t = 0 keeps the state, as in Chung et al. (2014) and Che et al. (2018); Cho et al. (2014) and PyTorch
    write 1 - z_t for it. The reset gate acts after the matrix product in PyTorch and cuDNN, before it in both
    papers. The three blocks of weights lie below each other in this order, PyTorch's: `W_xh` (3H, D), `W_hh`
    (3H, H) and `b` (3H,), beside `b_hn` (H,) where the reset gate acts after the product, all drawn uniformly
    from ±1/√H.

    Parameters
    ----------
    input_size : int
        D, the number of features; 0 for a network without input.
    hidden_size : int
        H, the number of units.
    reset : "after" or "before"
        Whether the reset gate acts after the matrix product or before it.
    update_bias : float, optional
        Start of b_z; a negative one keeps. Left out, drawn as all other weights. Needs a bias.
    bias : bool
        Without it, b and b_hn are None.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the inputs must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, the convention is unknown, or an update bias is no finite number or
        has no b to go to.

    Source: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, EMNLP, equations
    5-8; Chung et al. (2014), Empirical evaluation of gated recurrent neural networks on sequence modeling.
    """

    drawn: ClassVar = (*Cell.drawn, "b_hn")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: str = "after",
        update_bias: float | None = None,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=3, bias=bias, device=device, dtype=dtype)
        check_one_of("reset", reset, RESETS)
        self.reset = reset
        needs_b_hn = bias and reset == "after"
        self.b_hn = nn.Parameter(torch.empty_like(self.b[:hidden_size])) if needs_b_hn else None
        self.start_bias("update_bias", update_bias, gate=1)
        self.reset_parameters(generator)

    def gates(self, h: Tensor, p: Tensor) -> GRUGates:
        """r_t, z_t and n_t, from (B, H) and (B, 3H)."""
        H = self.hidden_size
        p_rz, p_n = p.split([2 * H, H], dim=-1)
        if self.reset == "before":
            W_rz, W_n = self.W_hh.split([2 * H, H])
            r, z = torch.sigmoid(torch.addmm(p_rz, h, W_rz.t())).chunk(2, dim=-1)
            return GRUGates(r, z, torch.tanh(torch.addmm(p_n, r * h, W_n.t())))
        q_rz, q_n = (h @ self.W_hh.t()).split([2 * H, H], dim=-1)
        r, z = torch.sigmoid(p_rz + q_rz).chunk(2, dim=-1)
        q_n = q_n if self.b_hn is None else q_n + self.b_hn.to(q_n)
        return GRUGates(r, z, torch.tanh(torch.addcmul(p_n, r, q_n)))

    def update(self, h: Tensor, gates: GRUGates) -> Tensor:
        """(1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t, (B, H)."""
        return torch.lerp(h, gates.n, gates.z)

    def trace(self, state: Tensor, gates: GRUGates) -> GRUTrace:
        """States (B, T, H) and gates, by name."""
        return GRUTrace(state, *gates)

    kernel = staticmethod(torch.gru)

    @property
    def no_kernel(self) -> str | None:
        """Why there is no fused kernel for this cell, if there is none."""
        return None if self.reset == "after" else "it knows a reset gate only after the matrix product"

    def torch_weights(self) -> TorchWeights:
        """As in `torch.nn.GRU`, whose update gate is 1 - z_t = σ(-a): its weights have the other sign."""
        sign = self._sign_in_torch()
        W_ih, W_hh = sign.unsqueeze(1) * self.W_xh, sign.unsqueeze(1) * self.W_hh
        if self.b is None:
            return TorchWeights(W_ih, W_hh, None, None)
        rest = self.b.new_zeros(2 * self.hidden_size)
        return TorchWeights(W_ih, W_hh, sign * self.b, torch.cat([rest, self.b_hn]))

    @torch.no_grad()
    def take_torch_weights(self, weights: TorchWeights) -> None:
        """The biases of the first two gates add up; the update gate's weights change their sign."""
        sign, H = self._sign_in_torch(), self.hidden_size
        self.W_xh.copy_(sign.unsqueeze(1) * weights.W_ih)
        self.W_hh.copy_(sign.unsqueeze(1) * weights.W_hh)
        if self.b is not None:
            b_rz, b_hn = weights.b_hh.split([2 * H, H])
            self.b_hn.copy_(b_hn)
            self.b.copy_(sign * (weights.b_ih + torch.cat([b_rz, torch.zeros_like(self.b_hn)])))

    def extra_repr(self) -> str:
        """Sizes and convention, for printing."""
        return f"{super().extra_repr()}, reset={self.reset!r}"

    def _sign_in_torch(self) -> Tensor:
        """-1 for the rows of the update gate, (3H,)."""
        ones = self.W_hh.new_ones(self.hidden_size)
        return torch.cat([ones, -ones, ones])
