"""A gated unit whose gates do not look at the state, so that all steps are computed at once."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from helpers.arguments import check_like, check_shape, check_tensor, refuse_where
from helpers.recurrent.gru import GRU
from helpers.recurrent.recurrence import GatedCell, initial_state

SCAN_AT_MOST = 256
"""B · H numbers of a step up to which, on a CPU, log₂ T passes over all steps beat T small steps."""


class MinGRUGates(NamedTuple):
    """What opens at a step, and what is offered: (B, H) each."""

    z: Tensor
    n: Tensor


@dataclass(frozen=True, eq=False)
class MinGRUTrace:
    """The state and both gates of a minimal GRU at every step.

    Where a step holds the state, its gates are those that it would have had, of an input of zeros; nothing
    depends on them.

    Attributes
    ----------
    h : Tensor (B, T, H)
        Hidden state.
    z : Tensor (B, T, H)
        Update gate, between 0 and 1; z = 0 keeps the state.
    n : Tensor (B, T, H)
        The candidate.
    """

    h: Tensor
    z: Tensor
    n: Tensor


class MinGRU(GatedCell):
    """A gated unit without recurrent weights: its gates read the input alone.

    ::

        z_t = σ(W_xz x_t + b_z)                     update gate
        n_t = W_xn x_t + b_n                        candidate
        h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t,   t = 1 … T

    Given the inputs, this is linear in the state: an `affine_scan` computes all steps in log₂ T passes. The
    two blocks of weights lie below each other in this order: `W_xh` (2H, D) and `b` (2H,), drawn uniformly
    from ±1/√H.

    Parameters
    ----------
    input_size : int
        D, the number of features; 0 for a network without input.
    hidden_size : int
        H, the number of units.
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

    Source: Feng et al. (2024), Were RNNs all we needed?, there with a positive candidate in log space.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, gates=2, recurrent=False, bias=bias, device=device, dtype=dtype
        )
        self.reset_parameters(generator)

    def gates(self, h: Tensor, p: Tensor) -> MinGRUGates:
        """z_t and n_t, from (B, 2H); the state is not read."""
        z, n = p.chunk(2, dim=-1)
        return MinGRUGates(torch.sigmoid(z), n)

    update = GRU.update

    def trace(self, state: Tensor, gates: MinGRUGates) -> MinGRUTrace:
        """States (B, T, H) and gates, by name."""
        return MinGRUTrace(state, *gates)

    def reason_against_fast(self, x: Tensor, active: Tensor | None, return_gates: bool) -> str | None:
        """The scan can hold states and be differentiated in every way; it only keeps no gates."""
        return "the scan keeps no gates" if return_gates else None

    def gains_by_it(self, x: Tensor) -> bool:
        """On a CPU, whose arithmetic is not for nothing, only with few numbers in a step."""
        return x.device.type != "cpu" or len(x) * self.hidden_size <= SCAN_AT_MOST

    def run_fast(self, x: Tensor, h0: Tensor | None, active: Tensor | None) -> tuple[Tensor, Tensor]:
        """All states (B, T, H) as by `affine_scan`, and the last (B, H)."""
        projected = self.project(x)
        first = initial_state(self, projected, h0)
        z, n = self.gates(first, projected)
        z = z if active is None else z * active.unsqueeze(-1)  # a step that holds the state opens no gate
        states, _ = combine_steps(1 - z, z * n, first)
        return states, states[:, -1] if x.shape[1] else first


def affine_scan(factor: Tensor, shift: Tensor, h0: Tensor | None = None) -> Tensor:
    """Solve a linear recurrence for all steps at once, in log₂ T passes over them.

    ::

        h_t = a_t ⊙ h_{t-1} + b_t,   t = 1 … T

        (a_t, b_t) ← (a_t a_{t-s}, b_t + a_t b_{t-s}),   s = 1, 2, 4, …

    After each pass, a step's map leads from twice as far back, and after the last from h_0. This takes log₂ T
    times the arithmetic and memory of the loop, and as many calls as log₂ T instead of T.

    Parameters
    ----------
    factor, shift : Tensor (B, T, H)
        a and b.
    h0 : Tensor (B, H), optional
        Zeros where left out.

    Returns
    -------
    Tensor (B, T, H)
        `[:, t-1]` is h_t.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices clash, or a product of factors leaves the float range, which one of gates
        between 0 and 1 never does.

    Source: Hillis and Steele (1986), Data parallel algorithms, Communications of the ACM 29:1170-1183.
    """
    check_tensor("factor", factor)
    check_shape("factor", factor, "B T H", (None, None, None))
    check_shape("shift", shift, "B T H", factor.shape)
    check_like("shift", shift, "factor", factor)
    if h0 is not None:
        check_shape("h0", h0, "B H", (factor.shape[0], factor.shape[2]))
        check_like("h0", h0, "factor", factor)
    states, products = combine_steps(factor, shift, h0)
    refuse_where(
        ~products.isfinite() & factor.isfinite().all(1, keepdim=True),
        lambda b, t, h: f"factor must have finite products: those of factor[{b}, :{t + 1}, {h}] are not",
    )
    return states


def combine_steps(factor: Tensor, shift: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor]:
    """What `affine_scan` returns, and the product of all factors up to each step, both (B, T, H)."""
    h0 = torch.zeros_like(shift[:, :1]) if h0 is None else h0.unsqueeze(1)
    shift = torch.cat([shift[:, :1] + factor[:, :1] * h0, shift[:, 1:]], dim=1)
    back = 1
    while back < factor.shape[1]:
        done, rest, earlier = slice(back), slice(back, None), slice(-back)
        moved = shift[:, rest] + factor[:, rest] * shift[:, earlier]
        factor = torch.cat([factor[:, done], factor[:, rest] * factor[:, earlier]], dim=1)
        shift = torch.cat([shift[:, done], moved], dim=1)
        back *= 2
    return shift, factor
