"""Truncated backpropagation through time: what it saves, and what it gets wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from helpers.arguments import check_whole_number, kind
from helpers.recurrent.explosion import euclidean_norm
from helpers.recurrent.recurrence import Recurrence, check_sequence, inputs_of, observed_steps, unroll
from helpers.series import IrregularBatch

WindowLoss = Callable[[Tensor, slice], Tensor]
"""From the states (B, K, S) of a window and its steps to the part of the loss that belongs to it."""


@dataclass(frozen=True, eq=False)
class TruncatedPass:
    """What one truncated pass leaves, beside the gradient.

    Attributes
    ----------
    loss : Tensor ()
        Sum over the windows, without gradient; it does not depend on K.
    state : Tensor (B, S)
        The last state, without gradient: `h0` of a stream's next batch.
    """

    loss: Tensor
    state: Tensor


@dataclass(frozen=True, eq=False)
class TruncationCurve:
    """Bias and memory of the truncated gradient g_K against the length of its windows.

    Attributes
    ----------
    K : tuple of N int
    relative_error : Tensor (N,)
        ‖g_K - g‖ / ‖g‖, g being the gradient of full backpropagation, over all weights of the model.
    cosine : Tensor (N,)
        g_K · g / (‖g_K‖ ‖g‖): 1 where only the length is wrong; 0 where g_K = 0.
    peak_bytes : tuple of N int
        The most memory that tensors saved for a backward pass held at once. Weights and inputs, which are
        there anyway, are not counted.
    """

    K: tuple[int, ...]
    relative_error: Tensor
    cosine: Tensor
    peak_bytes: tuple[int, ...]


@torch.inference_mode(False)
def truncated_bptt(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    loss: WindowLoss,
    K: int,
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> TruncatedPass:
    """Backpropagate through windows of K steps, one after another, so that only one is in memory.

    ::

        L = Σ_w L_w(h_{w+1} … h_{w+K}),   g_K = Σ_w ∂L_w/∂θ with h_w held constant

    The forward pass is exact; the backward pass never looks further back than the start of its window. The
    windows are laid from the end, so that the last always has K steps, and the first has what is left over.
    For K ≥ T there is one window, and the gradient is that of full backpropagation.

    Like `backward()`, it adds to the `.grad` of everything the loss depends on: set them to zero before,
    and `clip` and step after.

    Parameters
    ----------
    model : Recurrence
        Anything with `project`, `step` and `state_size`.
    x : Tensor (B, T, D) or IrregularBatch, T ≥ 1
        A batch brings its own mask and lengths.
    loss : callable
        From a window's states (B, K, S) and its steps, a slice, to a Tensor (): the part of the loss that
        belongs to the window, whose targets are `y[:, steps]`. Divide by the whole series' number of
        targets, not by the window's, and the sum is the mean. A window without a target may return a
        constant.
    K : int
        Length of a window, in steps.
    h0 : Tensor (B, S), optional
    mask, lengths : optional
        As for `VanillaRNN.forward`.

    Raises
    ------
    ValueError
        If K is not a whole number of at least 1, there are no steps, shapes clash, or the loss is no scalar
        or does not depend on the states.

    Source: Williams and Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent
    network trajectories, Neural Computation 2:490-501.
    """
    losses, state = [], h0
    for value, end in _windows(model, x, loss, K, h0, mask, lengths):
        if value.requires_grad:
            value.backward()
        losses.append(value.detach())
        state = end
    return TruncatedPass(torch.stack(losses).sum(), state)


@torch.inference_mode(False)
def truncated_loss(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    loss: WindowLoss,
    K: int,
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Return the same loss as a scalar whose gradient is the truncated one, for `training.fit`.

    All windows stay in memory until its `backward()`: the bias of `truncated_bptt` without its saving.
    Parameters, and what it raises, are those of `truncated_bptt`.
    """
    return torch.stack([value for value, _ in _windows(model, x, loss, K, h0, mask, lengths)]).sum()


