"""What every cell is: weights, what it does with the inputs, and the loop that runs it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from helpers.arguments import (
    check_bool,
    check_like,
    check_shape,
    check_tensor,
    check_whole_number,
    observed_entries,
    valid_steps,
)
from helpers.series import IrregularBatch, check_series

Transition = Callable[[Tensor, Tensor], Tensor]
"""From the state before a step (B, S) and the step's input (B, P) to the state after it (B, S)."""


class Recurrence(Protocol):
    """What `gradient_profile`, `jacobian_product` and `truncated_bptt` ask of a model.

    ::

        p = project(x),   h_t = step(h_{t-1}, p_t)

    `project` does all that does not need the state, for every step at once; `step` does the rest. Rows of
    a batch must not touch each other. A cell with several state vectors, such as an LSTM's h and c, joins
    them along the last axis, because its gradients flow through all of them.
    """

    state_size: int

    def project(self, x: Tensor) -> Tensor:
        """From inputs (B, T, D) to what each step needs of them, (B, T, P)."""

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """From the state before a step (B, S) and its projected input (B, P) to the state after it."""


class TorchWeights(NamedTuple):
    """One layer's weights in PyTorch's form: gates one below the other, and two biases or none."""

    W_ih: Tensor
    W_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


class Cell(nn.Module):
    """The weights of a cell, and the one matrix product that all of its inputs go through.

    ::

        p_t = W_xh x_t + b,   a_t = p_t + W_hh h_{t-1}

    `W_xh` (G·H, D), `W_hh` (G·H, H) and `b` (G·H,) hold the weights of the cell's G gates, one below the
    other; all are drawn uniformly from ±1/√H.

    Parameters
    ----------
    input_size : int
        D, the number of features; 0 for a network without input.
    hidden_size : int
        H, the number of units.
    gates : int
        G.
    vectors : int
        How many vectors of H units the state joins.
    recurrent : bool
        Without it, W_hh is None.
    bias : bool
        Without it, b is None.
    generator : torch.Generator, optional
        Draws the weights; left out, PyTorch's global stream does.
    device, dtype : optional
        Of the weights; the inputs must have the same.

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
        gates: int = 1,
        vectors: int = 1,
        recurrent: bool = True,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_whole_number("input_size", input_size, least=0)
        check_whole_number("hidden_size", hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.state_size = vectors * hidden_size
        rows, new = gates * hidden_size, {"device": device, "dtype": dtype}
        self.W_xh = nn.Parameter(torch.empty(rows, input_size, **new))
        self.W_hh = nn.Parameter(torch.empty(rows, hidden_size, **new)) if recurrent else None
        self.b = nn.Parameter(torch.empty(rows, **new)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw all weights anew, uniformly from ±1/√H; a constrained one keeps its constraint."""
        for name in ("W_xh", "W_hh", "b"):
            if getattr(self, name) is not None:
                self.draw(name, generator)

    @torch.no_grad()
    def draw(self, name: str, generator: Generator | None) -> None:
        """Draw one weight anew."""
        weight, bound = getattr(self, name), self.hidden_size**-0.5
        drawn = torch.empty_like(weight).uniform_(-bound, bound, generator=generator)
        if parametrize.is_parametrized(self, name):
            setattr(self, name, drawn)
        else:
            weight.copy_(drawn)

    def check_input(self, x: Tensor) -> None:
        """Refuse what is not (B, T, D), or not of the weights' dtype and device."""
        check_sequence("x", x, self.input_size)
        check_like("x", x, "the weights", self.W_xh)

    def project(self, x: Tensor) -> Tensor:
        """p_t of all steps in one matrix product, (B, T, D) to (B, T, G·H)."""
        self.check_input(x)
        time_major = linear(x.transpose(0, 1), self.W_xh, self.b)  # (T, B, G·H): a step's rows lie together
        return time_major.transpose(0, 1)

    @property
    def output_size(self) -> int:
        """H: what a readout or a layer above reads."""
        return self.hidden_size

    def output(self, state: Tensor) -> Tensor:
        """What of a state (..., S) is read from outside, (..., H): here, all of it."""
        return state

    def torch_weights(self) -> TorchWeights:
        """The weights as in PyTorch's layer, whose second bias is here zero."""
        b_hh = None if self.b is None else torch.zeros_like(self.b)
        return TorchWeights(self.W_xh, self.W_hh, self.b, b_hh)

    @torch.no_grad()
    def take_torch_weights(self, weights: TorchWeights) -> None:
        """Take the weights of PyTorch's layer, whose two biases add up to b."""
        self.W_xh.copy_(weights.W_ih), self.W_hh.copy_(weights.W_hh)
        if self.b is not None:
            self.b.copy_(weights.b_ih + weights.b_hh)

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.input_size}, {self.hidden_size}"


