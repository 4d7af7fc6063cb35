"""The vanilla recurrent network."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from helpers.recurrent.arguments import check_like, check_sequence, check_size, observed_steps
from helpers.recurrent.recurrence import unroll

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "linear": torch.positive,
}


class VanillaRNN(nn.Module):
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
        super().__init__()
        check_size("input_size", input_size, least=0)
        check_size("hidden_size", hidden_size)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}: got {activation!r}")
        self.input_size, self.state_size = input_size, hidden_size
        self.activation, self.phi = activation, ACTIVATIONS[activation]
        self.W_xh = nn.Parameter(torch.empty(hidden_size, input_size, device=device, dtype=dtype))
        self.W_hh = nn.Parameter(torch.empty(hidden_size, hidden_size, device=device, dtype=dtype))
        self.b = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype)) if bias else None
        bound = hidden_size**-0.5
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def project(self, x: Tensor) -> Tensor:
        """p_t = W_xh x_t + b for all steps in one matrix product, (B, T, D) to (B, T, H)."""
        time_major = linear(x.transpose(0, 1), self.W_xh, self.b)  # (T, B, H): each step's rows lie together
        return time_major.transpose(0, 1)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """φ(W_hh h_{t-1} + p_t), from (B, H) and (B, H) to (B, H)."""
        return self.phi(torch.addmm(p, h, self.W_hh.t()))

    def forward(
        self,
        x: Tensor,
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
        x : Tensor (B, T, D)
        h0 : Tensor (B, H), optional
            The state before the first step; zeros where left out.
        mask : Tensor (B, T, D), bool, optional
            True where observed.
        lengths : Tensor (B,), integers, optional
            Number of real steps of each series.

        Returns
        -------
        Tensor (B, T, H)

        Raises
        ------
        ValueError
            If shapes, dtypes or devices clash, or a length is out of range.
        """
        check_sequence("x", x, self.input_size)
        check_like("x", x, "the weights", self.W_xh)
        x, active = observed_steps(x, mask, lengths)
        return unroll(self, x, h0, active)

    @torch.no_grad()
    def copy_weights(self, rnn: nn.RNN) -> None:
        """Take the weights of a `torch.nn.RNN` with one layer; its two biases add up to b.

        Raises
        ------
        ValueError
            If it has several layers or directions, other sizes, or a bias where this network has none;
            if this network's weights are already constrained.
        """
        if parametrize.is_parametrized(self):
            raise ValueError("copy weights before they are constrained: this network has a parametrisation")
        if rnn.num_layers != 1 or rnn.bidirectional:
            raise ValueError(f"rnn must have one layer and one direction: got {rnn}")
        sizes, own = (rnn.input_size, rnn.hidden_size), (self.input_size, self.state_size)
        if sizes != own:
            raise ValueError(f"rnn must have input and hidden size {own}: got {sizes}")
        if rnn.bias and self.b is None:
            raise ValueError("rnn has a bias, and this network has none to take it")
        self.W_xh.copy_(rnn.weight_ih_l0)
        self.W_hh.copy_(rnn.weight_hh_l0)
        if self.b is not None:
            self.b.copy_(rnn.bias_ih_l0 + rnn.bias_hh_l0 if rnn.bias else torch.zeros_like(self.b))

    def extra_repr(self) -> str:
        """Sizes and activation, for printing."""
        return f"{self.input_size}, {self.state_size}, activation={self.activation!r}"
