"""What every cell is: weights, what it does with the inputs, and the loop that runs it."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from helpers.arguments import (
    check_bool,
    check_finite_number,
    check_fits,
    check_like,
    check_shape,
    check_tensor,
    check_whole_number,
    kind,
    observed_entries,
    valid_steps,
)
from helpers.recurrent.fused import TorchWeights, reason_against, run_fused
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


class Cell(nn.Module):
    """The weights of a cell, and the one matrix product that all of its inputs go through.

    ::

        p_t = W_xh x_t + b,   a_t = p_t + W_hh h_{t-1}

    `W_xh` (G·H, D), `W_hh` (G·H, H) and `b` (G·H,) hold the weights of the cell's G gates, one below the
    other. The cell itself draws them, by `reset_parameters`, once it has all that are its own.

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
    device, dtype : optional
        Of the weights; the inputs must have the same.

    Raises
    ------
    ValueError
        If a size is not a whole number.
    """

    drawn: ClassVar = ("W_xh", "W_hh", "b")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gates: int = 1,
        vectors: int = 1,
        recurrent: bool = True,
        bias: bool = True,
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

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw all weights anew, uniformly from ±1/√H."""
        bound = self.hidden_size**-0.5
        for name in self.drawn:
            weight = getattr(self, name)
            if weight is not None:
                drawn = torch.empty_like(weight, requires_grad=False)
                self.assign(name, drawn.uniform_(-bound, bound, generator=generator))

    @torch.no_grad()
    def assign(self, name: str, value: Tensor) -> None:
        """Give a weight a value; a constrained one keeps its constraint."""
        if parametrize.is_parametrized(self, name):
            setattr(self, name, value)
        else:
            getattr(self, name).copy_(value)

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


