"""Checkpoints: which of N states to keep, K at a time, so that few steps are taken again on the way back.

It knows nothing of states: a step has a number, and so has the state from which it starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import comb, inf


def optimal_advances(steps: int, slots: int) -> int:
    """How many steps have to be taken, beside each one's own reversal, with so many checkpoints.

    ::

        t(N, K) = r N - C(K + r, r - 1)   with r the smallest for which N ≤ C(K + r, r)

    The first state takes one of the K. The first sweep through the N - 1 first steps counts.

    Source: Griewank and Walther (2000), Algorithm 799: revolve, ACM Transactions on Mathematical Software 26.
    """
    r = _repetitions(steps, slots)
    return r * steps - _reach(slots + 1, r - 1)


def next_checkpoint(steps: int, slots: int) -> int:
    """After how many of N steps, N > 1, the next state is to be kept, if K ≥ 2 slots can be used.

    One of the numbers s with t(N, K) = s + t(N - s, K - 1) + t(s, K).
    """
    r = _repetitions(steps, slots)
    return max(steps - _reach(slots - 1, r), _reach(slots, r - 2), 1)


def _reach(slots: int, repetitions: int) -> int:
    """The longest chain that K checkpoints reverse taking no step more than r times: C(K + r, r)."""
    return comb(slots + repetitions, slots) if repetitions >= 0 else 0


def _repetitions(steps: int, slots: int) -> int:
    """The smallest r within whose reach N steps are."""
    r = 0
    while _reach(slots, r) < steps:
        r += 1
    return r


def planned_checkpoints(steps: int, slots: int) -> list[int]:
    """The states to keep in the first sweep through N steps."""
    kept = [0]
    while len(kept) < slots and kept[-1] < steps - 1:
        left = steps - kept[-1]
        kept.append(kept[-1] + next_checkpoint(left, slots - len(kept) + 1))
    return kept


def way_back(steps: int, slots: int, kept: list[int]) -> Iterator[tuple[int, int, set[int]]]:
    """Every step's number n from the last to the first, where to start again for it, and what to keep then.

    From the state that was kept at the second number the steps are taken up to n, and the states at the third
    numbers kept. What lies at n is forgotten after step n is reversed. Within the gaps this is the schedule
    of Griewank and Walther, with all the slots that are free by then.

    Parameters
    ----------
    steps, slots : int
        N and K.
    kept : list of int
        In increasing order, the first 0; the state of the last step may be one more than K.
    """
    kept = list(kept)
    for n in reversed(range(steps)):
        begin, new = kept[-1], set()
        while kept[-1] < n and len(kept) < slots:
            distance = next_checkpoint(n - kept[-1] + 1, slots - len(kept) + 1)
            kept.append(min(kept[-1] + distance, n))
            new.add(kept[-1])
        yield n, begin, new
        if kept[-1] == n:
            kept.pop()


@dataclass(eq=False)
class Checkpoints:
    """At most K states, and the last one, of a sweep through N steps, which may not be known beforehand.

    If N is known the states are kept where the optimal schedule wants them. Otherwise each new state is kept
    in place of one that has become dispensable: one with a level below that of a later one. If there is none
    the latest makes place, and the new one has a level above it.

    Parameters
    ----------
    slots : int
        K.
    planned : int, optional
        N.

    Attributes
    ----------
    states : dict from int to anything
        The states by their numbers.
    offered : int
        How many states there were.

    Source: Wang, Moin and Iaccarino (2009), Minimal repetition dynamic checkpointing algorithm for unsteady
    adjoint calculation, SIAM Journal on Scientific Computing 31.
    """

    slots: int
    planned: int | None = None
    states: dict[int, object] = field(default_factory=dict)
    offered: int = 0
    _levels: dict[int, float] = field(default_factory=dict)
    _last: object = None

    def __post_init__(self) -> None:
        self._plan = set(planned_checkpoints(self.planned, self.slots)) if self.planned else set()

    def offer(self, state: object) -> None:
        """Keep the state, or not, from which the next step starts."""
        n, self._last = self.offered, state
        self.offered += 1
        if self.planned:
            if n in self._plan:
                self.states[n] = state
            return
        level = inf if n == 0 else 0
        if len(self.states) == self.slots:
            level = self._make_place()
        self.states[n], self._levels[n] = state, level

    def _make_place(self) -> float:
        """Forget one state; return the level of the one that takes its place."""
        highest = -1.0
        for n in reversed(self.states):
            if self._levels[n] < highest:
                break
            highest = max(highest, self._levels[n])
        else:
            n = next(reversed(self.states))
            del self.states[n]
            return self._levels.pop(n) + 1
        del self.states[n], self._levels[n]
        return 0

    def all_states(self) -> dict[int, object]:
        """A copy of what is kept: the checkpoints, and the state of the last step."""
        return {**self.states, self.offered - 1: self._last} if self.offered else {}
