import math

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are
from scipy.stats import multivariate_normal

from helpers.explorers import extreme_settings, kalman
from helpers.explorers.engine import BlittedFigure
from helpers.explorers.kalman import DAYS, Estimate
from helpers.statespace import LinearGaussian, kalman_filter

DEFAULTS = {control.name: control.value for control in kalman.CONTROLS}
COMPLETE = {"gap_length": 0.0, "missing_share": 0.0}
PRIOR_VARIANCE = kalman.PRIOR_DEVIATION**2
SETTINGS = [DEFAULTS, *extreme_settings(kalman.CONTROLS)]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def tracking(settings):
    return kalman.model(**settings)


@pytest.fixture(scope="module")
def drawing():
    picture = kalman.Picture()
    return picture, BlittedFigure(picture.figure, picture.moving)


def joint_covariance(process_noise):
    """Of a random walk over all days, with the prior on day 0: Cov(h_s, h_t) = P0 + q² min(s, t)."""
    return PRIOR_VARIANCE + process_noise**2 * np.minimum.outer(DAYS, DAYS)


def conditioned(covariance, observation_noise, readings, observed):
    """Mean and deviation of every day given the observed readings, by conditioning one large Gaussian."""
    across = covariance[:, observed]
    of_readings = covariance[np.ix_(observed, observed)] + observation_noise**2 * np.eye(observed.sum())
    weights = np.linalg.solve(of_readings, across.T).T
    mean = kalman.PRIOR_MEAN + weights @ (readings[observed] - kalman.PRIOR_MEAN)
    return mean, np.sqrt(np.diag(covariance - weights @ across.T))


