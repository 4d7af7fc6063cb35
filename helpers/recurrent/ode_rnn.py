"""ODE-RNN: between two observations the state follows a learned differential equation."""

import torch
from torch import Generator, Tensor

from helpers.arguments import check_whole_number
from helpers.recurrent.gru import GRU
from helpers.recurrent.irregular import draw
from helpers.recurrent.runge_kutta import FlowingCell


class ODERNN(FlowingCell):
    """A state that follows a neural differential equation, and jumps where something is observed.

    ::

        dh/dt = f(h) = W_2 tanh(W_1 h + b_1) + b_2        for the time Δt since the step before
        h_t = GRU(h'_t, [x_t, m_t])                       where anything was observed

    An unobserved x is zero, which is the mean of a standardised feature. The equation is solved by steps of
    at most `max_step` of the classical Runge-Kutta method: `helpers.odes.solve` has solvers that watch
    their error.

    Parameters
    ----------
    input_size : int
        D, the number of features.
    hidden_size : int
        H, the number of units.
    field_size : int, optional
        M, the number of hidden units of f; H where left out.
    max_step : float
        Longest step of the solver, in the unit of the times. f moves a state by something like 1 in a unit of
        time, so choose one in which gaps are near 1.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the batches must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, or the longest step not positive; in use, if a gap is longer than
        10 000 of them.

    Source: Rubanova, Chen and Duvenaud (2019), Latent ordinary differential equations for irregularly-sampled
    time series, NeurIPS, algorithm 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        field_size: int | None = None,
        max_step: float = 0.25,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, max_step)
        H, M = hidden_size, hidden_size if field_size is None else field_size
        check_whole_number("field_size", M)
        like = torch.empty(0, device=device, dtype=dtype)
        self.W_1, self.b_1 = draw((M, H), H, generator, like), draw((M,), H, generator, like)
        self.W_2, self.b_2 = draw((H, M), M, generator, like), draw((H,), M, generator, like)
        self.cell = GRU(2 * input_size, hidden_size, generator=generator, device=device, dtype=dtype)

    def field(self, h: Tensor) -> Tensor:
        """dh/dt = f(h), (B, H)."""
        return torch.addmm(self.b_2, torch.tanh(torch.addmm(self.b_1, h, self.W_1.t())), self.W_2.t())
