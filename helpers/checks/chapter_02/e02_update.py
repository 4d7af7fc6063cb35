"""Exercise 2: one update of the Kalman filter when some entries of the reading are missing."""

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

OF_BOTH = (
    (
        "you drop the whole reading as soon as one entry is missing; the others still tell something",
        lambda m, P, y, mask, C, R: _update(m, P, y, mask, C, R) if mask.all() else (m, P),
    ),
    (
        "you empty the rows of C and keep all of R, whose off-diagonal entries then tie observed sensors to "
        "missing ones; keep the observed block only, `R[mask][:, mask]`",
        lambda m, P, y, mask, C, R: _condition(
            m, P, torch.where(mask, y - C @ m, 0.0), torch.where(mask[:, None], C, 0.0), R
        ),
    ),
    (
        "you take the first rows and columns of R, as many as entries are observed; take those that are "
        "observed, `R[mask][:, mask]`",
        lambda m, P, y, mask, C, R: _condition(
            m, P, (y - C @ m)[mask], C[mask], R[: mask.sum(), : mask.sum()]
        ),
    ),
    (
        "you use the diagonal of R only; the noises of these sensors are correlated",
        lambda m, P, y, mask, C, R: _update(m, P, y, mask, C, R.diag().diag()),
    ),
)
OF_THE_MEAN = (
    (
        "a missing entry enters as if 0 had been read; 0 is a reading like any other. Leave its row of C out",
        lambda m, P, y, mask, C, R: _condition(m, P, torch.where(mask, y, 0.0) - C @ m, C, R),
    ),
    (
        "your mean is NaN, since a NaN stays a NaN when it is multiplied by zero; `y[mask]` leaves it out",
        lambda m, P, y, mask, C, R: (_update(m, P, y, mask, C, R)[0] + (0 * y).sum(), P),
    ),
    (
        "whatever stands in y where the mask is False enters your mean; it means nothing",
        lambda m, P, y, mask, C, R: _condition(m, P, y - C @ m, C, R),
    ),
    (
        "a missing entry enters as if its prediction had been read, innovation 0, which makes the filter too "
        "sure of the prediction; leave its row of C out",
        lambda m, P, y, mask, C, R: _condition(m, P, torch.where(mask, y - C @ m, 0.0), C, R),
    ),
)
OF_THE_COVARIANCE = (
    (
        "your covariance shrinks as if every entry had been read; the rows of C and R that belong to missing "
        "entries must go",
        lambda m, P, y, mask, C, R: _condition(m, P, torch.zeros_like(y), C, R),
    ),
    (
        "you return the covariance of before the update; what is read makes it smaller, by K C P",
        lambda m, P, y, mask, C, R: (m, P),
    ),
)


def update(answer, seed: int = 1) -> Verdict:
    """Exercise 2: `answer(m (H,), P (H, H), y (D,), mask (D,), C (D, H), R (D, D))`.

    It returns the mean (H,) and the covariance (H, H) of the state, given the observed entries of y.
    """
    cases = {
        "both entries observed": _two_sensors([3.0, 4.0], [True, True]),
        "the second missing, stored as 0": _two_sensors([3.0, 0.0], [True, False]),
        "the first missing, stored as -999": _two_sensors([-999.0, 4.0], [False, True]),
        "the second missing, stored as NaN": _two_sensors([3.0, torch.nan], [True, False]),
        "nothing observed": _two_sensors([0.0, 0.0], [False, False]),
        "two of four sensors, at random": _four_sensors(torch.Generator().manual_seed(seed)),
    }
    ideas = {"mean": OF_BOTH + OF_THE_MEAN, "covariance": OF_BOTH + OF_THE_COVARIANCE}
    return examine("update", answer, cases, _update, ideas)


def _two_sensors(y: list[float], mask: list[bool]) -> dict[str, Tensor]:
    """Two sensors of two states, whose noises are correlated."""
    return {
        "m": torch.tensor([1.0, 2.0]),
        "P": torch.tensor([[2.0, 0.8], [0.8, 1.0]]),
        "y": torch.tensor(y),
        "mask": torch.tensor(mask),
        "C": torch.tensor([[1.0, 0.0], [0.5, 1.0]]),
        "R": torch.tensor([[0.5, 0.3], [0.3, 1.2]]),
    }


def _four_sensors(generator: Generator) -> dict[str, Tensor]:
    """Four sensors of three states at random, of which the last and one other are observed."""
    root, noise_root = torch.randn(3, 3, generator=generator), torch.randn(4, 4, generator=generator)
    mask = torch.tensor([False, False, False, True])
    mask[torch.randint(1, 3, (), generator=generator)] = True
    return {
        "m": torch.randn(3, generator=generator),
        "P": root @ root.T + torch.eye(3),
        "y": torch.where(mask, 3 * torch.randn(4, generator=generator), torch.nan),
        "mask": mask,
        "C": torch.randn(4, 3, generator=generator),
        "R": noise_root @ noise_root.T + torch.eye(4),
    }


def _update(m: Tensor, P: Tensor, y: Tensor, mask: Tensor, C: Tensor, R: Tensor):
    return _condition(m, P, (y - C @ m)[mask], C[mask], R[mask][:, mask])


def _condition(m: Tensor, P: Tensor, innovation: Tensor, C: Tensor, R: Tensor):
    """Mean and covariance of the state after an innovation of which every entry counts."""
    K = torch.linalg.solve(C @ P @ C.T + R, C @ P).T
    return m + K @ innovation, P - K @ C @ P