def scan(step: Transition, h0: Tensor, inputs: Tensor, active: Tensor | None = None) -> Tensor:
    """Apply one step after another, and return the state after each.

    ::

        h_t = step(h_{t-1}, p_t)   where active,   h_{t-1} elsewhere,      t = 1 … T

    Project the inputs of all steps before, in one matrix product: what is left in the loop is only
    what truly waits for the state before it.

    Parameters
    ----------
    step : callable
        From a state (B, S) and an input (B, P) to the next state (B, S).
    h0 : Tensor (B, S)
    inputs : Tensor (B, T, P)
    active : Tensor (B, T), bool, optional
        Where False, the state is held, whatever the input; but gradients ask for a finite input there too.

    Returns
    -------
    Tensor (B, T, S)
        `[:, t-1]` is h_t.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices clash.
    """
    states = list(iterate(step, h0, inputs, active))
    return torch.stack(states, dim=1) if states else h0.unsqueeze(1)[:, :0]


def iterate(step: Transition, h0: Tensor, inputs: Tensor, active: Tensor | None = None) -> Iterator[Tensor]:
    """Yield h_1, h_2, … h_T of `scan`."""
    check_sequence("inputs", inputs, "P")
    check_shape("h0", h0, "B S", (None, None))
    check_state(h0, inputs, h0.shape[1])
    if active is not None:
        check_bool("active", active)
        check_shape("active", active, "B T", inputs.shape[:2])
    hold = [None] * inputs.shape[1] if active is None else (~active).unsqueeze(-1).unbind(1)
    h = h0
    for inputs_t, hold_t in zip(inputs.unbind(1), hold, strict=True):
        after = step(h, inputs_t)
        if after.shape != h.shape:
            raise ValueError(f"step must return the state's shape {tuple(h.shape)}: got {tuple(after.shape)}")
        h = after if hold_t is None else torch.where(hold_t, h, after)
        yield h


def unroll(model: Recurrence, x: Tensor, h0: Tensor | None, active: Tensor | None = None) -> Tensor:
    """Return the states (B, T, S) of a model that starts in `h0`, or in zeros."""
    return unroll_projected(model, x, h0, active)[1]


def unroll_projected(
    model: Recurrence, x: Tensor, h0: Tensor | None, active: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what each step needed of the inputs (B, T, P), and the states (B, T, S).

    A constrained weight is computed once for the whole sequence, not once per step.
    """
    with parametrize.cached():
        projected = model.project(x)
        return projected, scan(model.step, initial_state(model, projected, h0), projected, active)


def initial_state(model: Recurrence, projected: Tensor, h0: Tensor | None) -> Tensor:
    """`h0`, or zeros where it is None, (B, S)."""
    if h0 is None:
        return projected.new_zeros(len(projected), model.state_size)
    check_state(h0, projected, model.state_size)
    return _open_to_gradients(h0)


def observed_steps(
    x: "Tensor | IrregularBatch", mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return x with zeros where not observed, and the steps (B, T) at which a state moves.

    A step at which nothing was observed, and every step beyond a series' length, holds the state. Without
    features there is nothing to observe, and each step of a series moves.
    """
    x, mask, lengths = check_series("x", x, mask, lengths)
    x = _open_to_gradients(x)
    if mask is None and lengths is None:
        return x, None
    check_sequence("x", x, "D")
    observed = observed_entries("x", x, mask, lengths)
    if x.shape[-1] == 0:
        return x, None if lengths is None else valid_steps(lengths, x.shape[1])
    return torch.where(observed, x, 0.0), observed.any(-1)


def inputs_of(
    model: Recurrence, x: "Tensor | IrregularBatch", mask: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return what `model.project` takes, its mask and its lengths.

    A model that reads the times, too, makes one tensor of a batch by `encode`; each step of a series is
    then one at which it moves.
    """
    values, mask, lengths = check_series("x", x, mask, lengths)
    if isinstance(x, IrregularBatch) and hasattr(model, "encode"):
        return model.encode(x), None, lengths
    return values, mask, lengths


def _open_to_gradients(tensor: Tensor) -> Tensor:
    """A copy of what was made in inference mode, through which no gradient can flow; else the tensor."""
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor


def check_sequence(name: str, sequence: Tensor, features: str | int) -> None:
    """Refuse anything but (B, T, `features`); a name instead of a number allows any size."""
    check_tensor(name, sequence)
    fits = sequence.ndim == 3 and (isinstance(features, str) or sequence.shape[2] == features)
    if not fits:
        raise ValueError(f"{name} must have shape (B, T, {features}): got {tuple(sequence.shape)}")


def check_state(h0: Tensor, inputs: Tensor, state_size: int) -> None:
    """Refuse an initial state that is not one row of `state_size` for each series."""
    check_shape("h0", h0, f"B {state_size}", (len(inputs), state_size))
    check_like("h0", h0, "the inputs", inputs)
