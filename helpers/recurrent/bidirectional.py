"""Looking both ways: one cell reads a series from its start, another from its end."""

import copy

import torch
from torch import Generator, Tensor, nn

from helpers.arguments import kind, valid_steps
from helpers.recurrent.recurrence import Cell, observed_steps
from helpers.series import IrregularBatch, check_series


class Bidirectional(nn.Module):
    """Two cells side by side, one of which reads every series backwards, from its own last step.

    ::

        →h_t = cell(→h_{t-1}, x_t),   t = 1 … T
        ←h_t = cell(←h_{t+1}, x_t),   t = T … 1
        h_t = (→h_t, ←h_t)

    h_t knows the whole series: as a smoother does, and as no forecast may.

    Parameters
    ----------
    cell : VanillaRNN, LeakyRNN, LSTM or GRU
        Reads forwards.
    backward : the same, optional
        Reads backwards; left out, a copy of `cell` whose weights are drawn anew, as by its constructor: a
        start such as `chrono_` comes after.
    generator : torch.Generator, optional
        Draws the copy's weights; left out, PyTorch's global stream does.

    Raises
    ------
    ValueError
        If either is no cell, or they differ in the number of features.

    Source: Schuster and Paliwal (1997), Bidirectional recurrent neural networks, IEEE Transactions on Signal
    Processing 45:2673-2681.
    """

    def __init__(
        self, cell: Cell, backward: Cell | None = None, *, generator: Generator | None = None
    ) -> None:
        super().__init__()
        check_cell("cell", cell)
        if backward is None:
            backward = copy.deepcopy(cell)
            backward.reset_parameters(generator)
        check_cell("backward", backward)
        if backward.input_size != cell.input_size:
            sizes = f"{cell.input_size} features: got {backward.input_size}"
            raise ValueError(f"backward must read what cell reads, {sizes}")
        self.forwards, self.backwards = cell, backward
        self.input_size = cell.input_size
        self.output_size = cell.output_size + backward.output_size

    def forward(
        self,
        x: "Tensor | IrregularBatch",
        h0: tuple[Tensor, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return both hidden states of every step.

        A step at which nothing was observed holds either state. Beyond a series' length the forward state is
        held, and the backward one is where it starts.

        Parameters
        ----------
        x : Tensor (B, T, D) or IrregularBatch
            A batch brings its own mask and lengths; its times are not read.
        h0 : two Tensors (B, S), optional
            The state before the first step, and the one after the last; zeros where left out.
        mask : Tensor (B, T, D), bool, optional
            True where observed.
        lengths : Tensor (B,), int, optional
            Number of real steps of each series.

        Returns
        -------
        Tensor (B, T, H + H)
            The forward cell's H first.

        Raises
        ------
        ValueError
            If shapes, dtypes or devices clash, or a length is out of range.
        """
        x, mask, lengths = check_series("x", x, mask, lengths)
        observed_steps(x, mask, lengths)
        first, last = check_pair(h0)
        ahead = self.forwards(x, first, mask=mask, lengths=lengths)
        x, mask = (None if each is None else reverse(each, lengths) for each in (x, mask))
        back = reverse(self.backwards(x, last, mask=mask, lengths=lengths), lengths)
        if lengths is not None:
            start = back.new_zeros(()) if last is None else self.backwards.output(last).unsqueeze(1)
            back = torch.where(valid_steps(lengths, back.shape[1]).unsqueeze(-1), back, start)
        return torch.cat([ahead, back], dim=-1)


def reverse(series: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Turn each series (B, T, ...) round within its own length; what lies beyond stays where it is."""
    if lengths is None:
        return series.flip(1)
    step = torch.arange(series.shape[1], device=series.device)
    mirrored = lengths.unsqueeze(-1) - 1 - step  # (B, T)
    place = torch.where(mirrored >= 0, mirrored, step)
    return series.gather(1, place.unsqueeze(-1).expand_as(series))


def check_cell(name: str, cell: Cell) -> None:
    """Refuse what is no cell of this room."""
    if not isinstance(cell, Cell):
        raise ValueError(f"{name} must be a cell, such as an LSTM: got {kind(cell)}")


def check_pair(h0: tuple[Tensor, Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    """Two initial states, or none."""
    if h0 is None:
        return None, None
    if not isinstance(h0, tuple | list) or len(h0) != 2:
        raise ValueError(f"h0 must be two states, one for each direction: got {kind(h0)}")
    return tuple(h0)
