"""GRU-ODE: the limit of a GRU whose steps become ever shorter and more."""

import torch
from torch import Generator, Tensor

from helpers.recurrent.gru import GRU
from helpers.recurrent.runge_kutta import FlowingCell


class GRUODE(FlowingCell):
    """A state that follows the differential equation of a GRU, and jumps where something is observed.

    ::

        h_t - h_{t-1} = z ⊙ (n - h_{t-1})                 a step of a GRU without input
        dh/dt = z(h) ⊙ (n(h) - h)                         the same as a flow, for the time Δt
        h_t = GRU(h'_t, [x_t, m_t])                       where anything was observed

    with z and n of `flow`, a GRU without input whose reset gate acts before the matrix product; the paper
    writes 1 - z for z. A state that starts between -1 and 1 stays there. The jump is a plain GRU, `cell`,
    which has weights of its own; the paper's is one that also reads what the state had predicted. An
    unobserved x is zero, which is the mean of a standardised feature.

    Parameters
    ----------
    input_size : int
        D, the number of features.
    hidden_size : int
        H, the number of units.
    max_step : float
        Longest step of the classical Runge-Kutta method, in the unit of the times. No unit returns faster
        than with the time constant 1, so choose a unit of time in which gaps are near 1.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the batches must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number, or the longest step not positive; in use, if a gap is longer than
        10 000 of them.

    Source: De Brouwer et al. (2019), GRU-ODE-Bayes: continuous modeling of sporadically-observed time series,
    NeurIPS.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        max_step: float = 0.25,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, max_step)
        how = {"generator": generator, "device": device, "dtype": dtype}
        self.flow = GRU(0, hidden_size, reset="before", **how)
        self.flow.W_xh.requires_grad_(False)  # no entries: no gradient to wait for in a distributed run
        self.cell = GRU(2 * input_size, hidden_size, **how)

    def field(self, h: Tensor) -> Tensor:
        """dh/dt = z(h) ⊙ (n(h) - h), (B, H)."""
        gates = self.flow.gates(h, self.flow.b)
        return gates.z * (gates.n - h)
