"""The loop in which stepper and controller meet: State in, State out."""

from collections.abc import Callable
from typing import Protocol

from helpers.odes.path import Path
from helpers.odes.state import State
from helpers.odes.stepper import Step


class Controller(Protocol):
    """From a state and the step of that trial to the next state; the first trial is 0."""

    def __call__(self, state: State, step: Step, trial: int) -> State: ...

    def steps_left(self, state: State, trial: int) -> float:
        """How many steps the samples still need, about; 0 when none goes on."""
        ...


MOST_BETWEEN_POLLS, WARY = 8, 4


def integrate(stepper: Callable[[State], Step], control: Controller, state: State, max_steps: int) -> Path:
    """Try steps until every sample has arrived or failed, but no more than `max_steps`.

    The host polls the device for the steps of present size that are left, and polls again after a quarter of
    them, after eight at most: seldom far from the end, before each step close to it, so that hardly a step is
    taken in vain.
    """
    path = Path()
    path.begin(state)
    next_poll = 0
    for trial in range(max_steps):
        if trial == next_poll:
            left = control.steps_left(state, trial)
            if not left:
                break
            next_poll += min(max(int(left) // WARY, 1), MOST_BETWEEN_POLLS)
        step = stepper(state)
        state = control(state, step, trial)
        path.append(step, state)
    return path
