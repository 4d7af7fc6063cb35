"""Delay embedding: its vectors, information against closed forms, false neighbours of known systems."""

import math

import numpy as np
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


def orbit(step, *start, steps=1500):
    path = list(start)
    for _ in range(steps):
        path.append(step(*path[-len(start) :]))
    return torch.tensor(path[100:], dtype=torch.float64)


@pytest.mark.parametrize(
    "x, dimension",
    [
        pytest.param(orbit(lambda x: 4 * x * (1 - x), 0.3), 1, id="logistic map"),
        pytest.param(orbit(lambda x: 1 - 1.8 * x * x, 0.3), 1, id="quadratic map"),
        pytest.param(orbit(lambda x: x * math.exp(2.6 * (1 - x)), 0.5), 1, id="Ricker's map"),
        pytest.param(orbit(lambda w, x: 1 - 1.4 * x * x + 0.3 * w, 0.1, 0.1), 2, id="Hénon's map"),
    ],
)
def test_a_map_is_unfolded_by_as_many_coordinates_as_its_next_value_needs(x, dimension):
    shares = false_neighbours(x, 1, 4)
    assert (shares[: dimension - 1] > 0.3).all() and (shares[dimension - 1 :] < 0.01).all()


def test_false_neighbours_one_point_after_the_other():
    """Kennel, Brown and Abarbanel's two criteria, their vectors (x_t, x_{t+d}, …), in plain NumPy."""
    x, d, m = orbit(lambda w, x: 1 - 1.4 * x * x + 0.3 * w, 0.1, 0.1, steps=400).numpy(), 2, 1
    points = np.stack([x[k * d : len(x) - (3 - k) * d] for k in range(m)], axis=1)
    following = x[m * d : len(x) - (3 - m) * d]
    false = []
    for i, point in enumerate(points):
        distances = np.linalg.norm(points - point, axis=1)
        distances[max(0, i - d) : i + d + 1] = np.inf
        nearest = distances.argmin()
        parting = abs(following[i] - following[nearest])
        far = math.hypot(distances[nearest], parting) > 2 * x.std(ddof=1)
        false.append(parting > 15 * distances[nearest] or far)
    assert false_neighbours(torch.tensor(x), d, 3)[m - 1].item() == pytest.approx(np.mean(false))
    assert 0.005 < np.mean(false) < 0.995


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("offset, unit", [(0.0, 1.0), (50.0, 1.0), (0.0, 1e9), (3.0, 1e-9)])
@pytest.mark.parametrize("period, delay", [(20, 5), (24, 4), (40, 5), (36.5, 7)])
def test_recurrences_that_round_off_parts_are_the_same_point(period, delay, offset, unit, dtype):
    x = unit * (sine(period) + offset).to(dtype)
    assert (false_neighbours(x, delay, 4)[1:] == 0).all()


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1e160, 1e300])
def test_no_unit_of_the_series_changes_what_is_chosen(unit):
    t = torch.arange(300, dtype=torch.float64)
    x = torch.sin(0.31 * t) + 0.5 * torch.sin(0.73 * t)
    one, other = (delay_embedding(x * u, longest_delay=20, largest_dimension=4) for u in (1.0, unit))
    assert (other.delay, other.dimension) == (one.delay, one.dimension)
    torch.testing.assert_close(other.false_neighbours, one.false_neighbours, rtol=0, atol=2 / len(x))
    torch.testing.assert_close(other.mutual_information, one.mutual_information)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_information_that_is_not_finite_has_no_minimum(bad):
    with pytest.raises(ValueError, match=rf"information must be finite: information\[1\] = {bad}"):
        first_minimum(torch.tensor([3.0, bad, 1.0, 2.0]))


def test_information_of_short_series_is_not_chances():
    """45 points of an autoregression with φ = 0.8 know 0.51 nats of the next, white noise none."""
    noise = torch.randn(200, 145, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights = 0.8 ** torch.arange(100, dtype=torch.float64)
    ordered = (noise.unfold(1, 100, 1) @ weights.flip(0))[:, :45]
    found, of_noise = (
        torch.stack([mutual_information(row, 8)[1] for row in rows]).mean().item()
        for rows in (ordered, noise[:, :45])
    )
    assert 0.2 < found < 0.51 and of_noise < 0.06


def test_the_delay_of_a_short_noisy_oscillation_is_a_quarter_of_its_period():
    """Of 192 series; with eight bins, one point to a cell, chance makes minima of its own: the control."""
    t, generator = torch.arange(91, dtype=torch.float64), torch.Generator().manual_seed(0)
    phases = math.tau * torch.arange(192, dtype=torch.float64)[:, None] / 192
    noise = 0.3 * torch.randn(192, 91, dtype=torch.float64, generator=generator)
    series = torch.sin(math.tau * t / 20 + phases) + noise

    def share_near_five(bins):
        delays = [first_minimum(mutual_information(x, 15, bins=bins)) for x in series]
        return sum(4 <= delay <= 6 for delay in delays) / len(delays)

    assert share_near_five(None) > 0.75 and share_near_five(8) < 0.65


def test_bins_are_handed_on():
    x = sine(31, 300)
    found = delay_embedding(x, dimension=2, longest_delay=20, bins=6)
    assert torch.equal(found.mutual_information, mutual_information(x, 20, bins=6))
    assert found.mutual_information[0].item() == pytest.approx(math.log(6), abs=0.02)


@pytest.fixture(scope="module")
def lorenz_x():
    one_step = Flow(Lorenz()).every(0.02)
    state = torch.tensor([[1.0, 2.0, 20.0], [-3.0, 1.0, 25.0]], dtype=torch.float64)
    path = []
    for _ in range(2700):
        state = one_step.step(state)
        path.append(state[:, 0])
    return torch.stack(path[700:], dim=1)


def test_lorenz_needs_three_dimensions(lorenz_x):
    """Fraser and Swinney's delay is a fifth or so of a turn, 0.75; below three dimensions paths cross.

    Twelve other trajectories, in six pairs, have 4.3 ± 0.3 % false neighbours in two dimensions, 0 in three.
    """
    embedding = delay_embedding(lorenz_x, largest_dimension=6)
    assert 0.1 < embedding.delay * 0.02 < 0.25
    assert embedding.false_neighbours[1].item() == pytest.approx(0.043, abs=0.012)
    assert embedding.false_neighbours[2] < 0.001
    assert embedding.dimension == 3
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
            lambda: false_neighbours(sine()[:51], 10, 3),
            r"x must have at least \(largest_dimension \+ 2\) · delay \+ 2 = 52 steps, so that every",
            id="every neighbour too close in time",
        ),
        pytest.param(
            lambda: first_minimum([3.0, 2.0, 2.5]),
            "information must be a floating-point tensor: got list",
            id="list of information",
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
