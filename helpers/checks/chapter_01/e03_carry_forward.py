"""Exercise 3: carrying the last observation forward without looking ahead."""

import torch
from torch import Generator, Tensor

from helpers.checks.attempt import attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict
from helpers.series import IrregularBatch

MISCONCEPTIONS = (
    (
        "you fill backwards: rows before the first observation hold a value that is measured only later. "
        "Nothing was known then but `before`",
        lambda values, mask, before: torch.where(
            _seen(mask), _carry(values, mask, before), _next_observation(values, mask, before)
        ),
    ),
    (
        "you fill a gap with the observation that follows it; carry the last one forward",
        lambda values, mask, before: _next_observation(values, mask, before),
    ),
    (
        "you fill every gap with `before`; that is for rows before the first observation only",
        lambda values, mask, before: torch.where(mask, values, before),
    ),
    (
        "rows before the first observation keep what stands in `values`, which means nothing where the mask "
        "is False; they take `before`",
        lambda values, mask, before: torch.where(_seen(mask), _carry(values, mask, before), values),
    ),
    (
        "you return what stands in `values` where the mask is False; it was never measured",
        lambda values, mask, before: values,
    ),
    (
        "you carry the value of the step before, even where the step itself is observed",
        lambda values, mask, before: torch.cat([before[None], _carry(values, mask, before)[:-1]]),
    ),
)


def carry_forward(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(values (T, D), mask (T, D), before (D,)) -> (T, D)`, which never looks ahead."""
    late = torch.tensor([[0], [0], [1], [1]], dtype=torch.bool)
    gap = torch.tensor([[1], [0], [0], [1], [0]], dtype=torch.bool)
    series = _random_series(torch.Generator().manual_seed(seed))
    cases = {
        "before the first observation": _one_feature([0.0, 0.0, 7.0, 8.0], late, 5.0),
        "a gap of two": _one_feature([4.0, 0.0, 0.0, 1.0, 0.0], gap, 5.0),
        "a sentinel, -1, where nothing was measured": _one_feature([4.0, -1.0, -1.0, 1.0, -1.0], gap, 5.0),
        "nine visits, three features, at random": series,
    }
    return examine(
        "carry_forward",
        answer,
        cases,
        _carry,
        MISCONCEPTIONS,
        lambda fill: [_judge_causality(fill, series)],
    )


def _random_series(generator: Generator) -> dict[str, Tensor]:
    """Nine visits and three features, of which feature 0 is first observed at visit 6."""
    mask = torch.rand(9, 3, generator=generator) < 0.5
    mask[:, 0] = torch.arange(9) >= 6
    values = 10 * torch.rand(9, 3, generator=generator)
    return {"values": values, "mask": mask, "before": torch.tensor([-1.0, -2.0, -3.0])}


def _one_feature(values: list[float], mask: Tensor, before: float) -> dict[str, Tensor]:
    return {"values": torch.tensor(values)[:, None], "mask": mask, "before": torch.tensor([before])}


def _carry(values: Tensor, mask: Tensor, before: Tensor) -> Tensor:
    steps = torch.arange(len(values), dtype=values.dtype)
    batch = IrregularBatch(steps[None], values[None], mask[None], torch.tensor([len(steps)]))
    return batch.last_observed(before)[0]


def _next_observation(values: Tensor, mask: Tensor, before: Tensor) -> Tensor:
    return _carry(values.flip(0), mask.flip(0), before).flip(0)


def _seen(mask: Tensor) -> Tensor:
    return mask.cummax(0).values


def _judge_causality(function, series: dict[str, Tensor]) -> Item:
    """Whether earlier rows stay as they are when every value from row 5 on is altered."""
    altered = series | {"values": torch.where(torch.arange(9)[:, None] < 5, series["values"], 99.0)}
    expected = series["values"].double()
    now, then = (attempt(function, arguments, expected).answer for arguments in (series, altered))
    if now is None or then is None:
        return Item(False, "rows 0 to 4 could not be compared for two futures")
    differs = ((now != then) & ~(now.isnan() & then.isnan()))[:5]
    if not differs.any():
        return Item(True, "rows 0 to 4 stay the same when values measured from row 5 on are altered")
    row, feature = differs.nonzero()[0].tolist()
    message = f"row {row} of feature {feature} changes when values measured from row 5 on are altered"
    return Item(False, message + ": your function looks ahead")
