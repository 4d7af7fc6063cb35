"""Drawing series from a hidden Markov model."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.statespace.hmm import HMM


@dataclass(frozen=True, eq=False)
class HMMSimulation:
    """States and what they emitted.

    Parameters
    ----------
    states : Tensor of int64, shape (B, T)
    observations : Tensor (B, T, D), or (B, T) of integers for a categorical emission
    """

    states: Tensor
    observations: Tensor


@torch.no_grad()
def simulate_hmm(hmm: HMM, steps: int, batch: int, generator: Generator) -> HMMSimulation:
    """Draw the first state, jump from state to state, and emit at each step.

    Parameters
    ----------
    steps, batch : int
        T and B, each 1 or more.
    generator : Generator
        On the model's device.

    Raises
    ------
    ValueError
        If `steps` or `batch` is less than 1.
    """
    for name, number in {"steps": steps, "batch": batch}.items():
        if number < 1:
            raise ValueError(f"{name} must be 1 or more: got {number}")
    like = hmm.initial
    uniform = torch.rand(steps, batch, 1, generator=generator, dtype=like.dtype, device=like.device)
    cumulative = _cumulative(hmm.transition)
    states = torch.empty(steps, batch, dtype=torch.long, device=like.device)
    states[0] = (uniform[0] >= _cumulative(hmm.initial)).sum(-1)
    for step in range(1, steps):
        states[step] = (uniform[step] >= cumulative[states[step - 1]]).sum(-1)
    states = states.T.contiguous()
    return HMMSimulation(states, hmm.emission.sample(states, generator))


def _cumulative(probability: Tensor) -> Tensor:
    """P(state ≤ k) for all k but the last: the number of them that u reaches is the state drawn."""
    cumulative = probability.cumsum(-1)
    return (cumulative / cumulative[..., -1:])[..., :-1]