class GatedCell(Cell):
    """What all gated cells share: a step in two halves, a look at the gates, and a faster way.

    ::

        state_t = update(state_{t-1}, gates(state_{t-1}, p_t))

    `update` reads from the state before a step only what flows along the highway; all else goes through the
    gates. `gradient_profile` tells the two ways apart by that.
    """

    no_kernel: str | None = None
    bias_start: tuple[int, float] | None = None

    def step(self, state: Tensor, p: Tensor) -> Tensor:
        """The state after a step, from (B, S) and (B, P) to (B, S)."""
        return self.update(state, self.gates(state, p))

    @abstractmethod
    def gates(self, state: Tensor, p: Tensor) -> NamedTuple:
        """All gates of a step (B, H) each, from the state before it (B, S) and its input (B, P)."""

    @abstractmethod
    def update(self, state: Tensor, gates: NamedTuple) -> Tensor:
        """The state after a step (B, S)."""

    @abstractmethod
    def trace(self, state: Tensor, gates: NamedTuple) -> Any:
        """States and gates (B, T, ...) by name."""

    def forward(
        self,
        x: "Tensor | IrregularBatch",
        h0: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        return_gates: bool = False,
        return_last: bool = False,
        fast: bool | None = None,
    ) -> Any:
        """Return the hidden state after every step.

        A value whose mask is False is never read: it adds nothing to W_xh x_t, as the mean of a standardised
        feature would. A step at which nothing was observed, and one beyond a series' length, holds the
        state, so that `[:, -1]` is each series' last state.

        Parameters
        ----------
        x : Tensor (B, T, D) or IrregularBatch
            A batch brings its own mask and lengths; its times are not read.
        h0 : Tensor (B, S), optional
            The whole state before the first step, for an LSTM h and c joined; zeros where left out.
        mask : Tensor (B, T, D), bool, optional
            True where observed.
        lengths : Tensor (B,), int, optional
            Number of real steps of each series.
        return_gates : bool
            Return states and gates of every step by name, a `LSTMTrace`, `GRUTrace` or `MinGRUTrace`.
        return_last : bool
            Return the last state (B, S), too: `h0` of a stream's next part.
        fast : bool, optional
            Whether something quicker than the loop over `step` runs the steps: PyTorch's fused kernel (cuDNN
            on a GPU), for a `MinGRU` its `affine_scan`. The results are the same to rounding. Left out, it
            does where it can and gains: never with gates to return; the kernel only without a step in the
            middle of a series that holds the state, outside `torch.func` and forward-mode differentiation,
            and for a GRU whose reset gate acts after the matrix product; the scan on a GPU, or with few
            numbers in a step. With lengths or a mask, choosing reads one number from the device. On a GPU
            the kernel cannot be differentiated twice, and says so.

        Returns
        -------
        Tensor (B, T, H) or a trace, and with `return_last` a Tensor (B, S) after it

        Raises
        ------
        ValueError
            If shapes, dtypes or devices clash, a length is out of range, or the fast path is demanded where
            there is none.
        """
        x, active = observed_steps(x, mask, lengths)
        with parametrize.cached():
            self.check_input(x)
            if self.goes_fast(fast, x, active, return_gates):
                outputs, last = self.run_fast(x, h0, active)
            else:
                outputs, last = self.run_step_by_step(x, h0, active, return_gates)
        return (outputs, last) if return_last else outputs

    def goes_fast(self, fast: bool | None, x: Tensor, active: Tensor | None, return_gates: bool) -> bool:
        """Whether the fast path runs these steps; refuse to demand it where it cannot."""
        if fast not in (None, True, False):
            raise ValueError(f"fast must be True, False or left out: got {fast!r}")
        if fast is not None and not fast:
            return False
        against = self.reason_against_fast(x, active, return_gates)
        if fast and against:
            raise ValueError(f"fast must be False or left out: {against}")
        return not against and (bool(fast) or self.gains_by_it(x))

    def run_step_by_step(
        self, x: Tensor, h0: Tensor | None, active: Tensor | None, return_gates: bool
    ) -> tuple[Any, Tensor]:
        """Hidden states (B, T, H) or a trace, and the last state (B, S)."""
        projected = self.project(x)
        first = initial_state(self, projected, h0)
        states = scan(self.step, first, projected, active)
        last = states[:, -1] if x.shape[1] else first
        return self.look_back(first, states, projected) if return_gates else self.output(states), last

    def look_back(self, first: Tensor, states: Tensor, projected: Tensor) -> Any:
        """The gates of all steps at once: where the states are known, no step waits for another."""
        before = torch.cat([first.unsqueeze(1), states], dim=1)[:, :-1]
        gates = self.gates(before.flatten(0, 1), projected.flatten(0, 1))
        series_and_steps = states.shape[:2]
        return self.trace(states, type(gates)(*(gate.unflatten(0, series_and_steps) for gate in gates)))

    def reason_against_fast(self, x: Tensor, active: Tensor | None, return_gates: bool) -> str | None:
        """Why the fast path cannot run these steps; None if it can."""
        return reason_against(self, x, active, return_gates)

    def gains_by_it(self, x: Tensor) -> bool:
        """Whether the fast path is the quicker one, where it can run."""
        return True

    def run_fast(self, x: Tensor, h0: Tensor | None, active: Tensor | None) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, H), and the last state (B, S)."""
        return run_fused(self, x, initial_state(self, x, h0), active)

    def start_bias(self, name: str, value: float | None, gate: int) -> None:
        """Let the bias of one gate start at a number, whenever weights are drawn."""
        if value is None:
            return
        check_finite_number(name, value)
        if self.b is None:
            raise ValueError(f"{name} must be left out without a bias: got {value}")
        check_fits(name, value, self.b.dtype)
        self.bias_start = gate, float(value)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw all weights anew, uniformly from ±1/√H, but for a bias that was told where to start."""
        super().reset_parameters(generator)
        if self.bias_start is not None:
            gate, value = self.bias_start
            b = self.b.detach().clone()
            b.view(-1, self.hidden_size)[gate] = value
            self.assign("b", b)


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
    """Return the states (B, T, S) of a model that starts in `h0`, or in zeros.

    A constrained weight is computed once for the whole sequence, not once per step.
    """
    check_recurrence(model)
    with parametrize.cached():
        projected = model.project(x)
        return scan(model.step, initial_state(model, projected, h0), projected, active)


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


def check_recurrence(model: Recurrence) -> None:
    """Refuse what has no steps of its own, such as layers of cells."""
    missing = [name for name in ("project", "step", "state_size") if not hasattr(model, name)]
    if missing:
        raise ValueError(
            f"model must have project, step and state_size, as a cell has: {kind(model)} has no {missing[0]}"
        )
