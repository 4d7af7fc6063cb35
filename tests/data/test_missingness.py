"""Masks follow the probabilities they come with, and the probabilities follow their equations."""

import math

import pytest
import torch
from scipy.special import expit
from scipy.stats import binom, chisquare

from helpers.data import DetectionLimit, DropOut, Incomplete, Logistic, mar, mcar, mnar

MECHANISMS = [DetectionLimit(0.3), Logistic(0.2, 1.5), Logistic(0.2, -1.5), DropOut(0.5, 2.0, 0.3)]


@pytest.fixture
def values(device):
    """Truth of shape (B, T, D)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(400, 10, 2, generator=generator, dtype=torch.float64).to(device)


# --- probabilities ----------------------------------------------------------------------------


def test_detection_limit_hides_what_is_below_it_and_nothing_else(generator, device):
    values = torch.tensor([[0.9, 1.0, 1.1]], device=device)
    result = mnar(values, DetectionLimit(1.0), generator=generator)
    assert result.mask.tolist() == [[False, True, True]]
    assert result.probability.tolist() == [[0.0, 1.0, 1.0]]


@pytest.mark.parametrize("slope", [-3.0, 0.0, 0.7])
def test_logistic_agrees_with_scipy(values, slope):
    found = Logistic(0.4, slope).probability(values).cpu().numpy()
    assert found == pytest.approx(expit(slope * (values.cpu().numpy() - 0.4)), abs=1e-12)


def test_logistic_saturates_without_nan():
    probability = Logistic(0.0, 1e6).probability(torch.tensor([-1e30, 0.0, 1e30]))
    assert probability.tolist() == [0.0, 0.5, 1.0]


def test_parameters_may_differ_between_features(values):
    probability = DetectionLimit(values.new_tensor([-10.0, 10.0])).probability(values)
    assert probability[..., 0].all() and not probability[..., 1].any()


def test_drop_out_at_constant_severity_survives_geometrically():
    """At the threshold the hazard is half its maximum: survival is (1 - hazard/2)^(k+1)."""
    probability = DropOut(threshold=2.0, slope=5.0, hazard=0.4).probability(torch.full((1, 6), 2.0))
    assert probability[0].tolist() == pytest.approx([0.8 ** (k + 1) for k in range(6)])


def test_drop_out_depends_on_the_value_that_it_hides():
    calm = torch.zeros(1, 3, dtype=torch.float64)
    crisis = calm.clone()
    crisis[0, 1] = 5.0
    mechanism = DropOut(threshold=2.0, slope=4.0, hazard=0.9)
    change = mechanism.probability(crisis) / mechanism.probability(calm)
    assert change[0, 0] == 1.0
    expected = (1 - 0.9 * expit(12.0)) / (1 - 0.9 * expit(-8.0))
    assert change[0, 1:].tolist() == pytest.approx([expected, expected])


# --- masks ------------------------------------------------------------------------------------


def all_kinds(values, generator):
    """One result of each function and mechanism."""
    driver = values[:, :, :1]
    yield mcar(values, 0.3, generator=generator)
    for mechanism in MECHANISMS:
        yield mnar(values, mechanism, generator=generator)
        yield mar(values, driver, mechanism, generator=generator)


def test_every_value_is_observed_as_often_as_its_probability_says(values, generator):
    """Over 300 draws each entry's count is binomial: standard scores stay below 6, near 1 on average."""
    draws = [list(all_kinds(values[:50], generator)) for _ in range(300)]
    for results in zip(*draws, strict=True):
        probability = results[0].probability
        surplus = sum(result.mask.double() for result in results) - 300 * probability
        sure = (probability < 1e-3) | (probability > 1 - 1e-3)
        assert (surplus[sure].abs() <= 6).all()
        score = (surplus / (300 * probability * (1 - probability)).sqrt())[~sure]
        assert (score.abs() < 6).all()
        assert score.square().sum() <= 1.2 * len(score)


