"""Exercise 9: how much a look ahead is worth, by theory."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _predicted(f: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """P⁻ of the steady state, before the reading: P⁻ = f² P⁻ r/(P⁻ + r) + q."""
    half = (q + f**2 * r - r) / 2
    return half + (half**2 + q * r).sqrt()


def _filtered(f: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """1/P = 1/P⁻ + 1/r."""
    return 1 / (1 / _predicted(f, q, r) + 1 / r)


def _stationary(f: Tensor, q: Tensor, r: Tensor) -> Tensor:
    return q / (1 - f**2)


def _smoothed(
    f: Tensor,
    q: Tensor,
    r: Tensor,
    *,
    future: Callable = _predicted,
    counted_twice: Callable = lambda *model: 1 / _stationary(*model),
) -> Tensor:
    """1/P = 1/P of the past and now + 1/P of the future - 1/V, which both have counted."""
    return 1 / (1 / _filtered(f, q, r) + 1 / future(f, q, r) - counted_twice(f, q, r))


def _both(f: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    return _filtered(f, q, r), _smoothed(f, q, r)


OF_FILTER = (
    (
        "that is before the reading of the same step has been used, P⁻; with it, 1/P = 1/P⁻ + 1/r",
        _predicted,
    ),
    ("that is who reads nothing: V = q/(1 - f²)", _stationary),
    ("that is the error of one reading by itself; the past says something, too", lambda f, q, r: r + 0 * f),
    (
        "you use one reading and no past; the state of the step before is known better than V",
        lambda f, q, r: 1 / (1 / _stationary(f, q, r) + 1 / r),
    ),
    ("that is the smoother; the filter reads nothing that comes later", _smoothed),
    (
        "that is the root, a standard deviation; a variance is asked for",
        lambda f, q, r: _filtered(f, q, r).sqrt(),
    ),
)
OF_SMOOTHER = (
    (
        "you count the stationary distribution twice: past and future both begin with it. Take 1/V away once",
        partial(_smoothed, counted_twice=lambda f, q, r: 0.0),
    ),
    (
        "you count the reading of the step itself twice: it is in the filter, so the future brings P⁻ only",
        partial(_smoothed, future=_filtered),
    ),
    (
        "you count the reading of the step itself and the stationary distribution twice; that is half of "
        "the filter's variance",
        lambda f, q, r: _filtered(f, q, r) / 2,
    ),
    (
        "the reading of the step itself is not in yours: 1/r is missing",
        lambda f, q, r: 1 / (2 / _predicted(f, q, r) - 1 / _stationary(f, q, r)),
    ),
    ("that is the filter; the readings that come later say something, too", _filtered),
    (
        "you average the variances of two directions; what adds up is 1 over them, the precision",
        lambda f, q, r: (_filtered(f, q, r) + _predicted(f, q, r)) / 2,
    ),
    (
        "that is the root, a standard deviation; a variance is asked for",
        lambda f, q, r: _smoothed(f, q, r).sqrt(),
    ),
)


def look_ahead(answer, seed: int = 1) -> Verdict:
    """Exercise 9: `answer(f (N,), q (N,), r (N,)) -> filtered (N,), smoothed (N,)`: two variances."""
    draws = torch.Generator().manual_seed(seed)
    f, q, r = torch.rand(3, 5, generator=draws, dtype=torch.float64)
    cases = {
        "f² = 1/2, q = 1, r = 2, by hand": _model([0.5**0.5], [1.0], [2.0]),
        "f = 0, no memory": _model([0.0], [1.0], [3.0]),
        "a slow signal under coarse readings": _model([0.99], [0.01], [4.0]),
        "five signals at random": {"f": 0.3 + 0.65 * f, "q": 0.2 + q, "r": 0.2 + 2 * r},
    }
    return examine("look_ahead", answer, cases, _both, {"filtered": OF_FILTER, "smoothed": OF_SMOOTHER})


def _model(*rows: list[float]) -> dict[str, Tensor]:
    return dict(zip("fqr", torch.tensor(rows, dtype=torch.float64), strict=True))
