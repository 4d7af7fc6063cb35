"""Tasks that ask for memory and nothing else, and what is reached on them without any."""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from helpers.arguments import check_fits, check_generator, check_not_negative_number, check_whole_number

ADDING_BASELINE = 1 / 6
"""Mean squared error of the constant 1: twice the variance 1/12 of one summand."""


def delayed_response(
    batch: int, lag: int, generator: Generator, *, choices: int = 4, noise: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Draw trials that show a cue at once and ask for it `lag` steps later.

    ::

        x_1 = cue,   x_{lag+1} = go,   plus noise · N(0, 1) at every step and in every feature

    Who knows nothing is right in 1 / choices of the trials, at a cross-entropy of ln(choices).

    Parameters
    ----------
    batch : int
        Number of trials, B.
    lag : int
        Steps from the cue to the go signal.
    generator : torch.Generator
        The trials are on its device.
    choices : int
        Number of cues, at least 2.
    noise : float
        Standard deviation of what distracts.

    Returns
    -------
    x : Tensor (B, lag + 1, choices + 1)
        One feature for each cue, and the last one for the go signal.
    y : Tensor (B,), int64
        Which cue it was, 0 to choices - 1: to be told after the last step.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1 (`choices`: 2), or the noise is negative or too large.
    """
    _check(batch, generator, lag=lag)
    check_whole_number("choices", choices, least=2)
    check_not_negative_number("noise", noise)
    check_fits("noise", noise, torch.get_default_dtype())
    y = torch.randint(choices, (batch,), generator=generator, device=generator.device)
    shape = batch, lag + 1, choices + 1
    x = noise * torch.randn(shape, generator=generator, device=generator.device)
    x[:, 0, :choices] += one_hot(y, choices)
    x[:, -1, choices] += 1
    return x, y


def adding_problem(batch: int, T: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw series of numbers of which two are marked, to be added up.

    ::

        u_t ~ U(0, 1),   y = u_i + u_j,   i in the first half of the steps, j in the second

    The best constant answer is 1, at a mean squared error of 1/6 (`ADDING_BASELINE`).

    Parameters
    ----------
    batch : int
        Number of series, B.
    T : int
        Steps, at least 2.
    generator : torch.Generator
        The series are on its device.

    Returns
    -------
    x : Tensor (B, T, 2)
        The numbers u_t, and 1 where they are marked, else 0.
    y : Tensor (B,)
        The sum: to be told after the last step.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1 (T: 2).

    Source: Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9:1735-1780, in the
    form of Arjovsky, Shah and Bengio (2016), Unitary evolution recurrent neural networks, ICML.
    """
    _check(batch, generator)
    check_whole_number("T", T, least=2)
    device, half = generator.device, T // 2
    u = torch.rand(batch, T, generator=generator, device=device)
    i = torch.randint(half, (batch,), generator=generator, device=device)
    j = torch.randint(half, T, (batch,), generator=generator, device=device)
    marked = one_hot(i, T) + one_hot(j, T)
    return torch.stack([u, marked.to(u)], dim=-1), (u * marked).sum(1)


def copying_problem(
    batch: int, T: int, generator: Generator, *, symbols: int = 8, length: int = 10
) -> tuple[Tensor, Tensor]:
    """Draw words to be repeated T steps after they were shown.

    ::

        shown:   s_1 … s_10  - - - - … - : - - … -        10 symbols, T - 1 blanks, go, 10 blanks
        wanted:  -  …  -  -  - - - - … - - s_1 … s_10     T + 10 blanks, 10 symbols

    Who knows when, and not what, reaches a cross-entropy of `copying_baseline(T)` per step.

    Parameters
    ----------
    batch : int
        Number of words, B.
    T : int
        Delay.
    generator : torch.Generator
        The words are on its device.
    symbols : int
        Size of the alphabet, without blank and go.
    length : int
        Symbols in a word.

    Returns
    -------
    x : Tensor (B, T + 2·length, symbols + 2)
        One feature for each symbol, then blank, then go.
    y : Tensor (B, T + 2·length), int64
        Which symbol is wanted after each step; `symbols` is blank.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1.

    Source: Arjovsky, Shah and Bengio (2016), Unitary evolution recurrent neural networks, ICML, after
    Hochreiter and Schmidhuber (1997).
    """
    _check(batch, generator, T=T, symbols=symbols, length=length)
    word = torch.randint(symbols, (batch, length), generator=generator, device=generator.device)
    blank, go = symbols, symbols + 1
    shown = word.new_full((batch, T + 2 * length), blank)
    wanted = shown.clone()
    shown[:, :length], wanted[:, -length:] = word, word
    shown[:, T + length - 1] = go
    return one_hot(shown, symbols + 2).to(torch.get_default_dtype()), wanted


def copying_baseline(T: int, *, symbols: int = 8, length: int = 10) -> float:
    """Return the cross-entropy per step of who repeats a word's length and guesses its symbols.

    ::

        length · ln(symbols) / (T + 2·length)

    Parameters
    ----------
    T, symbols, length : int
        As of `copying_problem`.

    Raises
    ------
    ValueError
        If one is no whole number of at least 1.
    """
    for name, value in {"T": T, "symbols": symbols, "length": length}.items():
        check_whole_number(name, value)
    return length * math.log(symbols) / (T + 2 * length)


def _check(batch: int, generator: Generator, **sizes: int) -> None:
    for name, value in {"batch": batch, **sizes}.items():
        check_whole_number(name, value)
    check_generator("generator", generator)