def test_mcar_counts_are_binomial(generator, device):
    values = torch.zeros(2000, 20, device=device)
    counts = mcar(values, 0.3, generator=generator).mask.sum(1).cpu()
    expected = 2000 * binom.pmf(range(21), 20, 0.7)
    found = torch.bincount(counts, minlength=21).double().numpy()
    common = expected > 5
    found, expected = [[*x[common], x[~common].sum()] for x in (found, expected)]
    assert chisquare(found, expected).pvalue > 1e-3


def test_mcar_extremes(values, generator):
    assert mcar(values, 0.0, generator=generator).mask.all()
    assert not mcar(values, 1.0, generator=generator).mask.any()


def test_who_drops_out_stays_away(values, generator):
    mask = mnar(values, DropOut(0.5, 2.0, 0.5), generator=generator).mask
    assert (mask[:, 1:] <= mask[:, :-1]).all()
    assert mask.any() and not mask.all()


def test_features_with_one_driver_leave_together(values, generator):
    mask = mar(values, values[:, :, :1], DropOut(0.5, 2.0, 0.5), generator=generator).mask
    assert torch.equal(mask[..., 0], mask[..., 1])


def test_mar_hides_independently_of_the_value_given_its_driver(generator, device):
    """Values that are all noise around the driver: hidden residuals have mean 0 under MAR, not under MNAR."""
    noise = torch.Generator().manual_seed(2)
    driver, residual = torch.randn(2, 40_000, 1, generator=noise, dtype=torch.float64).to(device)
    mechanism = Logistic(0.0, 2.0)
    at_random = mar(driver + residual, driver, mechanism, generator=generator).mask
    not_at_random = mnar(driver + residual, mechanism, generator=generator).mask
    standard_error = 1 / math.sqrt(20_000)
    assert residual[~at_random].mean().abs() < 4 * standard_error
    assert residual[~not_at_random].mean() < -20 * standard_error


def test_keeps_truth_dtype_and_device(values, generator):
    for result in all_kinds(values.float(), generator):
        assert torch.equal(result.values, values.float())
        assert result.probability.dtype == torch.float32
        assert result.mask.shape == result.probability.shape == values.shape
        assert result.mask.device == values.device


def test_same_seed_same_mask(values, device):
    first, second = (list(all_kinds(values, torch.Generator(device=device).manual_seed(3))) for _ in range(2))
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(first, second, strict=True))


def test_global_generator_is_left_alone(values, generator):
    before = torch.get_rng_state()
    list(all_kinds(values, generator))
    assert torch.equal(torch.get_rng_state(), before)


def test_hidden_as_nan():
    result = Incomplete(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), torch.tensor([0.5, 0.5]))
    seen = result.hidden_as_nan()
    assert seen[0] == 1.0 and seen[1].isnan()


# --- errors -----------------------------------------------------------------------------------

GOOD = torch.zeros(2, 3)
SPOILT = torch.tensor([[0.0, 1.0], [torch.nan, 1.0]])


