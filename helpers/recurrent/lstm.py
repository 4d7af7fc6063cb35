"""The long short-term memory: a memory of its own, and three gates around it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from helpers.recurrent.recurrence import GatedCell


class LSTMGates(NamedTuple):
    """What opens and closes at a step, and what is offered: (B, H) each."""

    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


@dataclass(frozen=True, eq=False)
class LSTMTrace:
    """Both states and all gates of an LSTM at every step.

    Where a step holds the state, its gates are those that it would have had, of an input of zeros; nothing
    depends on them.

    Attributes
    ----------
    h, c : Tensor (B, T, H)
        Hidden state and cell state.
    i, f, o : Tensor (B, T, H)
        Input, forget and output gate, between 0 and 1.
    g : Tensor (B, T, H)
        The candidate, between -1 and 1.
    """

    h: Tensor
    c: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


class LSTM(GatedCell):
    """A cell state that is kept by one gate, written by a second and read by a third.

    ::

        i_t = σ(W_xi x_t + W_hi h_{t-1} + b_i)           input gate
        f_t = σ(W_xf x_t + W_hf h_{t-1} + b_f)           forget gate
        g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)        candidate
        o_t = σ(W_xo x_t + W_ho h_{t-1} + b_o)           output gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t),   t = 1 … T

    The four blocks of weights lie below each other in this order, PyTorch's: `W_xh` (4H, D), `W_hh` (4H, H)
    and `b` (4H,), all drawn uniformly from ±1/√H. The state (B, 2H) of the tools is h and c, joined.

    Parameters
    ----------
    input_size : int
        D, the number of features; 0 for a network without input.
    hidden_size : int
        H, the number of units.
    forget_bias : float, optional
        Start of b_f, such as `forget_bias_for(tau, dt)`; left out, drawn as all other weights. Needs a bias.
    bias : bool
        Without it, b is None.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the inputs must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, or a forget bias is no finite number or has no b to go to.

    Source: Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9:1735-1780; the
    forget gate is that of Gers, Schmidhuber and Cummins (2000), Learning to forget, Neural Computation
    12:2451-2471.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float | None = None,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=4, vectors=2, bias=bias, device=device, dtype=dtype)
        self.start_bias("forget_bias", forget_bias, gate=1)
        self.reset_parameters(generator)

    def gates(self, state: Tensor, p: Tensor) -> LSTMGates:
        """i_t, f_t, g_t and o_t, from (B, 2H) and (B, 4H)."""
        h, _ = state.chunk(2, dim=-1)
        i, f, g, o = torch.addmm(p, h, self.W_hh.t()).chunk(4, dim=-1)
        return LSTMGates(torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o))

    def update(self, state: Tensor, gates: LSTMGates) -> Tensor:
        """h_t and c_t, joined (B, 2H): of the state before, only c_{t-1} is read."""
        _, c = state.chunk(2, dim=-1)
        c = gates.f * c + gates.i * gates.g
        h = gates.o * torch.tanh(c)
        return torch.cat([h, c], dim=-1)

    def output(self, state: Tensor) -> Tensor:
        """h, from (..., 2H): what a readout or a layer above reads."""
        return state[..., : self.hidden_size]

    def trace(self, state: Tensor, gates: LSTMGates) -> LSTMTrace:
        """States (B, T, 2H) and gates, by name."""
        return LSTMTrace(*state.chunk(2, dim=-1), *gates)

    kernel = staticmethod(torch.lstm)
