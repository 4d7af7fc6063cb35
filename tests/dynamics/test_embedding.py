"""Delay embedding: its vectors, information against closed forms, false neighbours of known systems."""

import math

import pytest
import torch

from helpers.dynamics import (
    Flow,
    delay_embedding,
    delay_vectors,
    false_neighbours,
    first_minimum,
    mutual_information,
)
from helpers.systems import Lorenz


def sine(period=40, steps=2000):
    return torch.sin(2 * math.pi * torch.arange(steps, dtype=torch.float64) / period)


def test_vectors():
    vectors = delay_vectors(torch.arange(6.0), delay=2, dimension=3)
    assert vectors.tolist() == [[[4.0, 2.0, 0.0], [5.0, 3.0, 1.0]]]


def test_information_of_a_series_with_itself_is_its_entropy():
    x = torch.randn(2, 4096, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert mutual_information(x, 3, bins=16)[0].item() == pytest.approx(math.log(16), rel=1e-6)


def test_information_of_an_autoregression():
    """x_t = φ x_{t-1} + ε has I(l) = -½ ln (1 - φ^2l), a Gaussian's; bins lose, chance adds a little."""
    noise = torch.randn(60_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lags, coefficient = torch.arange(40, dtype=torch.float64), 0.8
    weights = coefficient**lags  # forty terms of the moving average
    x = noise[:, 0].unfold(0, 40, 1) @ weights.flip(0)
    measured = mutual_information(x, 4, bins=24)[1:]
    expected = -0.5 * torch.log1p(-(coefficient ** (2 * torch.arange(1, 5, dtype=torch.float64))))
    torch.testing.assert_close(measured, expected, rtol=0.06, atol=0.01)


def test_first_minimum():
    assert first_minimum(torch.tensor([5.0, 3.0, 2.0, 2.5, 1.0, 4.0])) == 2
    with pytest.raises(
        ValueError, match="longest_delay must reach a minimum of the mutual information: none in 1 … 1"
    ):
        first_minimum(torch.tensor([3.0, 2.0, 1.0]))


def test_a_circle_needs_two_dimensions():
    shares = false_neighbours(sine(period=40 + (math.sqrt(5) - 1) / 2), delay=10, largest_dimension=4)
    assert shares[0] > 0.5 and (shares[1:] == 0).all()


@pytest.fixture(scope="module")
def lorenz_x():
    one_step = Flow(Lorenz()).every(0.02)
    state = torch.tensor([[1.0, 2.0, 20.0], [-3.0, 1.0, 25.0]], dtype=torch.float64)
    path = []
    for _ in range(2200):
        state = one_step.step(state)
        path.append(state[:, 0])
    return torch.stack(path[200:], dim=1)


def test_lorenz_needs_three_dimensions(lorenz_x):
    """Fraser and Swinney's delay is a fifth or so of a turn, 0.75; below three dimensions paths cross."""
    embedding = delay_embedding(lorenz_x, largest_dimension=6)
    assert 0.1 < embedding.delay * 0.02 < 0.25
    assert embedding.false_neighbours[1] > 0.05 > embedding.false_neighbours[2]
    assert embedding.dimension >= 3
    assert embedding.vectors.shape == (
        2,
        2000 - (embedding.dimension - 1) * embedding.delay,
        embedding.dimension,
    )


def test_given_choices_are_kept(lorenz_x, device):
    embedding = delay_embedding(lorenz_x.to(device), delay=7, dimension=3)
    assert embedding.mutual_information is None and embedding.false_neighbours is None
    torch.testing.assert_close(embedding.vectors[1, 0].cpu(), lorenz_x[1, [14, 7, 0]])


@pytest.mark.parametrize(
    "build, message",
    [
        pytest.param(
            lambda: delay_embedding([1.0]), "x must be a floating-point tensor: got list", id="no tensor"
        ),
        pytest.param(
            lambda: delay_embedding(torch.arange(9)),
            "x must be a floating-point tensor: got a torch.int64 tensor",
            id="integers",
        ),
        pytest.param(
            lambda: delay_embedding(torch.ones(1, 2, 3)),
            r"x must have shape \(T,\) or \(B, T\)",
            id="three axes",
        ),
        pytest.param(
            lambda: delay_embedding(torch.tensor([[1.0], [torch.inf]])),
            r"x must be finite: series 1 has x\[0\] = inf",
            id="infinite",
        ),
        pytest.param(
            lambda: delay_vectors(torch.ones(8), 4, 3),
            r"x must have more than \(dimension - 1\) · delay = 8 steps",
            id="too short",
        ),
        pytest.param(
            lambda: delay_vectors(torch.ones(9), 0, 3),
            "delay must be a whole number of at least 1: got 0",
            id="delay of zero",
        ),
        pytest.param(
            lambda: delay_vectors(torch.ones(9), 1, 0),
            "dimension must be a whole number of at least 1: got 0",
            id="dimension of zero",
        ),
        pytest.param(
            lambda: mutual_information(torch.ones(9), 9),
            "x must have more than longest_delay = 9 steps: got 9",
            id="delays beyond the series",
        ),
        pytest.param(
            lambda: mutual_information(torch.ones(9), 3, bins=1),
            "bins must be a whole number of at least 2: got 1",
            id="one bin",
        ),
        pytest.param(
            lambda: delay_embedding(
                torch.rand(300, generator=torch.Generator().manual_seed(0)), 1, largest_dimension=2
            ),
            "largest_dimension must leave fewer than 1% false neighbours: .*% are left at best in 1 … 2",
            id="too few dimensions",
        ),
    ],
)
def test_misuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_series_cut_from_a_larger_table_is_taken_as_it_is():
    """Its memory is not contiguous, which must neither warn nor change the answer."""
    table = torch.randn(2, 300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cut = table[..., 0]
    torch.testing.assert_close(mutual_information(cut, 5), mutual_information(cut.clone(), 5))
