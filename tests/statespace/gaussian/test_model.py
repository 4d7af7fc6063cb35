"""What LinearGaussian accepts, and how it refuses the rest."""

import pytest
import torch

from helpers.statespace import LinearGaussian


def build(**change):
    matrices = {
        "transition": torch.eye(2),
        "observation": torch.ones(1, 2),
        "transition_covariance": torch.eye(2),
        "observation_covariance": torch.eye(1),
        "initial_mean": torch.zeros(2),
        "initial_covariance": torch.eye(2),
    }
    return LinearGaussian(**{**matrices, **change})


INDEFINITE = torch.tensor([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"transition": torch.ones(2, 3)}, r"transition must be square: got shape \(2, 3\)"),
        ({"transition_covariance": torch.ones(2)}, r"transition_covariance must be square: got shape \(2,\)"),
        (
            {"observation": torch.ones(1, 3)},
            r"observation must have shape \(…, D, H\) = \(…, D, 2\) as transition does: got \(1, 3\)",
        ),
        (
            {"observation_covariance": torch.eye(2)},
            r"observation_covariance must have shape .* = \(…, 1, 1\) as observation does: got \(2, 2\)",
        ),
        ({"initial_mean": torch.zeros(3)}, r"initial_mean must have shape .* got \(3,\)"),
        ({"initial_covariance": torch.eye(3)}, r"initial_covariance must have shape .* got \(3, 3\)"),
        ({"input": torch.ones(3, 1)}, r"input must have shape \(…, H, U\) = \(…, 2, U\)"),
        ({"diffuse": torch.tensor([True])}, r"diffuse must have shape .* got \(1,\)"),
        ({"diffuse": torch.ones(3, 2, dtype=torch.bool)}, r"diffuse must have shape .* got \(3, 2\)"),
        ({"initial_mean": torch.zeros(1, 1, 2)}, r"initial_mean must have shape \(B, H\) .* got \(1, 1, 2\)"),
        (
            {"initial_covariance": torch.eye(2).expand(1, 1, 2, 2)},
            r"initial_covariance must have shape \(B, H, H\) .* got \(1, 1, 2, 2\)",
        ),
        ({"diffuse": [True, True]}, "diffuse must be bool: got list"),
        ({"diffuse": torch.ones(2)}, "diffuse must be bool: got torch.float32"),
        (
            {"transition": torch.eye(2).int()},
            "transition must be a floating-point tensor: got a torch.int32 tensor",
        ),
        ({"transition": [[1.0]]}, "transition must be a floating-point tensor: got list"),
        (
            {"observation": torch.ones(1, 2).double()},
            "observation must have the dtype of transition: got torch.float64 and torch.float32",
        ),
        ({"transition": torch.tensor([[1.0, 0], [torch.nan, 1]])}, r"finite: transition\[1, 0\] = nan"),
        ({"transition_covariance": torch.eye(2) * torch.inf}, "transition_covariance must be finite"),
        (
            {"transition_covariance": torch.tensor([[1.0, 0.5], [0.0, 1.0]])},
            "transition_covariance must be symmetric: it differs from its transpose by 0.5",
        ),
        (
            {"transition_covariance": INDEFINITE},
            "transition_covariance must be positive semi-definite: its smallest eigenvalue is -1",
        ),
        (
            {"transition_covariance": torch.stack([torch.eye(2), INDEFINITE])},
            "its smallest eigenvalue is -1 at step 1",
        ),
        (
            {"transition_covariance": torch.stack([torch.eye(2), INDEFINITE]).unsqueeze(1)},
            "its smallest eigenvalue is -1 of series 1 at step 0",
        ),
        ({"initial_covariance": INDEFINITE.expand(2, 2, 2)}, "initial_covariance .* is -1 of series 0"),
        (
            {"transition": torch.ones(3, 2, 2), "observation": torch.ones(4, 1, 2)},
            "agree on the number of steps T: transition 3, observation 4",
        ),
        (
            {"transition": torch.ones(3, 1, 2, 2), "initial_mean": torch.zeros(2, 2)},
            "agree on the number of series B: transition 3, initial_mean 2",
        ),
        ({"transition": torch.ones(1, 1, 1, 2, 2)}, "transition must have at most four dimensions"),
    ],
    ids=[
        "A not square",
        "Q a vector",
        "C of other states",
        "R of other observations",
        "m0 of other states",
        "P0 of other states",
        "B of other states",
        "diffuse of other states",
        "diffuse of each series",
        "m0 with three axes",
        "P0 with four axes",
        "diffuse a list",
        "diffuse not bool",
        "A of integers",
        "A a list",
        "C of another dtype",
        "nan in A",
        "infinite Q",
        "asymmetric Q",
        "indefinite Q",
        "indefinite Q of a step",
        "indefinite Q of a series",
        "indefinite P0 of a series",
        "unequal steps",
        "unequal series",
        "five dimensions",
    ],
)
def test_a_bad_model_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_singular_covariances_and_rounding_are_accepted(dtype):
    factor = torch.randn(2, 1, generator=torch.Generator().manual_seed(0)).to(dtype)
    rounded = torch.eye(2, dtype=dtype) * 1e6
    rounded[0, 1] += 1e6 * torch.finfo(dtype).eps
    model = LinearGaussian(
        torch.eye(2, dtype=dtype),
        torch.ones(1, 2, dtype=dtype),
        factor @ factor.T,
        torch.zeros(1, 1, dtype=dtype),
        torch.zeros(2, dtype=dtype),
        rounded,
    )
    assert model.state_size == 2 and model.observation_size == 1 and model.steps is None


def test_diffuse_rows_are_not_read():
    prior = torch.tensor([[torch.nan, torch.inf], [0.0, 2.0]])
    model = build(initial_covariance=prior, diffuse=torch.tensor([True, False]))
    assert model.known_initial_covariance.tolist() == [[0.0, 0.0], [0.0, 2.0]]
