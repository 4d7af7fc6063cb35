"""The gated cells by name, their gates written out once more, and series with every kind of hole."""

from functools import partial

import torch

from helpers.recurrent import GRU, LSTM, MinGRU
from helpers.series import IrregularBatch

KINDS = {
    "LSTM": LSTM,
    "GRU, reset after": GRU,
    "GRU, reset before": partial(GRU, reset="before"),
    "minimal GRU": MinGRU,
}
FUSED = ("LSTM", "GRU, reset after")
FAST = (*FUSED, "minimal GRU")


def make(kind, features=3, units=4, seed=0, dtype=torch.float64, **how):
    """A cell with weights of a seed."""
    return KINDS[kind](features, units, generator=torch.Generator().manual_seed(seed), dtype=dtype, **how)


def normal(*shape, seed=1, dtype=torch.float64):
    """Standard normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gates_by_hand(kind, model, state, x):
    """Every gate of one step by name, row block by row block: W_x x + W_h h + b."""
    H, gates = model.hidden_size, {}
    h = state[:, :H]
    W, U, b = (
        [None] * 4 if weight is None else weight.split(H) for weight in (model.W_xh, model.W_hh, model.b)
    )

    def drive(k, recurrent=None):
        own = x @ W[k].T + (0 if b[k] is None else b[k])
        return own if U[k] is None else own + (h @ U[k].T if recurrent is None else recurrent)

    if kind == "LSTM":
        for k, name in enumerate("ifgo"):
            gates[name] = torch.tanh(drive(k)) if name == "g" else torch.sigmoid(drive(k))
    elif kind == "minimal GRU":
        gates = {"z": torch.sigmoid(drive(0)), "n": drive(1)}
    else:
        r, z = torch.sigmoid(drive(0)), torch.sigmoid(drive(1))
        b_hn = 0 if model.b_hn is None else model.b_hn
        after = r * (h @ U[2].T + b_hn) if model.reset == "after" else (r * h) @ U[2].T
        gates = {"r": r, "z": z, "n": torch.tanh(drive(2, after))}
    return gates


def move_by_hand(kind, state, gates):
    """The state after a step."""
    if kind == "LSTM":
        c = gates["f"] * state.chunk(2, -1)[1] + gates["i"] * gates["g"]
        return torch.cat([gates["o"] * torch.tanh(c), c], -1)
    return (1 - gates["z"]) * state + gates["z"] * gates["n"]


def run_by_hand(kind, model, x, state, moves=None):
    """States (B, T, S), and the gates of each step by name."""
    states, taken = [], []
    for t in range(x.shape[1]):
        gates = gates_by_hand(kind, model, state, x[:, t])
        after = move_by_hand(kind, state, gates)
        state = after if moves is None else torch.where(moves[:, t, None], after, state)
        states.append(state), taken.append(gates)
    return torch.stack(states, 1), {name: torch.stack([g[name] for g in taken], 1) for name in taken[0]}


def series_with_holes(filling=torch.nan, features=3):
    """Five series of 6, 4, 1, 0 and 6 steps; the first has holes, the last begins with one."""
    lengths = torch.tensor([6, 4, 1, 0, 6])
    valid = torch.arange(6) < lengths.unsqueeze(-1)
    mask = valid.unsqueeze(-1).repeat(1, 1, features)
    mask[0, 2], mask[0, 4, 0], mask[4, 0] = False, False, False
    values = torch.where(mask, normal(5, 6, features, seed=2), filling)
    times = torch.arange(6.0, dtype=torch.float64).repeat(5, 1)
    return IrregularBatch(times, values, mask, lengths)