@torch.inference_mode(False)
def truncation_curve(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    loss: WindowLoss,
    K: Sequence[int],
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> TruncationCurve:
    """Compare the truncated gradient with that of full backpropagation, for windows of several lengths.

    No `.grad` is touched. Only the model's own weights are compared: a read-out behind it loses nothing.

    Parameters
    ----------
    model : Recurrence, nn.Module
        Must have weights.
    x, loss, h0, mask, lengths
        As for `truncated_bptt`.
    K : sequence of int
        Lengths of the windows.

    Raises
    ------
    ValueError
        As `truncated_bptt`, or if the full gradient is zero or not finite: nothing to be relative to.
    """
    x, mask, lengths = inputs_of(model, x, mask, lengths)
    check_sequence("x", x, "D")
    if not isinstance(K, Sequence) or isinstance(K, str) or not K:
        raise ValueError(f"K must be a sequence of at least one length: got {K!r}")
    arguments = (h0, mask, lengths)
    full, _ = _gradient(model, x, loss, x.shape[1], *arguments)
    norm = euclidean_norm(full)
    if not (norm > 0 and norm.isfinite()):
        raise ValueError(
            "x, h0 and loss must give the model's weights a full gradient that is finite and not zero, to "
            f"compare with: its norm is {norm}"
        )
    gradients, peaks = zip(*(_gradient(model, x, loss, length, *arguments) for length in K), strict=True)
    truncated = torch.stack(gradients)
    return TruncationCurve(
        K=tuple(K),
        relative_error=euclidean_norm(truncated - full) / norm,
        cosine=_cosine(truncated, full),
        peak_bytes=peaks,
    )


def _cosine(vectors: Tensor, reference: Tensor) -> Tensor:
    """Of the angle between each of the vectors (N, P) and the reference (P,); 0 for a vector of zeros."""
    units = [
        v / torch.where((size := euclidean_norm(v)) > 0, size, 1.0)[..., None] for v in (vectors, reference)
    ]
    return units[0] @ units[1]


class _SavedBytes:
    """Counts the memory that saved tensors hold, each storage once."""

    def __init__(self, already_there: list[Tensor]) -> None:
        self.already_there = {tensor.untyped_storage().data_ptr() for tensor in already_there}
        self.storages: dict[int, int] = {}
        self.peak = 0

    def save(self, tensor: Tensor) -> Tensor:
        """Note a tensor as it is saved."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.already_there:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def release(self) -> None:
        """Note that a backward pass has freed them all."""
        self.peak = max(self.peak, sum(self.storages.values()))
        self.storages.clear()


def _gradient(
    model: nn.Module,
    x: Tensor,
    loss: WindowLoss,
    K: int,
    h0: Tensor | None,
    mask: Tensor | None,
    lengths: Tensor | None,
) -> tuple[Tensor, int]:
    """The truncated gradient of all weights as one vector, and the peak of saved bytes."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    saved, total = _SavedBytes([x, *weights]), [torch.zeros_like(weight) for weight in weights]
    with saved_tensors_hooks(saved.save, lambda tensor: tensor):
        for value, _ in _windows(model, x, loss, K, h0, mask, lengths):
            if value.requires_grad:
                parts = torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True)
                total = [so_far + part for so_far, part in zip(total, parts, strict=True)]
            saved.release()
    return torch.cat([part.flatten() for part in total]), saved.peak


def _within(
    window: slice, mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Mask and lengths of a window alone: windows share no node of a graph, which backward() would free."""
    left = None if lengths is None else (lengths.long() - window.start).clamp(0, window.stop - window.start)
    return None if mask is None else mask[:, window], left


def _windows(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    loss: WindowLoss,
    K: int,
    h0: Tensor | None,
    mask: Tensor | None,
    lengths: Tensor | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the loss of each window, and the state at its end cut off from the graph."""
    check_whole_number("K", K)
    x, mask, lengths = inputs_of(model, x, mask, lengths)
    observed_steps(x, mask, lengths)
    check_sequence("x", x, "D")
    steps = x.shape[1]
    if steps == 0:
        raise ValueError("x must have at least one step to backpropagate through: got none")
    state, depends = h0, False
    for end in range((steps - 1) % K + 1, steps + 1, K):
        window = slice(max(0, end - K), end)
        seen, active = observed_steps(x[:, window], *_within(window, mask, lengths))
        states = unroll(model, seen, state, active)
        value = loss(states, window)
        if not isinstance(value, Tensor) or value.ndim:
            found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else kind(value)
            raise ValueError(f"loss must return a scalar for each window: got {found}")
        state, depends = states[:, -1].detach().clone(), depends or value.requires_grad
        yield value, state
    if not depends:
        raise ValueError("loss must depend on the states: no window's has a gradient")
