"""Cells that read the time between two steps: what each needs of a batch, and the loop over it."""

from abc import abstractmethod

import torch
from torch import Generator, Tensor, nn

from helpers.arguments import (
    check_entries,
    check_like,
    check_not_negative_number,
    check_whole_number,
    kind,
    valid_steps,
)
from helpers.recurrent.recurrence import check_sequence, initial_state, unroll
from helpers.series import IrregularBatch


class IrregularCell(nn.Module):
    """What all cells that read the times share: from a batch to one tensor, and from that to the states.

    ::

        u = encode(batch),   p = project(u),   h_t = step(h_{t-1}, p_t)

    `encode` makes one tensor of values, mask and times, in which no parameter has a part: encode a training
    set once. `project` and `step` are those of the protocol `Recurrence`, so that the tools for gradients
    take such a cell, too, with a batch or with u itself as their x.
    """

    input_size: int
    hidden_size: int

    def encode(self, batch: IrregularBatch) -> Tensor:
        """What the steps need of a batch, here [x_t or else 0, m_t, Δt], (B, T, D + D + 1)."""
        self.check_batch(batch)
        return join_like(batch.values, torch.where(batch.mask, batch.values, 0.0), batch.mask, gaps(batch))

    @abstractmethod
    def project(self, u: Tensor) -> Tensor:
        """All that does not need the state, for every step at once, (B, T, U) to (B, T, P)."""

    @abstractmethod
    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """The state after a step, from (B, H) and (B, P) to (B, H)."""

    @property
    def state_size(self) -> int:
        """H: the hidden state is all of it."""
        return self.hidden_size

    def forward(
        self, batch: IrregularBatch, h0: Tensor | None = None, *, return_states: bool = False
    ) -> Tensor:
        """Return the state after each series' last step, or after every step.

        Parameters
        ----------
        batch : IrregularBatch
            Series of any lengths, with times of their own.
        h0 : Tensor (B, H), optional
            The state before the first step; zeros where left out.
        return_states : bool
            Return the state after every step; beyond a series' length it is held.

        Returns
        -------
        Tensor (B, H), or with `return_states` (B, T, H)
            A series without steps stays in h0.

        Raises
        ------
        ValueError
            If `batch` is no IrregularBatch, or its features, dtype or device are not the cell's; or if h0 has
            another shape.
        """
        u = self.encode(batch)
        first = initial_state(self, u, h0)
        states = self.run(u, first, batch.lengths)
        if return_states:
            return states
        return states[:, -1] if states.shape[1] else first

    def run(self, u: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
        """All states (B, T, H), from what `encode` returns."""
        return unroll(self, u, first, steps_that_move(lengths, u.shape[1]))

    def check_batch(self, batch: IrregularBatch) -> None:
        """Refuse what is no batch of this cell's features, dtype and device."""
        if not isinstance(batch, IrregularBatch):
            raise ValueError(f"batch must be an IrregularBatch, which holds the times: got {kind(batch)}")
        check_sequence("batch.values", batch.values, self.input_size)
        check_like("batch.values", batch.values, "the weights", next(self.parameters()))

    def check_encoded(self, u: Tensor, size: int, times: int) -> None:
        """Refuse anything but (B, T, `size`), the last `times` columns of which are no negative times."""
        check_sequence("u", u, size)
        check_like("u", u, "the weights", next(self.parameters()))
        if torch._C._are_functorch_transforms_active():  # where no number can be looked at
            return
        durations = u[..., -times:]
        if not (durations >= 0).all():  # cheaper than to look for the place at once
            check_entries("durations in u", durations, durations >= 0, "not be negative")

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.input_size}, {self.hidden_size}"


class JumpingCell(IrregularCell):
    """A state that evolves while nothing is observed, and jumps where something is.

    ::

        h'_t = evolve(h_{t-1}, Δt)               for the time Δt since the step before
        h_t = GRU(h'_t, [x_t, m_t])              where anything was observed, h'_t elsewhere

    An unobserved x is zero, which is the mean of a standardised feature. `cell` is the GRU.
    """

    cell: nn.Module

    @abstractmethod
    def evolve(self, h: Tensor, dt: float | Tensor) -> Tensor:
        """The state (B, H) after a time without observations: one Δt, or one for each series (B, 1)."""

    def project(self, u: Tensor) -> Tensor:
        """[Δt, whether anything was observed, what the GRU needs] of every step, (B, T, 1 + 1 + 3H)."""
        D = self.input_size
        self.check_encoded(u, 2 * D + 1, times=1)
        x, m, dt = u.split([D, D, 1], dim=-1)
        return self.project_jump(x, m, dt)

    def project_jump(self, x: Tensor, m: Tensor, dt: Tensor) -> Tensor:
        """The same, from its parts: values (B, T, D), mask (B, T, D) of 0 and 1, and Δt (B, T, 1)."""
        observed = m.amax(-1, keepdim=True)
        return torch.cat([dt, observed, self.cell.project(torch.cat([x, m], dim=-1))], dim=-1)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        """The state evolves and, where anything was observed, jumps: (B, H) and (B, 3H + 2) to (B, H)."""
        dt, observed, p = p.tensor_split([1, 2], dim=-1)
        h = self.evolve(h, dt)
        return torch.where(observed > 0, self.cell.step(h, p), h)


def steps_that_move(lengths: Tensor, steps: int) -> Tensor | None:
    """Which steps (B, T) lie within their series; None where all do, which one poll of the device tells."""
    active = valid_steps(lengths, steps)
    return None if active.all() else active


def gaps(batch: IrregularBatch) -> Tensor:
    """Time Δt from the step before to each step (B, T, 1); 0 at the first and in padding."""
    since = torch.cat([torch.zeros_like(batch.times[:, :1]), batch.times.diff(dim=1)], dim=1)
    return torch.where(batch.valid, since, 0.0).unsqueeze(-1)


def join_like(values: Tensor, *parts: Tensor) -> Tensor:
    """Parts (B, T, ...) side by side, in the dtype of the values; in memory, a step's rows lie together."""
    return torch.cat([part.to(values.dtype).transpose(0, 1) for part in parts], dim=-1).transpose(0, 1)


def check_sizes(input_size: int, hidden_size: int) -> None:
    """Refuse sizes that are no whole numbers of at least 1."""
    check_whole_number("input_size", input_size)
    check_whole_number("hidden_size", hidden_size)


def check_duration(dt: float | Tensor) -> None:
    """Refuse a number that is negative or not finite; a tensor was checked for all steps at once."""
    if not isinstance(dt, Tensor):
        check_not_negative_number("dt", dt)


def draw(shape: tuple[int, ...], fan_in: int, generator: Generator | None, like: Tensor) -> nn.Parameter:
    """Weights drawn uniformly from ±1/√fan_in."""
    return nn.Parameter(like.new_empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator))
