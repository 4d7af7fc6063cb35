"""Visit times are the Poisson process they claim to be."""

import math

import pytest
import torch
from scipy.stats import kstest, poisson

from helpers.data import visit_times
from helpers.series import IrregularBatch

HORIZON = 8.0


def wave(times):
    """An intensity between 0.5 and 3.5 per hour."""
    return 2 + 1.5 * torch.sin(times)


def integrated_wave(times):
    """∫₀ᵗ wave: the number of visits expected by then."""
    return 2 * times + 1.5 * (1 - torch.cos(times))


def draw(intensity, generator, batch=4000, **options):
    return visit_times(HORIZON, intensity, batch=batch, generator=generator, dtype=torch.float64, **options)


@pytest.mark.parametrize(
    ("intensity", "options", "expected"),
    [
        (2.5, {}, 20.0),
        (wave, {"bound": 3.5}, 16 + 1.5 * (1 - math.cos(HORIZON))),
        (wave, {"bound": 10.0}, 16 + 1.5 * (1 - math.cos(HORIZON))),
    ],
    ids=["homogeneous", "wave", "wave, loose bound"],
)
def test_counts_have_poisson_mean_and_variance(intensity, options, expected, generator):
    counts = draw(intensity, generator, **options).lengths.double()
    standard_error = math.sqrt(expected / len(counts))
    assert counts.mean().item() == pytest.approx(expected, abs=4 * standard_error)
    spread = math.sqrt((2 + 1 / expected) / len(counts)) * expected
    assert counts.var().item() == pytest.approx(expected, abs=4 * spread)


def test_counts_are_poisson(generator):
    counts = draw(0.25, generator).lengths
    for n in range(5):
        expected = poisson.pmf(n, 2.0)
        found = (counts == n).double().mean().item()
        assert found == pytest.approx(expected, abs=4 * math.sqrt(expected / len(counts)))


def test_time_rescaling_turns_the_wave_into_a_unit_process(generator):
    """Brown et al. (2002): given how many visits a series has, their integrated intensities are uniform.

    And from one visit to the next, before the horizon cuts, they are exponential with mean 1.
    """
    visits = draw(wave, generator, batch=500, bound=3.5)
    total = integrated_wave(torch.tensor(HORIZON, dtype=torch.float64))
    rescaled = integrated_wave(visits.times)
    assert kstest((rescaled[visits.mask] / total).cpu().numpy(), "uniform").pvalue > 1e-3
    first_gaps = rescaled.diff(dim=1, prepend=torch.zeros_like(rescaled[:, :1]))[:, :4]
    assert visits.lengths.min() >= 4
    assert kstest(first_gaps.flatten().cpu().numpy(), "expon").pvalue > 1e-3


def test_a_wrong_intensity_fails_the_same_test(generator):
    """The rescaling test has teeth: visits at a constant rate do not pass for the wave's."""
    visits = draw(2.0, generator, batch=500)
    total = integrated_wave(torch.tensor(HORIZON, dtype=torch.float64))
    rescaled = integrated_wave(visits.times)[visits.mask] / total
    assert kstest(rescaled.cpu().numpy(), "uniform").pvalue < 1e-6


def test_the_sicker_are_seen_more_often(generator, device):
    """The docstring's state-dependent intensity: two states, held from hour to hour."""
    grid = torch.arange(0, HORIZON, dtype=torch.float64, device=device)
    severity = torch.zeros(1000, len(grid), dtype=torch.float64, device=device)
    severity[500:, 4:] = 1.0

    def intensity(times):
        latest = torch.searchsorted(grid, times, right=True) - 1
        return 0.1 + 0.9 * severity.gather(1, latest)

    visits = draw(intensity, generator, batch=1000, bound=1.0)
    late = ((visits.times >= 4) & visits.mask).sum(1).double()
    early = ((visits.times < 4) & visits.mask).sum(1).double()
    for counts, expected in ((early, 0.4), (late[:500], 0.4), (late[500:], 4.0)):
        assert counts.mean().item() == pytest.approx(expected, abs=4 * math.sqrt(expected / len(counts)))
    known = torch.where(visits.times >= 4, severity[:, -1:], severity[:, :1]) * 0.9 + 0.1
    torch.testing.assert_close(visits.intensity, torch.where(visits.mask, known, 0.0))


