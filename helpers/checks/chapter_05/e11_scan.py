"""Exercise 11: all states of a linear gate at once, by an associative scan."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict

LONG = 1024
MOST_CALLS = 400  # of PyTorch's functions; ten passes need about 100, a loop over 1024 steps 2000 or more


def _loop(
    a: Tensor,
    b: Tensor,
    *,
    step: Callable = lambda h, a_t, b_t: a_t * h + b_t,
) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from h_0 = 0, (T, H)."""
    h, states = torch.zeros_like(b[0]), []
    for a_t, b_t in zip(a, b, strict=True):
        h = step(h, a_t, b_t)
        states.append(h)
    return torch.stack(states)


def _passes(
    a: Tensor,
    b: Tensor,
    *,
    join: Callable = lambda a_1, b_1, a_2, b_2: (a_2 * a_1, b_2 + a_2 * b_1),
    widen: Callable = lambda reach: 2 * reach,
    most: int | None = None,
) -> Tensor:
    """Each step joined with the one `reach` before it, pass by pass; `join(earlier, later)`."""
    reach = 1
    while reach < min(len(a), most or len(a)):
        new_a, new_b = join(a[:-reach], b[:-reach], a[reach:], b[reach:])
        a, b = torch.cat([a[:reach], new_a]), torch.cat([b[:reach], new_b])
        reach = widen(reach)
    return b


def _factors_first(a_1: Tensor, b_1: Tensor, a_2: Tensor, b_2: Tensor) -> tuple[Tensor, Tensor]:
    """The later factor overwritten by the product before b has used it."""
    return a_2 * a_1, b_2 + a_2 * a_1 * b_1


def _by_division(a: Tensor, b: Tensor) -> Tensor:
    """Σ_k (a_T ⋯ a_1)/(a_k ⋯ a_1) b_k."""
    product = a.cumprod(0)
    return product * (b / product).cumsum(0)


MISCONCEPTIONS = (
    (
        "you join in the wrong order: what the earlier step left, b_1, is multiplied by the later factor, "
        "a_2",
        partial(_passes, join=lambda a_1, b_1, a_2, b_2: (a_2 * a_1, b_1 + a_1 * b_2)),
    ),
    (
        "you overwrite a before b has used it: b needs the later step's factor as it was before this pass",
        partial(_passes, join=_factors_first),
    ),
    (
        "your factors are never joined: after two steps the factor is a_2 a_1, which the next pass needs",
        partial(_passes, join=lambda a_1, b_1, a_2, b_2: (a_2, b_2 + a_2 * b_1)),
    ),
    (
        "your sums lack the factor: what the earlier step left is multiplied by a_2 before b_2 is added",
        partial(_passes, join=lambda a_1, b_1, a_2, b_2: (a_2 * a_1, b_2 + b_1)),
    ),
    (
        "you make a single pass, so that each state knows of two steps only; go on with a reach of 2, "
        "4, 8, …",
        partial(_passes, most=2),
    ),
    (
        "your reach grows by 1; after the first pass each entry stands for two steps, after the next "
        "for four",
        partial(_passes, widen=lambda reach: reach + 1),
    ),
    (
        "you divide by the product of all factors so far, which is 0 after a gate that shuts, and soon "
        "underflows after many that half shut: join steps, and divide by nothing",
        _by_division,
    ),
    (
        "you add b before you multiply: h_t = a_t h_{t-1} + b_t",
        partial(_loop, step=lambda h, a_t, b_t: a_t * (h + b_t)),
    ),
)


def scan(answer, seed: int = 1) -> Verdict:
    """Exercise 11: `answer(a (T, H), b (T, H)) -> (T, H)`, in a number of passes that grows as log T."""
    draws = torch.Generator().manual_seed(seed)
    shut = _gate(draws, steps=6, units=2)
    shut["a"][2] = 0.0
    cases = {
        "three steps, by hand": {
            "a": torch.tensor([[7.0], [2.0], [3.0]]),
            "b": torch.tensor([[1.0], [1.0], [1.0]]),
        },
        "one step": _gate(draws, steps=1, units=3),
        "eight steps": _gate(draws, steps=8, units=2),
        "a gate that shuts at step 3": shut,
        "thirteen steps, no power of two": _gate(draws, steps=13, units=4),
        "500 steps of a gate that half shuts": {
            "a": torch.full((500, 1), 0.5),
            "b": torch.randn(500, 1, generator=draws),
        },
    }
    return examine("scan", answer, cases, _loop, MISCONCEPTIONS, _count_calls)


def _gate(draws: torch.Generator, steps: int, units: int) -> dict[str, Tensor]:
    return {
        "a": 0.2 + 0.8 * torch.rand(steps, units, generator=draws),
        "b": torch.randn(steps, units, generator=draws),
    }


class _Calls(TorchFunctionMode):
    """Counts every function of PyTorch that is called within it."""

    count = 0

    def __torch_function__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ):
        self.count += 1
        return function(*args, **(kwargs or {}))


def _count_calls(function: Callable) -> Iterator[Item]:
    """Whether the long way is short: a loop over the steps calls PyTorch more often than all passes do."""
    given = _gate(torch.Generator().manual_seed(0), LONG, 1)
    with _Calls() as calls:
        try:
            function(*given.values())
        except Exception:  # the cases have told what it is
            return
    done = f"{LONG} steps: PyTorch was called {calls.count} times"
    if calls.count <= MOST_CALLS:
        yield Item(True, f"{done}; a loop over the steps calls it thousands of times")
    else:
        yield Item(False, f"{done}; each pass should join all steps at once, and there are ten of them")