BAD_CALLS = [
    (lambda g: mcar(GOOD, 1.5, generator=g), "rate must lie between 0 and 1: got 1.5"),
    (lambda g: mcar(GOOD, math.nan, generator=g), "rate must lie between 0 and 1: got nan"),
    (lambda g: mcar(SPOILT, 0.5, generator=g), "values must be finite: values[1, 0] = nan"),
    (lambda g: mnar(SPOILT, Logistic(0, 1), generator=g), "values must be finite: values[1, 0] = nan"),
    (
        lambda g: mar(torch.zeros(2, 2), SPOILT, Logistic(0, 1), generator=g),
        "driver must be finite: driver[1, 0] = nan",
    ),
    (
        lambda g: mcar(GOOD.int(), 0.5, generator=g),
        "values must be a floating-point tensor: got a torch.int32 tensor",
    ),
    (
        lambda g: mar(GOOD, torch.zeros(2, 3).int(), Logistic(0, 1), generator=g),
        "driver must be a floating-point tensor: got a torch.int32 tensor",
    ),
    (
        lambda g: mar(GOOD, torch.zeros(4, 2, 3), Logistic(0, 1), generator=g),
        "driver must broadcast to (2, 3), the shape of values: got (4, 2, 3)",
    ),
    (
        lambda g: mar(GOOD, torch.zeros(2, 2), Logistic(0, 1), generator=g),
        "driver must broadcast to (2, 3), the shape of values: got (2, 2)",
    ),
    (
        lambda g: mnar(torch.zeros(3), DropOut(0, 1), generator=g),
        "values must have shape (B, T) or (B, T, D): got (3,)",
    ),
    (lambda g: DetectionLimit(math.nan), "limit must be a finite number: got nan"),
    (lambda g: Logistic(math.inf, 1.0), "midpoint must be a finite number: got inf"),
    (lambda g: Logistic(0.0, math.nan), "slope must be a finite number: got nan"),
    (lambda g: DropOut(math.nan, 1.0), "threshold must be a finite number: got nan"),
    (lambda g: DropOut(0.0, math.inf), "slope must be a finite number: got inf"),
    (lambda g: Logistic(True, 1.0), "midpoint must be a finite number: got True"),
    (lambda g: DropOut(torch.tensor([0.0, math.nan]), 1.0), "threshold must be finite: threshold[1] = nan"),
    (lambda g: Logistic(0.0, torch.ones(3).bool()), "slope must hold real numbers: got a torch.bool tensor"),
    (
        lambda g: DetectionLimit([1.0]),
        "limit must be one number or a tensor: got list; torch.as_tensor(limit) makes it a tensor",
    ),
    (lambda g: DropOut(0.0, 1.0, hazard=-0.1), "hazard must lie between 0 and 1: got -0.1"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS, ids=[case[-1] for case in BAD_CALLS])
def test_refuses_by_name(call, message):
    with pytest.raises(ValueError) as error:
        call(torch.Generator())
    assert str(error.value) == message


VALUES = torch.zeros(4, 5, 2)
MISUSES = [
    (lambda g: mcar(VALUES, "a", generator=g), "rate must lie between 0 and 1: got 'a'"),
    (
        lambda g: mcar(VALUES, torch.tensor([0.1, 0.2]), generator=g),
        r"rate must lie between 0 and 1: got tensor",
    ),
    (lambda g: mcar(VALUES, 0.1, generator=None), "generator must be a torch.Generator: got NoneType"),
    (
        lambda g: mcar([0.0, 1.0], 0.1, generator=g),
        r"values must be a floating-point tensor: got list; torch.as_tensor\(values\) makes it a tensor",
    ),
    (
        lambda g: mnar(VALUES, None, generator=g),
        "mechanism must be a DetectionLimit, Logistic or DropOut: got None",
    ),
    (lambda g: DetectionLimit([0.0, 1.0]), "limit must be one number or a tensor: got list; torch.as_tensor"),
    (lambda g: DropOut("a", 1.0), "threshold must be one number or a tensor: got str"),
    (
        lambda g: mnar(VALUES, Logistic(torch.zeros(3), 1.0), generator=g),
        r"midpoint must broadcast to \(4, 5, 2\), the shape of values: got \(3,\)",
    ),
    (
        lambda g: mnar(VALUES, Logistic(0.0, 1e300), generator=g),
        r"probability must lie between 0 and 1 .*: probability\[0, 0, 0\] = nan",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISUSES, ids=[case[-1] for case in MISUSES])
def test_misuse_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.Generator())


def test_extreme_mechanisms_decide_with_certainty():
    values = torch.tensor([[-1e30, -1.0, 1.0, 1e30]])
    generator = torch.Generator().manual_seed(0)
    for mechanism in (Logistic(0.0, 1e30), DetectionLimit(1e-45)):
        assert mnar(values, mechanism, generator=generator).mask.tolist() == [[False, False, True, True]]
    left = mnar(values, DropOut(0.0, 1e30, hazard=1.0), generator=generator).mask
    assert left.tolist() == [[True, True, False, False]]
    assert mcar(torch.zeros(10_000), 1, generator=generator).mask.sum() == 0
    assert mcar(torch.zeros(10_000), 0, generator=generator).mask.all()