@pytest.mark.parametrize("intensity", [0.0, 0, torch.zeros_like], ids=["0.0", "0", "function"])
def test_no_intensity_no_visits(intensity, generator):
    options = {"bound": 2.0} if callable(intensity) else {}
    visits = draw(intensity, generator, batch=3, **options)
    assert visits.lengths.tolist() == [0, 0, 0]
    assert visits.times.shape == (3, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_makes_a_legal_batch(dtype, generator, device):
    """Crowded enough for float32 to hold ties: IrregularBatch would refuse them."""
    visits = visit_times(HORIZON, 500.0, batch=50, generator=generator, dtype=dtype)
    values = torch.zeros(*visits.times.shape, 1, dtype=dtype, device=device)
    batch = IrregularBatch(visits.times, values, visits.mask.unsqueeze(-1), visits.lengths)
    assert torch.equal(batch.valid, visits.mask)
    assert visits.times.dtype == dtype
    assert visits.times.device.type == device.type
    assert ((visits.times >= 0) & (visits.times <= HORIZON)).all()
    assert (visits.times[~visits.mask] == HORIZON).all()
    assert visits.times.shape[1] == visits.lengths.max()


def test_ties_in_float16_count_as_one_visit(generator):
    """On [0, 1] float16 has 15361 numbers: 20000 draws must share some of them."""
    visits = visit_times(1.0, 20_000.0, batch=1, generator=generator, dtype=torch.float16)
    assert (visits.times[0].float().diff() > 0).all()
    assert visits.lengths[0] < 15361


def test_default_dtype_is_pytorch_s(generator):
    assert visit_times(1.0, 5.0, batch=2, generator=generator).times.dtype == torch.get_default_dtype()


def test_same_seed_same_visits(device):
    first, second = (
        draw(wave, torch.Generator(device=device).manual_seed(5), batch=5, bound=3.5) for _ in range(2)
    )
    assert torch.equal(first.times, second.times)


def broken_after_5(value):
    """An intensity that goes wrong at late times, in every series but the first."""

    def intensity(times):
        series = torch.arange(len(times)).unsqueeze(-1)
        return torch.where((times > 5) & (series > 0), value, 1.0)

    return intensity


@pytest.mark.parametrize("value", [-0.5, 3.5, math.nan, math.inf])
def test_names_series_and_time_of_a_bad_intensity(value):
    with pytest.raises(ValueError) as error:
        draw(broken_after_5(value), torch.Generator().manual_seed(0), batch=3, bound=3.0)
    head, time = str(error.value).rsplit(" ", 1)
    assert head == f"intensity must lie between 0 and bound = 3.0: series 1 has intensity {value} at time"
    assert 5 < float(time) <= HORIZON


BAD = [
    (0.0, 1.0, {}, "horizon must be positive and finite: got 0.0"),
    (math.inf, 1.0, {}, "horizon must be positive and finite: got inf"),
    (1.0, -1.0, {}, "intensity must be finite and not negative: got -1.0"),
    (1.0, math.nan, {}, "intensity must be finite and not negative: got nan"),
    (1.0, 1.0, {"batch": 0}, "batch must be a whole number of at least 1: got 0"),
    (1.0, 1.0, {"bound": 2.0}, "bound must be left out with a constant intensity: got 2.0"),
    (1.0, wave, {}, "bound must be given with an intensity function: a number that it never exceeds"),
    (1.0, wave, {"bound": math.inf}, "bound must be finite and not negative: got inf"),
]


@pytest.mark.parametrize(("horizon", "intensity", "options", "message"), BAD, ids=[case[-1] for case in BAD])
def test_refuses_by_name(horizon, intensity, options, message):
    with pytest.raises(ValueError) as error:
        visit_times(horizon, intensity, **({"batch": 2, "generator": torch.Generator()} | options))
    assert str(error.value) == message


def test_refuses_an_intensity_of_another_shape():
    with pytest.raises(ValueError, match=r"intensity must return shape \(B, K\) = \(2, \d+\): got \(\)"):
        draw(lambda times: times.sum(), torch.Generator().manual_seed(0), batch=2, bound=5.0)


IMPOSSIBLE = [
    (
        {"intensity": 1e30},
        r"horizon and intensity must let fewer than 2³¹ visits be expected",
    ),
    (
        {"horizon": 1e300, "intensity": 1e-300},
        r"horizon must be a number that torch.float32 can hold: got 1e\+300",
    ),
    (
        {"horizon": 1e-40, "intensity": 1e41},
        r"intensity must be a number that torch.float32 can hold: got 1e\+41",
    ),
    (
        {"horizon": 1e-40, "intensity": torch.ones_like, "bound": 1e41},
        r"bound must be a number that torch.float32 can hold: got 1e\+41",
    ),
    ({"dtype": 0}, "dtype must be a floating-point dtype: got 0"),
    ({"dtype": torch.int64}, "dtype must be a floating-point dtype: got torch.int64"),
    ({"dtype": "float"}, "dtype must be a floating-point dtype: got 'float'"),
    ({"generator": None}, "generator must be a torch.Generator: got NoneType"),
    ({"intensity": lambda t: [1.0], "bound": 1.0}, "what intensity returns must be a tensor: got list"),
]


@pytest.mark.parametrize(("change", "message"), IMPOSSIBLE, ids=[case[-1] for case in IMPOSSIBLE])
def test_what_cannot_be_drawn_is_named(change, message):
    arguments = {"horizon": 1.0, "intensity": 1.0, "batch": 2, "generator": torch.Generator()} | change
    with pytest.raises(ValueError, match=message):
        visit_times(**arguments)


def test_an_intensity_that_writes_into_its_times_does_not_move_the_visits():
    def intensity(times):
        return times.zero_() + 1.0

    seeds = (torch.Generator().manual_seed(0) for _ in range(2))
    ours, expected = (
        visit_times(20.0, function, batch=3, generator=seed, bound=2.0)
        for seed, function in zip(seeds, (intensity, torch.ones_like), strict=True)
    )
    assert torch.equal(ours.times, expected.times)
