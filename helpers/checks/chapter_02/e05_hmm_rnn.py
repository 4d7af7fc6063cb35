"""Exercise 5: the filter of a hidden Markov model, as a recurrent network."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def hmm_rnn(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(likelihood (T, H), transition (H, H), initial (H,)) -> (T, H)`."""
    random = _random_readings(torch.Generator().manual_seed(seed))
    cases = {
        "one reading, by hand": _channel([[0.5, 2.0]]),
        "readings that tell nothing": _channel([[1.0, 1.0]] * 5),
        "a state that is never left": _channel([[1.0, 0.2], [0.3, 1.0], [0.2, 0.9], [1.0, 0.1]], leave=0.0),
        "12 readings, three states, at random": random,
        "densities of about 1e-30": random | {"likelihood": 1e-30 * random["likelihood"]},
    }
    return examine("hmm_rnn", answer, cases, _filter, MISCONCEPTIONS)


def _channel(likelihood: list[list[float]], leave: float = 0.4) -> dict[str, Tensor]:
    """A channel that opens with probability 0.1 and closes with probability `leave`, in one step."""
    return {
        "likelihood": torch.tensor(likelihood),
        "transition": torch.tensor([[0.9, 0.1], [leave, 1 - leave]]),
        "initial": torch.tensor([0.8, 0.2]),
    }


def _random_readings(generator: Generator) -> dict[str, Tensor]:
    return {
        "likelihood": torch.rand(12, 3, generator=generator) + 0.1,
        "transition": torch.softmax(2 * torch.randn(3, 3, generator=generator), -1),
        "initial": torch.softmax(torch.randn(3, generator=generator), -1),
    }


def _normalise(h: Tensor) -> Tensor:
    return h / h.sum(-1, keepdim=True)


def _filter(
    likelihood: Tensor, transition: Tensor, initial: Tensor, *, normalise: Callable = _normalise
) -> Tensor:
    """The recursion: the state moves, what it emits is weighed, and the result is normalised."""
    rows = [normalise(likelihood[0] * initial)]
    for emitted in likelihood[1:]:
        rows.append(normalise(emitted * (transition.T @ rows[-1])))
    return torch.stack(rows)


def _joint(likelihood: Tensor, transition: Tensor, initial: Tensor) -> Tensor:
    """Row t is the joint probability of state t and the readings up to it."""
    return _filter(likelihood, transition, initial, normalise=lambda h: h)


def _predict(likelihood: Tensor, transition: Tensor, initial: Tensor) -> Tensor:
    """Row t is the distribution of state t given the readings before it."""
    return torch.cat([initial[None], _filter(likelihood, transition, initial)[:-1] @ transition])


MISCONCEPTIONS = (
    (
        "`transition @ h` sums over where the state goes; sum over where it comes from, `transition.T @ h`: "
        "W_hh is the transpose",
        lambda likelihood, transition, initial: _filter(likelihood, transition.T, initial),
    ),
    (
        "you let the state move after the reading, so that your row t is the prediction for step t + 1; let "
        "it move first, and weigh the reading last",
        lambda likelihood, transition, initial: _filter(likelihood, transition, initial) @ transition,
    ),
    (
        "your row t is the prediction from the readings before t; multiply it by likelihood[t] and normalise",
        _predict,
    ),
    (
        "you move the state before the first reading; `initial` is its distribution at that reading",
        lambda likelihood, transition, initial: _filter(likelihood, transition, transition.T @ initial),
    ),
    (
        "you do not normalise: your rows are joint probabilities of the state and all readings so far",
        _joint,
    ),
    (
        "you normalise only at the end, when the products have underflowed to zero; normalise at every step",
        lambda likelihood, transition, initial: _normalise(_joint(likelihood, transition, initial)),
    ),
    (
        "softmax normalises logarithms, and you give it the product itself. Divide the product by its sum, "
        "or take softmax of its logarithm",
        lambda likelihood, transition, initial: _filter(
            likelihood, transition, initial, normalise=lambda h: torch.softmax(h, -1)
        ),
    ),
    (
        "you ignore the transitions: each row is the one before times the likelihood, as if the state "
        "never moved",
        lambda likelihood, transition, initial: _filter(likelihood, torch.eye(len(initial)), initial),
    ),
    (
        "you ignore the past: each row weighs `initial` by its own reading alone",
        lambda likelihood, transition, initial: _normalise(likelihood * initial),
    ),
    (
        "you ignore the readings: your rows are what the chain does unobserved",
        lambda likelihood, transition, initial: _filter(torch.ones_like(likelihood), transition, initial),
    ),
)
