"""Exercise 2: what a phosphorylation cycle keeps, by hand, and a field that is made to keep it."""

import torch
from torch import Tensor

from helpers.checks.attempt import is_blank
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict, combine
from helpers.systems import MassAction

CYCLE = MassAction(["E + X <-> EX", "EX -> E + Xp", "F + Xp <-> FXp", "FXp -> F + X"], 1.0)
TOTALS = {
    "the kinase": ("E", "EX"),
    "the phosphatase": ("F", "FXp"),
    "the protein": ("X", "Xp", "EX", "FXp"),
}
ROUND_OFF = 1e-5
SHAPE = f"three rows of {len(CYCLE.species)} numbers, one for each of {', '.join(CYCLE.species)}"
SLIPS = {
    ("X", "Xp"): "the protein sits in both complexes too: count what is bound",
    ("X", "Xp", "EX"): "the protein sits in both complexes; you count one",
    ("X", "Xp", "FXp"): "the protein sits in both complexes; you count one",
    ("E",): "the kinase is free or at work: count EX as well",
    ("F",): "the phosphatase is free or at work: count FXp as well",
    CYCLE.species: "two molecules become one where they bind: what is kept is the total of one kind",
}


def _project(F: Tensor, L: Tensor) -> Tensor:
    """F - F L⁺ L, row by row: what is left of F is orthogonal to the rows of L."""
    return F - F @ L.mT @ torch.linalg.solve(L @ L.mT, L)


def _one_by_one(F: Tensor, L: Tensor) -> Tensor:
    for row in L:
        F = F - (F @ row)[:, None] * row / row.square().sum()
    return F


def _of_length_one(F: Tensor, L: Tensor) -> Tensor:
    rows = L / L.norm(dim=1, keepdim=True)
    return F - F @ rows.mT @ rows


MISCONCEPTIONS = (
    (
        "Lᵀ L F is too long: a row of L counts several species, and its length is not 1. Divide by L Lᵀ",
        lambda F, L: F - F @ L.mT @ L,
    ),
    (
        "each row by itself is right where the rows are orthogonal. These share a species, the complex: "
        "solve with the whole matrix L Lᵀ",
        _of_length_one,
    ),
    (
        "one row after the other: what you take out for the last row brings the first back, because they "
        "share a species. Solve with the whole matrix L Lᵀ",
        _one_by_one,
    ),
    ("you return the part that breaks the totals; subtract it from F", lambda F, L: F - _project(F, L)),
    ("you add the part that breaks the totals; subtract it", lambda F, L: 2 * F - _project(F, L)),
    ("you return F as it is; L F is not zero yet", lambda F, L: F.clone()),
    (
        "a field of zeros keeps every total, and everything else. Take out only what breaks them",
        lambda F, L: torch.zeros_like(F),
    ),
)


def totals(L, project=None, seed: int = 1) -> Verdict:
    """Exercise 2: L (3, 6) by hand, and `project(F (B, D), L (K, D)) -> (B, D)` that keeps L y."""
    if is_blank(L) and is_blank(project):
        return Verdict("totals")
    generator = torch.Generator().manual_seed(seed)
    overlapping = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    one = {"F": torch.tensor([[3.0, 1.0, 5.0]]), "L": torch.tensor([[1.0, 1.0, 0.0]])}
    cases = {
        "project, one total, by hand": one,
        "project, two totals that share a species": _field(generator, overlapping),
        "project, three totals at random": _field(generator, torch.randn(3, 6, generator=generator)),
    }
    projected = examine("project", project, cases, _project, MISCONCEPTIONS)
    return combine("totals", Verdict("L", _judge_rows(L)), projected)


def _field(generator: torch.Generator, L: Tensor) -> dict[str, Tensor]:
    return {"F": torch.randn(4, L.shape[1], generator=generator), "L": L}


def _judge_rows(answer: object) -> tuple[Item, ...]:
    """An item for each of three rows, and one for all totals being there."""
    if is_blank(answer):
        return (Item(False, "L: not answered yet"),) * 4
    try:
        L = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return (Item(False, f"L: write {SHAPE}"),) * 4
    if L.ndim != 2 or L.shape[1] != len(CYCLE.species):
        return (Item(False, f"L: write {SHAPE}; yours has shape {tuple(L.shape)}"),) * 4
    return (*(_judge_row(number, L) for number in (1, 2, 3)), _judge_completeness(L))


def _judge_row(number: int, L: Tensor) -> Item:
    if number > len(L):
        return Item(False, f"row {number} is missing: there are three totals")
    row = L[number - 1]
    name = f"row {number}, {_as_sum(row)}"
    if not row.any() or not row.isfinite().all():
        return Item(False, f"{name}: it says nothing")
    changing = _changes(row).nonzero().flatten().tolist()
    if not changing:
        return Item(True, f"{name}: no reaction changes it")
    reaction, change = CYCLE.steps[changing[0]], (row @ CYCLE.stoichiometry)[changing[0]]
    slips = (slip for species, slip in SLIPS.items() if _rank(row, _total(species)) == 1)
    reason = next(slips, "the left side of a reaction must weigh as much as the right")
    return Item(False, f"{name}: `{reaction}` changes it by {change:g}; {reason}")


def _judge_completeness(L: Tensor) -> Item:
    kept = L[~_changes(L).any(1)]
    rank = _rank(*kept)
    if rank < len(TOTALS):
        missing = next(name for name, species in TOTALS.items() if _rank(*kept, _total(species)) > rank)
        return Item(False, f"that of {missing} is missing: your rows give {rank} of three totals")
    if len(L) > rank:
        return Item(False, f"{len(L)} rows are more than needed: all but three follow from the others")
    return Item(True, "three rows, none of which follows from the others: six species less rank S = 3")


def _changes(rows: Tensor) -> Tensor:
    """Whether each reaction changes each row's total, beyond rounding to single precision, (..., R)."""
    changes = (rows @ CYCLE.stoichiometry).abs()
    return ~(changes <= ROUND_OFF * rows.abs().amax(-1, keepdim=True))


def _rank(*rows: Tensor) -> int:
    return int(torch.linalg.matrix_rank(torch.stack(rows))) if rows else 0


def _total(species: tuple[str, ...]) -> Tensor:
    return torch.tensor([float(name in species) for name in CYCLE.species], dtype=torch.float64)


def _as_sum(row: Tensor) -> str:
    """A row as a sum of species: `X + 2 EX - F`."""
    terms = [
        f"{'-' if weight < 0 else '+'} {'' if abs(weight) == 1 else f'{abs(weight):g} '}{name}"
        for name, weight in zip(CYCLE.species, row.tolist(), strict=True)
        if abs(weight) > ROUND_OFF
    ]
    return " ".join(terms).removeprefix("+ ") or "0"
