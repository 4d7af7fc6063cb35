"""A GRU that is told how much time has passed, and may make of it what it will."""

import torch
from torch import Generator, Tensor

from helpers.recurrent.gru import GRU
from helpers.recurrent.irregular import IrregularCell, check_sizes


class GRUDelta(IrregularCell):
    """A GRU with the time since the step before as one more input.

    ::

        h_t = GRU(h_{t-1}, [x_t, m_t, Δt])

    An unobserved x is zero, which is the mean of a standardised feature. Each step of a series moves the
    state, also one at which nothing was observed. Nothing makes two steps of Δt one of 2Δt.

    Parameters
    ----------
    input_size : int
        D, the number of features.
    hidden_size : int
        H, the number of units.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the batches must have the same. Choose a unit of time in which gaps are near 1.

    Raises
    ------
    ValueError
        If a size is not a whole number.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = GRU(2 * input_size + 1, hidden_size, generator=generator, device=device, dtype=dtype)

    def project(self, u: Tensor) -> Tensor:
        """What the GRU needs of every step, (B, T, 3H)."""
        self.check_encoded(u, 2 * self.input_size + 1, times=1)
        return self.cell.project(u)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """A step of the GRU, from (B, H) and (B, 3H) to (B, H)."""
        return self.cell.step(h, p)

    def run(self, u: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
        """All states (B, T, H), by PyTorch's kernel where it can."""
        return self.cell(u, first, lengths=lengths)
