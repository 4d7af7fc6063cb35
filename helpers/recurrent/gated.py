"""Cells whose step first reads off gates and then moves the state by them."""

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from helpers.arguments import check_finite_number, check_fits
from helpers.recurrent.fused import reason_against, run_fused
from helpers.recurrent.recurrence import Cell, initial_state, observed_steps, unroll_projected
from helpers.series import IrregularBatch


class GatedCell(Cell):
    """What all gated cells share: a step in two halves, a look at the gates, and a faster way.

    ::

        state_t = update(state_{t-1}, gates(state_{t-1}, p_t))

    `update` reads from the state before a step only what flows along the highway; all else goes through the
    gates. `gradient_profile` tells the two ways apart by that.
    """

    no_kernel: str | None = None

    @abstractmethod
    def gates(self, state: Tensor, p: Tensor) -> NamedTuple:
        """All gates of a step (B, H) each, from the state before it (B, S) and its input (B, P)."""

    @abstractmethod
    def update(self, state: Tensor, gates: NamedTuple) -> Tensor:
        """The state after a step (B, S)."""

    @abstractmethod
    def trace(self, state: Tensor, gates: NamedTuple) -> Any:
        """States and gates (B, T, ...) by name."""

    def step(self, state: Tensor, p: Tensor) -> Tensor:
        """The state after a step, from (B, S) and (B, P) to (B, S)."""
        return self.update(state, self.gates(state, p))

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
            Return states and gates of every step by name, a `LSTMTrace` or `GRUTrace`.
        return_last : bool
            Return the last state (B, S), too: `h0` of a stream's next part.
        fast : bool, optional
            Whether PyTorch's fused kernel (cuDNN on a GPU) runs the loop: the same to rounding. Left out, it
            does where it can: without gates to return, without a step in the middle of a series that holds
            the state, outside `torch.func` and forward-mode differentiation, and for a GRU whose reset gate
            acts after the matrix product. With lengths or a mask, choosing reads one number from the device.

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
        self.check_input(x)
        state = initial_state(self, x, h0)
        against = "not wanted" if fast is False else self.reason_against_fast(x, state, active, return_gates)
        if fast and against:
            raise ValueError(f"fast must be False or left out: {against}")
        if not against:
            outputs, last = self.run_fast(x, state, active)
        else:
            projected, states = unroll_projected(self, x, state, active)
            outputs = self.look_back(projected, state, states) if return_gates else self.output(states)
            last = states[:, -1] if x.shape[1] else state
        return (outputs, last) if return_last else outputs

    def reason_against_fast(
        self, x: Tensor, state: Tensor, active: Tensor | None, return_gates: bool
    ) -> str | None:
        """Why the fast path cannot run these steps; None if it can."""
        return reason_against(self, x, active, return_gates)

    def run_fast(self, x: Tensor, state: Tensor, active: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, H) and the last state (B, S)."""
        return run_fused(self, x, state, active)

    def look_back(self, projected: Tensor, first: Tensor, states: Tensor) -> Any:
        """The gates of all steps at once: where the states are known, no step waits for another."""
        before = torch.cat([first.unsqueeze(1), states], dim=1)[:, :-1]
        gates = self.gates(before.flatten(0, 1), projected.flatten(0, 1))
        series_and_steps = states.shape[:2]
        return self.trace(states, type(gates)(*(gate.unflatten(0, series_and_steps) for gate in gates)))

    @torch.no_grad()
    def start_bias(self, name: str, value: float | None, block: int) -> None:
        """Fill the bias of one gate."""
        if value is None:
            return
        check_finite_number(name, value)
        if self.b is None:
            raise ValueError(f"{name} must be left out without a bias: got {value}")
        check_fits(name, value, self.b.dtype)
        self.b[block * self.hidden_size : (block + 1) * self.hidden_size] = value
