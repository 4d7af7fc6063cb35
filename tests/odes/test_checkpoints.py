"""Which states are kept, and how many steps are taken again: against the optimum by dynamic programming."""

from functools import cache

import pytest

from helpers.odes.checkpoints import (
    Checkpoints,
    next_checkpoint,
    optimal_advances,
    planned_checkpoints,
    way_back,
)


@cache
def fewest_advances(steps, slots):
    """The optimum by trying every place for the next checkpoint."""
    if steps <= 1:
        return 0
    if slots == 1:
        return steps * (steps - 1) // 2
    return min(s + fewest_advances(steps - s, slots - 1) + fewest_advances(s, slots) for s in range(1, steps))


def advances(steps, slots, kept):
    """How many steps the way back takes beside each one's reversal; every start must be at hand."""
    at_hand, count, expected = {*kept, steps - 1}, 0, steps - 1
    for n, begin, new in way_back(steps, slots, sorted(at_hand)):
        assert n == expected and begin in at_hand and begin <= n and all(begin < k <= n for k in new)
        count += n - begin
        at_hand = (at_hand | new) - {n}
        assert len(at_hand) <= slots
        expected -= 1
    assert expected == -1
    return count


def swept(steps, slots, planned=None):
    checkpoints = Checkpoints(slots, planned)
    for n in range(steps):
        checkpoints.offer(n)
        assert len(checkpoints.states) <= slots
    assert all(number == state for number, state in checkpoints.all_states().items())
    return sorted(checkpoints.states)


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8])
def test_the_formula_is_the_optimum_and_the_next_checkpoint_attains_it(slots):
    for steps in range(1, 70):
        best = fewest_advances(steps, slots)
        assert optimal_advances(steps, slots) == best
        if slots > 1 and steps > 1:
            s = next_checkpoint(steps, slots)
            assert s + fewest_advances(steps - s, slots - 1) + fewest_advances(s, slots) == best


@pytest.mark.parametrize("slots", [2, 3, 5, 16, 64])
def test_with_known_steps_no_more_are_taken_than_the_optimum(slots):
    """The first sweep of N - 1 steps is the forward pass."""
    for steps in [*range(1, 80), 200, 1000]:
        kept = swept(steps, slots, planned=steps)
        assert kept == planned_checkpoints(steps, slots)
        assert advances(steps, slots, kept) == optimal_advances(steps, slots) - (steps - 1)


@pytest.mark.parametrize("slots", [2, 3, 5, 16, 64])
def test_with_unknown_steps_within_twice_the_optimum(slots):
    """Steps taken again, each one's reversal included; no more than 1.5 times in fact."""
    for steps in [*range(1, 200), 1000, 3000]:
        best = optimal_advances(steps, slots) - (steps - 1) + steps
        taken = advances(steps, slots, swept(steps, slots)) + steps
        assert best <= taken <= 1.5 * best
        if steps <= slots:
            assert taken == steps


def test_kept_states_are_let_go_when_a_sweep_ends_early():
    """A plan that was too long still comes back."""
    assert advances(7, 3, swept(7, 3, planned=100)) >= optimal_advances(7, 3) - 6
