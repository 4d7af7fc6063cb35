"""The loop that every cell shares, and what a cell must offer to be run by it."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from helpers.recurrent.arguments import check_sequence, check_state

Step = Callable[[Tensor, Tensor], Tensor]


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


def scan(step: Step, h0: Tensor, inputs: Tensor, active: Tensor | None = None) -> Tensor:
    """Apply one step after another, and return the state after each.

    ::

        h_t = step(h_{t-1}, p_t)   where active,   h_{t-1} elsewhere,      t = 1 … T

    Project the inputs of all steps before, in one matrix product: what is left in the loop is only
    what truly waits for the state before it.

    Parameters
    ----------
    step : function (state (B, S), input (B, P)) -> Tensor (B, S)
    h0 : Tensor (B, S)
    inputs : Tensor (B, T, P)
    active : Tensor (B, T), bool, optional
        Where False, the state is held.

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


def iterate(step: Step, h0: Tensor, inputs: Tensor, active: Tensor | None = None) -> Iterator[Tensor]:
    """Yield h_1, h_2, … h_T of `scan`."""
    check_sequence("inputs", inputs, "P")
    check_state(h0, inputs, h0.shape[-1])
    if active is not None and active.shape != inputs.shape[:2]:
        expected = tuple(inputs.shape[:2])
        raise ValueError(f"active must have shape (B, T) = {expected}: got {tuple(active.shape)}")
    held = [None] * inputs.shape[1] if active is None else (~active).unsqueeze(-1).unbind(1)
    h = h0
    for inputs_t, held_t in zip(inputs.unbind(1), held, strict=True):
        after = step(h, inputs_t)
        if after.shape != h.shape:
            raise ValueError(f"step must return the state's shape {tuple(h.shape)}: got {tuple(after.shape)}")
        h = after if held_t is None else torch.where(held_t, h, after)
        yield h


def unroll(model: Recurrence, x: Tensor, h0: Tensor | None, active: Tensor | None = None) -> Tensor:
    """Return the states (B, T, S) of a model that starts in `h0`, or in zeros.

    A constrained weight is computed once for the whole sequence, not once per step.
    """
    with parametrize.cached():
        projected = model.project(x)
        return scan(model.step, initial_state(model, projected, h0), projected, active)


def initial_state(model: Recurrence, projected: Tensor, h0: Tensor | None) -> Tensor:
    """`h0`, or zeros where it is None, (B, S)."""
    if h0 is None:
        return projected.new_zeros(len(projected), model.state_size)
    check_state(h0, projected, model.state_size)
    return h0
