"""Exercise 3: the covariance after an update with any gain."""

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict

MISCONCEPTIONS = (
    (
        "your covariance still lacks the noise that the reading brings in: the error contains - K v, whose "
        "covariance is K R Kᵀ",
        lambda P, C, R, K: _error_map(C, K) @ P @ _error_map(C, K).T,
    ),
    (
        "(I - K C) P is a shortcut that holds for the optimal gain only; with any other gain it is not even "
        "symmetric",
        lambda P, C, R, K: _error_map(C, K) @ P,
    ),
    (
        "(I - K C) P made symmetric is still wrong, and hides it; write the error as (I - K C) e - K v",
        lambda P, C, R, K: (_error_map(C, K) @ P + P @ _error_map(C, K).T) / 2,
    ),
    ("P - K S Kᵀ holds for the optimal gain only", lambda P, C, R, K: P - K @ (C @ P @ C.T + R) @ K.T),
    (
        "you transpose the first factor instead of the last: the covariance of M e is M P Mᵀ",
        lambda P, C, R, K: _error_map(C, K).T @ P @ _error_map(C, K) + K @ R @ K.T,
    ),
    (
        "your last factor is (I + K C)ᵀ; the covariance of M e is M P Mᵀ, with one and the same M",
        lambda P, C, R, K: _error_map(C, K) @ P @ _error_map(C, -K).T + K @ R @ K.T,
    ),
    (
        "you subtract K R Kᵀ; the variances of independent errors add, whatever the sign in front of K v",
        lambda P, C, R, K: _error_map(C, K) @ P @ _error_map(C, K).T - K @ R @ K.T,
    ),
    (
        "you add R itself; the noise enters through the gain, as K v, with covariance K R Kᵀ",
        lambda P, C, R, K: _error_map(C, K) @ P @ _error_map(C, K).T + R,
    ),
)


def posterior_covariance(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(P (H, H), C (D, H), R (D, D), K (H, D)) -> (H, H)`, for any gain K."""
    model = _model(torch.Generator().manual_seed(seed))
    S = model["C"] @ model["P"] @ model["C"].T + model["R"]
    optimal = model["P"] @ model["C"].T @ S.inverse()
    mixing = torch.tensor([[1.0, 0.6], [-0.4, 0.5]])
    scalar = {name: torch.tensor([[value]]) for name, value in {"P": 4.0, "C": 1.0, "R": 1.0}.items()}
    cases = {
        "the numbers above, K = 0.9": scalar | {"K": torch.tensor([[0.9]])},
        "the optimal gain": model | {"K": optimal},
        "half the optimal gain": model | {"K": optimal / 2},
        "no gain at all, K = 0": model | {"K": 0 * optimal},
        "a gain that mixes the sensors up": model | {"K": optimal @ mixing},
    }
    return examine("posterior_covariance", answer, cases, _posterior_covariance, MISCONCEPTIONS)


def _posterior_covariance(P: Tensor, C: Tensor, R: Tensor, K: Tensor) -> Tensor:
    return _error_map(C, K) @ P @ _error_map(C, K).T + K @ R @ K.T


def _error_map(C: Tensor, K: Tensor) -> Tensor:
    """I - K C, the part of the error that the update keeps."""
    return torch.eye(len(K)) - K @ C


def _model(generator: Generator) -> dict[str, Tensor]:
    """Two sensors of two states, at random."""
    roots = torch.randn(2, 2, 2, generator=generator)
    P, R = roots @ roots.mT + torch.eye(2)
    return {"P": P, "C": torch.randn(2, 2, generator=generator), "R": R}