def test_smoother_is_one_large_gaussian_conditioned_on_all_that_was_read(settings, tracking):
    covariance = joint_covariance(settings["process_noise"])
    mean, deviation = conditioned(
        covariance, settings["observation_noise"], tracking.readings, tracking.observed
    )
    np.testing.assert_allclose(tracking.smoothed.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(tracking.smoothed.deviation, deviation, rtol=1e-6)


@pytest.mark.parametrize("day", [0, 20, 35, 60, 88])
def test_filter_conditions_on_the_past_and_the_present_only(settings, tracking, day):
    covariance = joint_covariance(settings["process_noise"])
    until_then = tracking.observed & (day >= DAYS)
    mean, deviation = conditioned(covariance, settings["observation_noise"], tracking.readings, until_then)
    assert tracking.filtered.mean[day] == pytest.approx(mean[day], rel=1e-8)
    assert tracking.filtered.deviation[day] == pytest.approx(deviation[day], rel=1e-6)


def test_log_likelihood_is_the_density_of_what_was_read(settings, tracking):
    read = tracking.observed
    covariance = joint_covariance(settings["process_noise"])[np.ix_(read, read)]
    law = multivariate_normal(
        np.full(read.sum(), kalman.PRIOR_MEAN),
        covariance + settings["observation_noise"] ** 2 * np.eye(read.sum()),
    )
    assert tracking.log_likelihood == pytest.approx(law.logpdf(tracking.readings[read]), rel=1e-9)


def test_the_future_never_widens_a_belief_and_adds_nothing_to_the_last_day(tracking):
    assert (tracking.smoothed.deviation <= tracking.filtered.deviation * (1 + 1e-12)).all()
    assert tracking.smoothed.deviation[-1] == tracking.filtered.deviation[-1]
    assert 0 < tracking.variance_saved < 1


def test_gain_is_zero_exactly_where_nothing_was_read(tracking):
    np.testing.assert_array_equal(tracking.gain > 0, tracking.observed)
    assert tracking.gain.max() < 1


@pytest.mark.parametrize("process_noise", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("observation_noise", [0.5, 3.0, 6.0])
def test_steady_state_gain_solves_the_riccati_equation(process_noise, observation_noise):
    one = np.eye(1)
    R = observation_noise**2 * one
    predicted = solve_discrete_are(one, one, process_noise**2 * one, R)
    expected = (predicted / (predicted + R)).item()
    assert kalman.steady_state_gain(process_noise, observation_noise) == pytest.approx(expected, rel=1e-9)
    assert kalman.steady_state_gain(5 * process_noise, 5 * observation_noise) == pytest.approx(expected)


def test_steady_state_gain_goes_from_q_over_r_to_one():
    assert kalman.steady_state_gain(0.0, 3.0) == 0.0
    assert kalman.steady_state_gain(1e-6, 1.0) == pytest.approx(1e-6, rel=1e-5)
    assert kalman.steady_state_gain(1.0, 1.0) == pytest.approx((math.sqrt(5) - 1) / 2)  # the golden ratio
    assert kalman.steady_state_gain(3.0, 1e-4) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(("process_noise", "observation_noise"), [(3.0, 0.5), (1.0, 3.0), (0.5, 3.0)])
def test_gain_settles_at_its_steady_state_when_every_day_is_read(process_noise, observation_noise):
    tracking = kalman.model(process_noise, observation_noise, **COMPLETE)
    assert tracking.gain[-1] == pytest.approx(tracking.steady_state_gain, rel=1e-9)


def test_a_level_that_never_moves_is_a_running_mean():
    tracking = kalman.model(0.0, 3.0, **COMPLETE)
    worth_of_prior = 3.0**2 / PRIOR_VARIANCE  # in readings
    np.testing.assert_allclose(tracking.gain, 1 / (DAYS + 1 + worth_of_prior), rtol=1e-9)
    running_sum = np.cumsum(tracking.readings) + worth_of_prior * kalman.PRIOR_MEAN
    np.testing.assert_allclose(tracking.filtered.mean, running_sum / (DAYS + 1 + worth_of_prior), rtol=1e-9)
    np.testing.assert_allclose(tracking.smoothed.mean, tracking.filtered.mean[-1], rtol=1e-9)


def test_first_gain_after_a_gap_is_that_of_a_belief_widened_once_a_day():
    tracking = kalman.model(1.0, 3.0, gap_length=20.0, missing_share=0.0)
    last, first = kalman.GAP_START - 1, kalman.GAP_START + 20
    variance = tracking.filtered.deviation[last] ** 2 + 21 * 1.0**2
    assert tracking.gain[first] == pytest.approx(variance / (variance + 3.0**2), rel=1e-9)
    assert (tracking.gain[last + 1 : first] == 0).all()


@pytest.mark.parametrize("gap_length", [0.0, 1.0, 14.0, 40.0])
def test_gap_hides_that_many_days_and_leaves_some_after_it(gap_length):
    observed = kalman.observe(gap_length, missing_share=0.0)
    assert len(DAYS) - observed.sum() == gap_length
    assert observed[: kalman.GAP_START].all()
    assert observed[-10:].all()


def test_a_larger_share_loses_about_that_many_more_and_finds_none_again():
    lost = np.zeros(len(DAYS), bool)
    for share in range(0, 85, 5):
        still_lost, lost = lost, ~kalman.observe(0.0, float(share)).numpy()
        assert (lost >= still_lost).all()
        standard_error = math.sqrt(share / 100 * (1 - share / 100) / len(DAYS))
        assert abs(lost.mean() - share / 100) <= 2 * standard_error


def test_only_what_is_assumed_and_known_changes():
    first, second = kalman.model(**SETTINGS[1]), kalman.model(**SETTINGS[-1])
    np.testing.assert_array_equal(first.truth, second.truth)
    np.testing.assert_array_equal(first.readings, second.readings)
    steps = np.diff(first.truth, prepend=kalman.START)
    assert math.sqrt(np.mean(steps**2)) == pytest.approx(kalman.TRUE_PROCESS_NOISE)
    errors = first.readings - first.truth
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(kalman.TRUE_OBSERVATION_NOISE)


def test_the_true_noises_are_the_most_likely_stops_for_the_complete_series():
    q, r = (
        torch.arange(round((slider.high - slider.low) / slider.step) + 1, dtype=torch.float64) * slider.step
        + slider.low
        for slider in kalman.CONTROLS[:2]
    )
    stops = torch.cartesian_prod(q, r)  # (B, 2)
    one = torch.ones(1, 1, dtype=torch.float64)
    Q, R = (stops**2).T.reshape(2, -1, 1, 1, 1)
    prior = kalman.PRIOR_MEAN * one[0], PRIOR_VARIANCE * one
    readings = torch.from_numpy(kalman.model(1.0, 3.0, **COMPLETE).readings)
    y = readings.reshape(1, -1, 1).expand(len(stops), -1, -1)
    likelihoods = kalman_filter(LinearGaussian(one, one, Q, R, *prior), y).log_likelihood
    best = stops[likelihoods.argmax()].tolist()
    assert best == pytest.approx([kalman.TRUE_PROCESS_NOISE, kalman.TRUE_OBSERVATION_NOISE])


def test_an_honest_band_holds_the_truth_and_an_overconfident_one_does_not():
    def coverage(process_noise, observation_noise):
        tracking = kalman.model(process_noise, observation_noise, **COMPLETE)
        return tracking.smoothed.coverage(tracking.truth)

    assert coverage(1.0, 3.0) > 0.9
    assert coverage(0.0, 3.0) < 0.2
    assert coverage(1.0, 0.5) < 0.5


def test_error_and_coverage_of_a_case_worked_by_hand():
    estimate = Estimate(mean=np.array([0.0, 1.0, 5.0]), deviation=np.array([1.0, 1.0, 0.5]))
    truth = np.array([2.0, 1.0, 3.0])
    np.testing.assert_array_equal(estimate.low, [-2.0, -1.0, 4.0])
    np.testing.assert_array_equal(estimate.high, [2.0, 3.0, 6.0])
    assert estimate.error(truth) == pytest.approx(math.sqrt(8 / 3))
    assert estimate.coverage(truth) == pytest.approx(2 / 3)


def test_every_corner_is_drawn_and_its_means_stay_on_the_figure(drawing, tracking):
    picture, blitted = drawing
    picture.draw(tracking)
    assert blitted.png()
    low, high = picture.figure.axes[0].get_ylim()
    for values in (tracking.truth, tracking.readings, tracking.filtered.mean, tracking.smoothed.mean):
        assert low < values.min() <= values.max() < high
    assert "nan" not in picture.describe(tracking)


def test_words_say_what_the_picture_shows(drawing):
    words = drawing[0].describe(kalman.model(**DEFAULTS | COMPLETE))
    assert words.startswith("90 of 90 daily readings")
    golden = (math.sqrt(1 + 4 * 3.0**2) - 1) / (2 * 3.0**2)
    assert f"would settle at {golden:.2f}; its last gain is {golden:.2f}" in words
