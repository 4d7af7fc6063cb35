"""The same network as one of `torch.nn`, in both directions."""

import torch
from torch import Generator, nn

from helpers.arguments import kind
from helpers.recurrent.bidirectional import Bidirectional
from helpers.recurrent.fused import TorchWeights
from helpers.recurrent.gru import GRU
from helpers.recurrent.lstm import LSTM
from helpers.recurrent.recurrence import Cell
from helpers.recurrent.stacked import Stacked
from helpers.recurrent.vanilla import LeakyRNN, VanillaRNN

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def from_torch(rnn: nn.RNN | nn.LSTM | nn.GRU) -> Cell | Bidirectional | Stacked:
    """Return the network that computes what one of PyTorch's does, with a copy of its weights.

    Parameters
    ----------
    rnn : torch.nn.RNN, torch.nn.LSTM or torch.nn.GRU
        Of any number of layers, with one direction or two; its `batch_first` does not matter.

    Returns
    -------
    VanillaRNN, LSTM or GRU
        Or, of two directions, a `Bidirectional`; of several layers, a `Stacked`.

    Raises
    ------
    ValueError
        If it is none of the three, or an LSTM with a projection.
    """
    if not isinstance(rnn, nn.RNN | nn.LSTM | nn.GRU):
        raise ValueError(f"rnn must be a torch.nn.RNN, LSTM or GRU: got {type(rnn).__name__}")
    if rnn.proj_size:
        raise ValueError(f"rnn must be without projection: its proj_size is {rnn.proj_size}")
    layers = [_layer(rnn, number) for number in range(rnn.num_layers)]
    model = layers[0] if len(layers) == 1 else Stacked(*layers, dropout=rnn.dropout)
    return model.train(rnn.training)


def to_torch(model: Cell | Bidirectional | Stacked) -> nn.RNN | nn.LSTM | nn.GRU:
    """Return PyTorch's layer that computes the same, batch first, with a copy of the weights.

    Parameters
    ----------
    model : VanillaRNN, LSTM, GRU, or a Bidirectional or Stacked of them
        All of its cells of one kind, with the same number of units and all with a bias or none.

    Raises
    ------
    ValueError
        If PyTorch has no such layer: with cells of several kinds or sizes, linear or leaky units, or a reset
        gate before the matrix product.
    """
    layers = list(model.layers) if isinstance(model, Stacked) else [model]
    cells = [_cells(layer) for layer in layers]
    first = cells[0][0]
    kinds = {_kind(cell) for layer in cells for cell in layer}
    shapes = {
        (cell.hidden_size, cell.b is None, cell.W_hh.dtype, len(layer)) for layer in cells for cell in layer
    }
    if len(kinds) > 1 or len(shapes) > 1:
        raise ValueError(
            "model must have cells of one kind, size, bias and dtype, and as many directions in each layer"
        )
    of_torch, options = kinds.pop()
    rnn = of_torch(
        first.input_size,
        first.hidden_size,
        len(layers),
        bias=first.b is not None,
        batch_first=True,
        dropout=model.dropout if isinstance(model, Stacked) else 0.0,
        bidirectional=len(cells[0]) == 2,
        device=first.W_xh.device,
        dtype=first.W_xh.dtype,
        **dict(options),
    )
    for number, layer in enumerate(cells):
        for cell, suffix in zip(layer, ("", "_reverse"), strict=False):
            _fill(rnn, number, suffix, cell.torch_weights())
    return rnn.train(model.training)


def _layer(rnn: nn.RNNBase, number: int) -> Cell | Bidirectional:
    cells = [_cell(rnn, number, suffix) for suffix in ("", "_reverse")[: 1 + rnn.bidirectional]]
    return Bidirectional(*cells) if rnn.bidirectional else cells[0]


def _cell(rnn: nn.RNNBase, number: int, suffix: str) -> Cell:
    """One layer and direction."""
    names = [f"{name}_l{number}{suffix}" for name in WEIGHTS]
    weights = TorchWeights(*(getattr(rnn, name, None) for name in names))
    how = {"bias": rnn.bias, "device": weights.W_ih.device, "dtype": weights.W_ih.dtype}
    how["generator"] = Generator(weights.W_ih.device)  # what it draws is overwritten
    sizes = weights.W_ih.shape[1], rnn.hidden_size
    if isinstance(rnn, nn.RNN):
        cell = VanillaRNN(*sizes, rnn.nonlinearity, **how)
    else:
        cell = (LSTM if isinstance(rnn, nn.LSTM) else GRU)(*sizes, **how)
    cell.take_torch_weights(weights)
    return cell


def _cells(layer: Cell | Bidirectional) -> tuple[Cell, ...]:
    return (layer.forwards, layer.backwards) if isinstance(layer, Bidirectional) else (layer,)


def _kind(cell: Cell) -> tuple[type[nn.RNNBase], tuple]:
    """PyTorch's class of the same cell, and what it must be told besides."""
    if isinstance(cell, VanillaRNN) and not isinstance(cell, LeakyRNN) and cell.activation != "linear":
        return nn.RNN, (("nonlinearity", cell.activation),)
    if isinstance(cell, LSTM):
        return nn.LSTM, ()
    if isinstance(cell, GRU) and cell.reset == "after":
        return nn.GRU, ()
    raise ValueError(f"model must be of cells that torch.nn has, too: got {_in_words(cell)}")


def _in_words(cell: object) -> str:
    return repr(cell) if isinstance(cell, Cell) else kind(cell)


@torch.no_grad()
def _fill(rnn: nn.RNNBase, number: int, suffix: str, weights: TorchWeights) -> None:
    for name, weight in zip(WEIGHTS, weights, strict=True):
        if weight is not None:
            getattr(rnn, f"{name}_l{number}{suffix}").copy_(weight)
