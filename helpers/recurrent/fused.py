"""PyTorch's fused kernels (cuDNN on a GPU), many times faster than a loop in Python over the steps."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class TorchWeights(NamedTuple):
    """One layer's weights in PyTorch's form: gates one below the other, and two biases or none."""

    W_ih: Tensor
    W_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


class Fusible(Protocol):
    """What a kernel asks of a cell: it knows the cell's weights in PyTorch's form."""

    hidden_size: int
    no_kernel: str | None
    kernel: Callable

    def torch_weights(self) -> TorchWeights:
        """The cell's weights."""


def reason_against(cell: Fusible, x: Tensor, active: Tensor | None, return_gates: bool) -> str | None:
    """Why the fused kernel cannot run this cell over these steps; None if it can."""
    if return_gates:
        return "the fused kernel keeps no gates"
    if cell.no_kernel:
        return f"the fused kernel cannot run this cell, for {cell.no_kernel}"
    if not x.numel():
        return "the fused kernel needs at least one series, one step and one feature"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "the fused kernel cannot be run inside torch.func or forward-mode differentiation"
    if active is not None and _has_gaps(active):
        return "a step in the middle of a series, at which nothing was observed, holds the state"
    return None


def _has_gaps(active: Tensor) -> bool:
    """Whether any series has a step that moves after one that does not."""
    return bool((active[:, 1:] & ~active[:, :-1]).any())  # one poll of the device


def run_fused(cell: Fusible, x: Tensor, first: Tensor, active: Tensor | None) -> tuple[Tensor, Tensor]:
    """Outputs (B, T, H) and the last state (B, S), from inputs (B, T, D) and the first state (B, S)."""
    weights = [weight for weight in cell.torch_weights() if weight is not None]
    weights = _in_one_block(weights) if x.is_cuda else weights
    vectors = [vector.unsqueeze(0).contiguous() for vector in first.split(cell.hidden_size, dim=-1)]
    if active is None:
        outputs, *last = _call(cell, (x,), vectors, weights, True)
        return outputs, torch.cat(last, -1).squeeze(0)
    return _run_packed(cell, x, first, active, vectors, weights)


def _run_packed(
    cell: Fusible, x: Tensor, first: Tensor, active: Tensor, vectors: list[Tensor], weights: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """A series without steps runs one that is then forgotten; beyond its length each holds its state."""
    lengths = active.sum(1)
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    begin = [vector.index_select(1, order) for vector in vectors]
    data, *last = _call(cell, (packed.data, packed.batch_sizes), begin, weights)
    last = torch.cat([vector.index_select(1, back) for vector in last], -1).squeeze(0)
    last = torch.where((lengths > 0).unsqueeze(-1), last, first)
    outputs, _ = pad_packed_sequence(PackedSequence(data, *packed[1:]), True, total_length=x.shape[1])
    return torch.where(active.unsqueeze(-1), outputs, last[:, None, : cell.hidden_size]), last


def _call(
    cell: Fusible,
    inputs: tuple[Tensor, ...],
    vectors: list[Tensor],
    weights: list[Tensor],
    *batch_first: bool,
) -> tuple[Tensor, ...]:
    """One layer, one direction, no dropout: to train means only to keep what a gradient will need."""
    first = vectors[0] if len(vectors) == 1 else tuple(vectors)
    has_bias, train = len(weights) == 4, torch.is_grad_enabled()
    layers, dropout, bidirectional = 1, 0.0, False
    options = has_bias, layers, dropout, train, bidirectional
    return cell.kernel(*inputs, first, weights, *options, *batch_first)


def _in_one_block(weights: list[Tensor]) -> list[Tensor]:
    """The same weights side by side in memory, as cuDNN wants them."""
    block = torch.cat([weight.flatten() for weight in weights])
    pieces = block.split([weight.numel() for weight in weights])
    return [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]
