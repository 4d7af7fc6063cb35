"""Tasks of memory: what they say, and what is reached without any."""

import math

import pytest
import torch

from helpers.data import (
    ADDING_BASELINE,
    adding_problem,
    copying_baseline,
    copying_problem,
    delayed_response,
)

MANY = 20_000


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


def test_the_cue_is_shown_once_and_asked_for_after_the_lag(generator):
    x, y = delayed_response(50, 7, generator, choices=3, noise=0.0)
    assert x.shape == (50, 8, 4)
    assert torch.equal(x[:, 0, :3].argmax(-1), y)
    assert torch.equal(x[:, 0].sum(-1), torch.ones(50))
    assert torch.equal(x[:, -1], torch.tensor([0.0, 0, 0, 1]).expand(50, 4))
    assert not x[:, 1:-1].any()


def test_cues_are_equally_frequent_and_noise_has_its_size(generator):
    x, y = delayed_response(MANY, 3, generator, noise=0.1)
    counts = y.bincount(minlength=4)
    assert ((counts - MANY / 4).abs() < 4 * math.sqrt(MANY * 3 / 16)).all()
    middle = x[:, 1:-1]
    assert middle.std().item() == pytest.approx(0.1, abs=4 * 0.1 / math.sqrt(2 * middle.numel()))


def test_after_the_cue_nothing_tells_it(generator):
    x, y = delayed_response(MANY, 4, generator)
    later = torch.stack([x[y == cue, 1:].mean(0) for cue in range(4)])  # (4, T, D)
    assert (later - later.mean(0)).abs().max() < 5 * 0.1 / math.sqrt(MANY / 4)


@pytest.mark.parametrize("T", [2, 3, 10, 11])
def test_one_mark_in_each_half_and_the_sum_of_both(T, generator):
    x, y = adding_problem(500, T, generator)
    u, marks = x.unbind(-1)
    assert x.shape == (500, T, 2)
    assert ((marks == 0) | (marks == 1)).all()
    assert torch.equal(marks[:, : T // 2].sum(1), torch.ones(500))
    assert torch.equal(marks[:, T // 2 :].sum(1), torch.ones(500))
    torch.testing.assert_close(y, (u * marks).sum(1))
    assert (marks.sum(0) > 0).all()


def test_guessing_the_sum_costs_a_sixth(generator):
    _, y = adding_problem(MANY, 20, generator)
    squares = (y - 1) ** 2  # variance 7/180 = E(y - 1)⁴ - 1/36 = 1/15 - 1/36
    assert squares.mean().item() == pytest.approx(1 / 6, abs=4 * math.sqrt(7 / 180 / MANY))
    assert ADDING_BASELINE == 1 / 6
    assert (y - y.mean()).square().mean() > ADDING_BASELINE - 4 * math.sqrt(7 / 180 / MANY)


def test_a_word_and_when_it_is_wanted(generator):
    x, y = copying_problem(1, 4, generator, symbols=2, length=3)
    shown, word = x.argmax(-1)[0].tolist(), y[0, -3:].tolist()
    assert shown == [*word, 2, 2, 2, 3, 2, 2, 2]
    assert y[0].tolist() == [2] * 7 + word
    assert torch.equal(x.sum(-1), torch.ones(1, 10))


def test_the_published_sizes(generator):
    x, y = copying_problem(300, 50, generator)
    assert x.shape == (300, 70, 10)
    assert (x[..., 9].sum(1) == 1).all() and (x[:, 59, 9] == 1).all()
    assert (y[:, :60] == 8).all() and (y[:, 60:] < 8).all()
    assert (y[:, 60:].flatten().bincount(minlength=8) > 0).all()


@pytest.mark.parametrize("T", [1, 50, 400])
def test_guessing_the_word_costs_what_the_formula_says(T, generator):
    _, y = copying_problem(4, T, generator)
    logits = torch.full((T + 20, 9), -torch.inf, dtype=torch.float64)
    logits[: T + 10, 8], logits[T + 10 :, :8] = 0, 0
    loss = torch.nn.functional.cross_entropy(logits.repeat(4, 1), y.flatten())
    assert loss.item() == pytest.approx(copying_baseline(T), rel=1e-12)
    assert copying_baseline(T) == pytest.approx(10 * math.log(8) / (T + 20), rel=1e-15)


@pytest.mark.parametrize("draw", [delayed_response, adding_problem, copying_problem])
def test_the_same_generator_gives_the_same_examples(draw):
    first, second = (draw(6, 9, torch.Generator().manual_seed(2)) for _ in range(2))
    other = draw(6, 9, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda g: delayed_response(0, 5, g),
            "batch must be a whole number of at least 1: got 0",
            id="no trials",
        ),
        pytest.param(
            lambda g: delayed_response(2, 0, g),
            "lag must be a whole number of at least 1: got 0",
            id="no lag",
        ),
        pytest.param(
            lambda g: delayed_response(2, 5, g, choices=1),
            "choices must be a whole number of at least 2: got 1",
            id="no choice",
        ),
        pytest.param(
            lambda g: delayed_response(2, 5, g, noise=-0.1),
            "noise must be finite and not negative: got -0.1",
            id="negative noise",
        ),
        pytest.param(
            lambda g: delayed_response(2, 5, g, noise=1e99),
            "noise must be a number that torch.float32 can hold: got 1e+99",
            id="huge noise",
        ),
        pytest.param(
            lambda g: delayed_response(2, 5, None),
            "generator must be a torch.Generator: got NoneType",
            id="no generator",
        ),
        pytest.param(
            lambda g: adding_problem(2, 1, g), "T must be a whole number of at least 2: got 1", id="one step"
        ),
        pytest.param(
            lambda g: copying_problem(2, 5, g, symbols=0),
            "symbols must be a whole number of at least 1: got 0",
            id="no symbols",
        ),
        pytest.param(
            lambda g: copying_problem(2, 5, g, length=1.5),
            "length must be a whole number of at least 1: got 1.5",
            id="half a symbol",
        ),
        pytest.param(
            lambda g: copying_baseline(0), "T must be a whole number of at least 1: got 0", id="no delay"
        ),
    ],
)
def test_what_is_refused(call, message, generator):
    with pytest.raises(ValueError) as caught:
        call(generator)
    assert str(caught.value) == message
