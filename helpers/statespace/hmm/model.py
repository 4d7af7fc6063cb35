"""The hidden Markov model: a discrete state that jumps, and what it emits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from helpers.arguments import (
    check_floating,
    check_like,
    check_same,
    check_whole_number,
    kind,
    observed_entries,
    refuse_where,
    valid_steps,
)
from helpers.series import IrregularBatch, check_series
from helpers.statespace.hmm.emissions import (
    CategoricalEmission,
    PoissonEmission,
    check_distributions,
    check_parameter,
    log_probability,
    refuse_vmap,
)
from helpers.statespace.hmm.gaussian_emission import GaussianEmission

OBSERVATIONS_AT_ONCE = 2**14
"""Large beside the cost of a call, small beside a cache."""

Emission = CategoricalEmission | GaussianEmission | PoissonEmission


@dataclass(frozen=True, eq=False)
class HMM:
    """A hidden state with K values jumps from step to step, and each value emits in its own way.

    ::

        P(h_0 = k) = π_k,   P(h_t = j | h_{t-1} = i) = A_ij,   y_t | h_t = k ~ p_k

    A probability of exactly 0 forbids a first state or a transition. Its gradient is 0, and Baum-Welch
    leaves it at 0, so that what is forbidden stays forbidden.

    Parameters
    ----------
    initial : Tensor (K,)
        π, the probabilities of the state at the first observation.
    transition : Tensor (K, K)
        A, from the row's state to the column's; each row sums to 1.
    emission : CategoricalEmission, GaussianEmission or PoissonEmission
        p_1 … p_K.

    Raises
    ------
    ValueError
        Naming the shape that clashes, the entry that is no probability, or the row that does not sum to 1.

    Source: Rabiner (1989), A tutorial on hidden Markov models and selected applications in speech
    recognition, Proceedings of the IEEE 77(2), section II.
    """

    initial: Tensor
    transition: Tensor
    emission: Emission

    def __post_init__(self) -> None:
        check_parameter("initial", self.initial, "(K,)")
        check_floating("transition", self.transition)
        refuse_vmap("transition", self.transition)
        if not isinstance(self.emission, Emission):
            raise ValueError(
                "emission must be a CategoricalEmission, GaussianEmission or PoissonEmission: "
                f"got {kind(self.emission)}"
            )
        check_like("transition", self.transition, "initial", self.initial)
        check_like("emission", self.emission.like, "initial", self.initial)
        self._check_shapes()
        check_distributions("initial", self.initial)
        check_distributions("transition", self.transition)

    @property
    def states(self) -> int:
        """K, how many values the state has."""
        return len(self.initial)

    @property
    def log_initial(self) -> Tensor:
        """log π, shape (K,)."""
        return log_probability(self.initial)

    @property
    def log_transition(self) -> Tensor:
        """log A, shape (K, K)."""
        return log_probability(self.transition)

    def log_evidence(self, data: "Observations") -> Tensor:
        """log p(y_t | h_t = k), shape (B, T, K); 0 for every state where nothing was observed."""
        return self.emission.log_prob(data.y, data.mask)

    @torch.no_grad()
    def log_evidence_in_blocks(self, data: "Observations") -> Tensor:
        """The same numbers without a gradient, a block of steps at a time; in memory, time comes first."""
        blocks = data.blocks()
        if len(blocks) == 1:
            return self.log_evidence(data)
        series, steps = data.valid.shape
        evidence = self.initial.new_empty(steps, series, self.states)
        for some in blocks:
            evidence[some] = self.emission.log_prob(data.y[:, some], data.mask[:, some]).transpose(0, 1)
        return evidence.transpose(0, 1)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The tensors that make the model, those of its emission among them, by name."""
        parts = vars(self) | vars(self.emission)
        return {name: part for name, part in parts.items() if isinstance(part, Tensor)}

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> "HMM":
        """The model with other tensors under some of these names."""
        own = parameters.keys() & {"initial", "transition"}
        emission = replace(self.emission, **{name: parameters[name] for name in parameters.keys() - own})
        return replace(self, emission=emission, **{name: parameters[name] for name in own})

    def _check_shapes(self) -> None:
        states = self.states
        if self.transition.shape != (states, states):
            found = tuple(self.transition.shape)
            raise ValueError(f"transition must have shape (K, K) = ({states}, {states}): got {found}")
        if self.emission.states != states:
            raise ValueError(
                f"emission must have as many states as initial: got {self.emission.states} and {states}"
            )


@dataclass(frozen=True, eq=False)
class Observations:
    """What was observed, checked.

    Attributes
    ----------
    y : Tensor (B, T, D), or (B, T) of integers for a categorical emission
        0 where missing.
    mask : Tensor, the shape of y, bool
        True where observed.
    valid : Tensor (B, T), bool
        True for the steps within their series.
    """

    y: Tensor
    mask: Tensor
    valid: Tensor

    def blocks(self) -> list[slice]:
        """The steps, cut so that what is computed of so many observations stays in a processor's cache."""
        series, steps = self.valid.shape
        size = steps if self.y.is_cuda else max(1, OBSERVATIONS_AT_ONCE // series)
        return [slice(first, first + size) for first in range(0, steps, size)]


def check_hmm(hmm: HMM) -> None:
    """Refuse anything but a hidden Markov model."""
    if not isinstance(hmm, HMM):
        raise ValueError(f"hmm must be an HMM: got {kind(hmm)}")


def check_observations(
    hmm: HMM, y: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Observations:
    """Refuse what `hmm_filter` refuses."""
    check_hmm(hmm)
    return check_emitted(hmm.emission, y, mask, lengths)


def check_emitted(
    emission: Emission, y: Tensor | IrregularBatch, mask: Tensor | None, lengths: Tensor | None
) -> Observations:
    """Refuse what is no series of an emission's values."""
    values, mask, lengths = check_series("y", y, mask, lengths)
    refuse_vmap("y", values)
    if isinstance(y, IrregularBatch) and isinstance(emission, CategoricalEmission):
        values, mask = emission.symbols(values, mask)
    if values.ndim < 2 or values.shape[1] == 0:
        raise ValueError(f"y must have shape (B, T, ...) with at least one step: got {tuple(values.shape)}")
    if len(values) == 0:
        raise ValueError(f"y must have at least one series: got shape {tuple(values.shape)}")
    check_same("y", "device", values.device, "the emission's parameters", emission.like.device)
    mask = observed_entries("y", values, mask, lengths)
    everywhere = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    valid = everywhere if lengths is None else valid_steps(lengths, values.shape[1])
    return Observations(emission.check(values, mask), mask, valid)


def refuse_impossible(step_log_likelihood: Tensor) -> None:
    """Raise where a step (B, T) has probability 0 given the past: there is no posterior then."""
    refuse_where(
        step_log_likelihood == -torch.inf,
        lambda b, t: (
            f"y is impossible under this HMM: series {b} has probability 0 at step {t} given its past"
        ),
    )


@dataclass(frozen=True, eq=False)
class HMMSimulation:
    """States and what they emitted.

    Attributes
    ----------
    states : Tensor (B, T), int64
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
        If `steps` or `batch` is less than 1, or there is no generator.
    """
    check_hmm(hmm)
    if not isinstance(generator, Generator):
        raise ValueError(f"generator must be a torch.Generator: got {kind(generator)}")
    check_whole_number("steps", steps)
    check_whole_number("batch", batch)
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
