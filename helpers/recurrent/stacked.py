"""Layers of cells: each reads the states of the one below."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import dropout

from helpers.arguments import is_finite_number, kind
from helpers.recurrent.bidirectional import Bidirectional
from helpers.recurrent.recurrence import Cell, observed_steps
from helpers.series import IrregularBatch, check_series

Layer = Cell | Bidirectional


class Stacked(nn.Module):
    """Several layers, each of which reads the hidden states of the one below.

    Parameters
    ----------
    *layers : VanillaRNN, LeakyRNN, LSTM, GRU or Bidirectional
        From the one that reads the inputs upwards.
    dropout : float
        Probability with which, in training, a value between two layers is set to zero (and the others are
        divided by 1 - p).

    Raises
    ------
    ValueError
        If there is no layer, one is none of these, does not read what the one below returns, or p is no
        probability.
    """

    def __init__(self, *layers: Layer, dropout: float = 0.0) -> None:
        super().__init__()
        check_dropout(dropout)
        check_layers(layers)
        self.layers, self.dropout = nn.ModuleList(layers), dropout
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def forward(
        self,
        x: "Tensor | IrregularBatch",
        h0: Sequence | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the top layer's hidden state after every step.

        A step at which nothing was observed, and one beyond a series' length, holds the states of all layers.

        Parameters
        ----------
        x : Tensor (B, T, D) or IrregularBatch
            A batch brings its own mask and lengths; its times are not read.
        h0 : sequence, optional
            For each layer what it takes as `h0`, or None.
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
            If shapes, dtypes or devices clash, a length is out of range, or h0 is not one for each layer.
        """
        x, mask, lengths = check_series("x", x, mask, lengths)
        dtype = x.dtype
        moves = None if mask is None else observed_steps(x, mask, lengths)[1]
        for number, (layer, first) in enumerate(zip(self.layers, self._first_states(h0), strict=True)):
            if number:
                x = dropout(x, self.dropout, self.training).to(dtype)  # autocast may have lowered it
                mask = None if moves is None else moves.unsqueeze(-1).expand_as(x)
            x = layer(x, first, mask=mask, lengths=lengths)
        return x

    def _first_states(self, h0: Sequence | None) -> Sequence:
        if h0 is None:
            return [None] * len(self.layers)
        if not isinstance(h0, tuple | list) or len(h0) != len(self.layers):
            found = len(h0) if isinstance(h0, tuple | list) else kind(h0)
            expected = f"one initial state for each of {len(self.layers)} layers"
            raise ValueError(f"h0 must be {expected}: got {found}")
        return h0


def check_layers(layers: Sequence[Layer]) -> None:
    """Refuse no layers, what is no layer, and two that do not fit."""
    if not layers:
        raise ValueError("layers must be at least one: got none")
    for number, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers must be cells or Bidirectional: layer {number} is {kind(layer)}")
        if number and layer.input_size != layers[number - 1].output_size:
            sizes = f"{layers[number - 1].output_size} features: it reads {layer.input_size}"
            raise ValueError(f"layer {number} must read what the one below returns, {sizes}")


def check_dropout(probability: float) -> None:
    """Refuse what is no probability, and 1, which would leave nothing."""
    if not (is_finite_number(probability) and 0 <= probability < 1):
        raise ValueError(f"dropout must be at least 0 and less than 1: got {probability!r}")
