"""Exercise 6: four ways to start an LSTM, told apart by how much of a gradient their highways carry."""

import math

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.recurrent import LSTM, chrono_

STEPS, UNITS = 200, 512
BIAS, LONGEST = 3.0, 150
TIME_CONSTANT = -1 / math.log(1 / (1 + math.exp(-BIAS)))
PLAIN, STEADY, SPREAD, STUCK = "forget bias 0", "forget bias 3", "chrono", "stuck open"
STARTS = Figure(
    "four starts",
    {"A": SPREAD, "B": STUCK, "C": PLAIN, "D": STEADY},
    {
        PLAIN: "a line that falls to a half at each step, and is gone after some thirty",
        STEADY: "a line, by 0.953 per step: all units have one time constant",
        SPREAD: "no line at all: it falls fast while the units with short memories lose theirs, and ever "
        "more slowly, when only those with long ones are left",
        STUCK: "a level line: all arrives, from everywhere",
    },
    phrases=True,
)
TASKS = Figure(
    "four tasks",
    {"task for A": "any delay", "task for B": "count", "task for C": "react", "task for D": "smooth"},
    {
        "any delay": "it needs units of many time constants, for nobody knows how long the delays are",
        "count": "it needs units that lose nothing at all between the first event and the last",
        "react": "it needs what was read one or two steps ago, and to be rid of the rest",
        "smooth": "it needs an average over some twenty steps, the same for all units",
    },
    phrases=True,
)
TAU_READ = Number(
    "tau_read",
    truth=TIME_CONSTANT,
    relatively=0.08,
    right="{answer:g}; at a forget bias of 3, f = 0.953 and -1/ln f = 20.6",
    slips=(
        (math.log(2) * TIME_CONSTANT, "that is where half is left; at τ it is 1/e = 0.37"),
        (math.log(10) * TIME_CONSTANT, "that is where a tenth is left; at τ it is 1/e = 0.37"),
        (1 / math.log(2), "that is the time constant of the start that falls to a half at each step"),
        (BIAS, "that is the bias; read the time constant off the line, in steps"),
    ),
    recipe="find the step k at which the line has come down to 1/e = 0.37",
)
LONGEST_READ = Number(
    "longest_read",
    truth=LONGEST,
    relatively=0.08,
    right=f"{{answer:g}}; the units were spread evenly over time constants from 1 to {LONGEST} steps",
    slips=(
        (lambda answer: 57 <= answer <= 73, "that is where 1/e is left; at T_max it is 0.148, on average"),
        (STEPS, "that is the end of the figure"),
    ),
    recipe="at T_max the units carry 0.148 on average (section 5.4): at which k does the bent curve do so?",
)


def starts_figure(names: object, tau_read: object, longest_read: object, tasks: object) -> Verdict:
    """Exercise 6: which of the `four_starts` is which, two numbers read off them, and their uses."""
    numbers = TAU_READ.judge(tau_read), LONGEST_READ.judge(longest_read)
    return combine("starts_figure", *STARTS.judge(names), *numbers, *TASKS.judge(tasks))


def four_starts(seed: int = 5) -> dict[str, Tensor]:
    """Π f over the last k steps for k = 0 … 200, the mean over 512 units (201,), of four fresh LSTMs."""
    draws = torch.Generator().manual_seed(seed)
    return {label: _carried(kind, draws) for label, kind in STARTS.names.items()}


@torch.no_grad()
def _carried(kind: str, draws: torch.Generator) -> Tensor:
    """What the highway carries over k steps, where nothing is read and every state is still 0."""
    bias = {PLAIN: 0.0, STEADY: BIAS, STUCK: 30.0}.get(kind)
    cell = LSTM(1, UNITS, forget_bias=bias, generator=draws, dtype=torch.float64)
    if kind == SPREAD:
        chrono_(cell, LONGEST, generator=draws)
    at_rest = torch.zeros(1, 2 * UNITS, dtype=torch.float64)
    f = cell.gates(at_rest, cell.project(torch.zeros(1, 1, 1, dtype=torch.float64))[:, 0]).f[0]
    return (f ** torch.arange(STEPS + 1).unsqueeze(-1)).mean(-1)
