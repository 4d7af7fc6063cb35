"""Checks of chapter 02: answers written here, in another way, against what each check says about them."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.optimize import brentq

from helpers.checks import chapter_02 as checks
from helpers.statespace import LinearGaussian, kalman_filter

SEEDS = (1, 2026)


def gain(P, c, R):
    """The vertex of the parabola V(K) through its values at -1, 0 and 1."""
    below, at_zero, above = ((1 - K * c) ** 2 * P + K**2 * R for K in (-1, 0, 1))
    return (below - above) / (2 * (below + above - 2 * at_zero))


def update(m, P, y, mask, C, R):
    """In information form: precisions add."""
    m, P, y, C, R = (tensor.double() for tensor in (m, P, y, C, R))
    weight = C[mask].T @ R[mask][:, mask].inverse()
    covariance = (P.inverse() + weight @ C[mask]).inverse()
    return covariance @ (P.inverse() @ m + weight @ y[mask]), covariance


def posterior_covariance(P, C, R, K):
    """The error is a linear map of the error before and the noise, stacked."""
    linear_map = torch.cat([torch.eye(len(P)) - K @ C, -K], 1)
    return linear_map @ torch.block_diag(P, R) @ linear_map.T


def contributions(W, U, h_0, x):
    """By superposition: run the network on one input at a time."""

    def run(h, inputs):
        for value in inputs:
            h = W @ h + U @ value
        return h

    one_at_a_time = torch.eye(len(x))[:, :, None] * x
    rows = [run(torch.zeros_like(h_0), inputs) for inputs in one_at_a_time.flip(0)]
    return torch.stack([*rows, run(h_0, torch.zeros_like(x))])


def hmm_rnn(likelihood, transition, initial):
    """In logarithms, normalised once, at the end."""
    joint = [likelihood[0].log() + initial.log()]
    for e in likelihood[1:]:
        joint.append(e.log() + torch.logsumexp(joint[-1][:, None] + transition.log(), 0))
    return torch.softmax(torch.stack(joint), -1)


def discretise(times, k, sigma):
    """By Van Loan's matrix exponential."""
    generator = np.array([[-float(k), float(sigma) ** 2], [0.0, float(k)]])
    flows = np.stack([expm(generator * gap) for gap in np.diff(times, prepend=float(times[0]))])
    return torch.from_numpy(flows[:, 0, 0]), torch.from_numpy(flows[:, 0, 1] * flows[:, 0, 0])


FUNCTIONS = [gain, update, posterior_covariance, contributions, hmm_rnn, discretise]


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_pass(answer, seed):
    verdict = getattr(checks, answer.__name__)(answer, seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == 3.0


def by_the_library(m, P, y, mask, C, R):
    still = torch.eye(len(m))
    model = LinearGaussian(still, C, 0 * still, R, m, P)
    filtered = kalman_filter(model, torch.where(mask, y, 0.0)[None, None], mask[None, None])
    return filtered.mean[0, 0], filtered.covariance[0, 0]


def test_one_step_of_the_librarys_filter_passes():
    assert checks.update(by_the_library).passed


def ignores_the_scale(P, c, R):
    return P / (P + R)


def scale_not_squared(P, c, R):
    return P * c / (P * c + R)


def scale_only_above(P, c, R):
    return P * c / (P + R)


def share_removed(P, c, R):
    return c * gain(P, c, R)


def share_kept(P, c, R):
    return 1 - c * gain(P, c, R)


def believes_the_reading(P, c, R):
    return 1 / c


def standard_deviations(P, c, R):
    return gain(P.sqrt(), c, R.sqrt())


def joint(m, P, e, C, R):
    K = P @ C.T @ torch.linalg.inv(C @ P @ C.T + R)
    return m + K @ e, P - K @ C @ P


def fills_with_zero(m, P, y, mask, C, R):
    y = y.masked_fill(~mask, 0.0)
    return joint(m, P, y - C @ m, C, R)


def takes_it_as_it_stands(m, P, y, mask, C, R):
    return joint(m, P, y - C @ m, C, R)


def fills_with_the_prediction(m, P, y, mask, C, R):
    y = torch.where(mask, y, C @ m)
    return joint(m, P, y - C @ m, C, R)


def drops_the_reading(m, P, y, mask, C, R):
    return joint(m, P, y - C @ m, C, R) if bool(mask.all()) else (m.clone(), P.clone())


def forgets_the_block(m, P, y, mask, C, R):
    C = C * mask[:, None]
    return joint(m, P, y.masked_fill(~mask, 0.0) - C @ m, C, R)


def first_block(m, P, y, mask, C, R):
    number = int(mask.sum())
    return joint(m, P, y[mask] - C[mask] @ m, C[mask], R[:number, :number])


def uncorrelated(m, P, y, mask, C, R):
    return joint(m, P, y[mask] - C[mask] @ m, C[mask], torch.diag(R.diag()[mask]))


def nan_times_zero(m, P, y, mask, C, R):
    observed = mask.float()
    C = C * observed[:, None]
    R = R * torch.outer(observed, observed) + torch.diag(1 - observed)
    return joint(m, P, y * observed - C @ m, C, R)


def keeps_the_covariance(m, P, y, mask, C, R):
    return update(m, P, y, mask, C, R)[0], P.clone()


def without_the_noise(P, C, R, K):
    kept = torch.eye(len(P)) - K @ C
    return kept @ P @ kept.T


def shortcut(P, C, R, K):
    return P - K @ C @ P


def symmetric_shortcut(P, C, R, K):
    return (shortcut(P, C, R, K) + shortcut(P, C, R, K).T) / 2


def minus_the_gain_squared(P, C, R, K):
    return P - K @ (C @ P @ C.T + R) @ K.T


def transposed_first(P, C, R, K):
    kept = torch.eye(len(P)) - K @ C
    return kept.T @ P @ kept + K @ R @ K.T


def plus_on_the_right(P, C, R, K):
    eye = torch.eye(len(P))
    return (eye - K @ C) @ P @ (eye + K @ C).T + K @ R @ K.T


def noise_subtracted(P, C, R, K):
    return without_the_noise(P, C, R, K) - K @ R @ K.T


def noise_not_scaled(P, C, R, K):
    return without_the_noise(P, C, R, K) + R


def oldest_first(W, U, h_0, x):
    return contributions(W, U, h_0, x.flip(0))


def rows_in_time_order(W, U, h_0, x):
    rows = contributions(W, U, h_0, x)
    return torch.stack([*reversed(rows[:-1]), rows[-1]])


def once_too_often(W, U, h_0, x):
    rows = contributions(W, U, h_0, x)
    return torch.stack([*(rows[:-1] @ W.T), rows[-1]])


def entrywise_powers(W, U, h_0, x):
    rows = [W**lag @ U @ x[len(x) - 1 - lag] for lag in range(len(x))]
    return torch.stack([*rows, W ** len(x) @ h_0])


def transposed_weights(W, U, h_0, x):
    return contributions(W.T, U, h_0, x)


def one_step_short(W, U, h_0, x):
    return torch.stack([*contributions(W, U, h_0, x)[:-1], contributions(W, U, h_0, x[1:])[-1]])


def untouched_start(W, U, h_0, x):
    return torch.stack([*contributions(W, U, h_0, x)[:-1], h_0])


def recursion(likelihood, h, step):
    rows = []
    for e in likelihood:
        h = step(e, h, not rows)
        rows.append(h)
    return torch.stack(rows)


def normalise(h):
    return h / h.sum()


def not_transposed(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: normalise(e * (h if first else (A * h).sum(1))))


def reads_before_it_moves(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: A.T @ normalise(e * h))


def predicts(likelihood, A, initial):
    return torch.stack([initial, *reads_before_it_moves(likelihood, A, initial)[:-1]])


def moves_before_the_first(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: normalise(e * (A.T @ h)))


def joint_probabilities(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: e * (h if first else A.T @ h))


def normalised_at_the_end(likelihood, A, initial):
    rows = joint_probabilities(likelihood, A, initial)
    return rows / rows.sum(1, keepdim=True)


def softmax_of_the_product(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: torch.softmax(e * (h if first else A.T @ h), 0))


def never_moves(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: normalise(e * h))


def no_memory(likelihood, A, initial):
    return torch.stack([normalise(e * initial) for e in likelihood])


def never_reads(likelihood, A, initial):
    return recursion(likelihood, initial, lambda e, h, first: h if first else A.T @ h)


def euler(times, k, sigma):
    gap = torch.cat([torch.zeros(1), times.diff()])
    return 1 - k * gap, sigma**2 * gap


def next_gap(times, k, sigma):
    a, q = discretise(times, k, sigma)
    return torch.cat([a[1:], a.new_ones(1)]), torch.cat([q[1:], q.new_zeros(1)])


def no_gap(times, k, sigma):
    return torch.exp(-k * times), sigma**2 / (2 * k) * (1 - torch.exp(-2 * k * times))


def regular_grid(times, k, sigma):
    return discretise(torch.linspace(float(times[0]), float(times[-1]), len(times)), k, sigma)


def growing(times, k, sigma):
    a, q = discretise(times, k, sigma)
    return 1 / a, q


def with_variance(change):
    def answer(times, k, sigma):
        a, q = discretise(times, k, sigma)
        return a, change(a, q, k, sigma)

    return answer


MISCONCEPTIONS = [
    ("gain", ignores_the_scale, "right for c = 1 only"),
    ("gain", scale_not_squared, "your denominator has c P"),
    ("gain", scale_only_above, "lacks the factor c²"),
    ("gain", share_removed, "that is K c"),
    ("gain", share_kept, "that is 1 - K c"),
    ("gain", believes_the_reading, "you believe the reading alone"),
    ("gain", standard_deviations, "P and R are variances already"),
    ("update", fills_with_zero, "a missing entry enters as if 0 had been read"),
    ("update", fills_with_zero, "your covariance shrinks as if every entry had been read"),
    ("update", takes_it_as_it_stands, "whatever stands in y where the mask is False enters"),
    ("update", fills_with_the_prediction, "as if its prediction had been read"),
    ("update", drops_the_reading, "you drop the whole reading"),
    ("update", forgets_the_block, "you empty the rows of C and keep all of R"),
    ("update", first_block, "you take the first rows and columns of R"),
    ("update", uncorrelated, "you use the diagonal of R only"),
    ("update", nan_times_zero, "a NaN stays a NaN when it is multiplied by zero"),
    ("update", keeps_the_covariance, "you return the covariance of before the update"),
    ("posterior_covariance", without_the_noise, "lacks the noise that the reading brings in"),
    ("posterior_covariance", shortcut, "(I - K C) P is a shortcut"),
    ("posterior_covariance", symmetric_shortcut, "made symmetric is still wrong"),
    ("posterior_covariance", minus_the_gain_squared, "P - K S Kᵀ holds for the optimal gain only"),
    ("posterior_covariance", transposed_first, "you transpose the first factor"),
    ("posterior_covariance", plus_on_the_right, "your last factor is (I + K C)ᵀ"),
    ("posterior_covariance", noise_subtracted, "you subtract K R Kᵀ"),
    ("posterior_covariance", noise_not_scaled, "you add R itself"),
    ("contributions", oldest_first, "the inputs are the wrong way round"),
    ("contributions", rows_in_time_order, "each contribution is right, in the wrong row"),
    ("contributions", once_too_often, "you apply W once too often"),
    ("contributions", entrywise_powers, "raises each entry by itself"),
    ("contributions", transposed_weights, "you use the transpose of W"),
    ("contributions", one_step_short, "at every one of the T steps"),
    ("contributions", untouched_start, "and not h_0 itself"),
    ("hmm_rnn", not_transposed, "W_hh is the transpose"),
    ("hmm_rnn", reads_before_it_moves, "you let the state move after the reading"),
    ("hmm_rnn", predicts, "your row t is the prediction from the readings before t"),
    ("hmm_rnn", moves_before_the_first, "you move the state before the first reading"),
    ("hmm_rnn", joint_probabilities, "you do not normalise"),
    ("hmm_rnn", normalised_at_the_end, "you normalise only at the end"),
    ("hmm_rnn", softmax_of_the_product, "softmax normalises logarithms"),
    ("hmm_rnn", never_moves, "you ignore the transitions"),
    ("hmm_rnn", no_memory, "you ignore the past"),
    ("hmm_rnn", never_reads, "you ignore the readings"),
    ("discretise", euler, "1 - k δ is one step of Euler's method"),
    ("discretise", euler, "σ² δ is the variance of noise that stays for ever"),
    ("discretise", next_gap, "a, half is left after 1 h, by hand: you use the gap that follows"),
    ("discretise", next_gap, "q, half is left after 1 h, by hand: you use the gap that follows"),
    ("discretise", no_gap, "you use the time of the reading"),
    ("discretise", regular_grid, "you use one gap for all"),
    ("discretise", growing, "the sign of k δ in the exponent is wrong"),
    (
        "discretise",
        with_variance(lambda a, q, k, sigma: sigma**2 / (2 * k) * (1 - a)),
        "your exponent lacks a factor 2",
    ),
    ("discretise", with_variance(lambda a, q, k, sigma: sigma**2 / k * (1 - a**2)), "1 / (2 k), not 1 / k"),
    ("discretise", with_variance(lambda a, q, k, sigma: q**0.5), "you return the standard deviation"),
    ("discretise", with_variance(lambda a, q, k, sigma: q / sigma), "you do not square σ"),
    (
        "discretise",
        with_variance(lambda a, q, k, sigma: 0 * q + sigma**2 / (2 * k)),
        "the variance after an infinite gap",
    ),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("check", "answer", "message"), MISCONCEPTIONS)
def test_each_misconception_gets_its_own_message(check, answer, message, seed):
    verdict = getattr(checks, check)(answer, seed=seed)
    assert not verdict.passed
    assert message in " ".join(str(verdict).split())


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("gain", lambda P, c, R: gain(P, c, R)[None], "returns shape (1, 1) instead of"),
        (
            "update",
            lambda m, P, y, mask, C, R: print(),
            "mean, both entries observed: your function returns None",
        ),
        (
            "update",
            lambda m, P, y, mask, C, R: P,
            "mean, both entries observed: your function returns shape (2, 2)",
        ),
        ("update", lambda m, P, y, mask, C, R: (m,), "returns a value of type tuple"),
        ("update", 3.0, "the answer should be a function"),
        ("update", lambda m, P, y, mask, C, R: no_such_name, "stopped with NameError at line"),  # noqa: F821
        ("posterior_covariance", lambda P, C, R, K: P.sum(), "returns shape ()"),
        ("contributions", lambda W, U, h_0, x: contributions(W, U, h_0, x)[:-1], "returns shape (3, 1)"),
        ("contributions", lambda W, U, h_0, x: contributions(W, U, h_0, x).sum(0), "returns shape (1,)"),
        ("hmm_rnn", lambda likelihood, A, initial: initial, "returns shape (2,)"),
        ("discretise", lambda times, k, sigma: [gap for gap in times.diff()], "returns shape ()"),
    ],
)
def test_an_answer_of_another_form_is_named(check, answer, message):
    verdict = getattr(checks, check)(answer)
    assert not verdict.passed
    assert message in " ".join(str(verdict).split())


def test_the_right_mean_alone_earns_its_half():
    verdict = checks.update(lambda *arguments: update(*arguments)[0])
    assert verdict.score(4) == 2.0
    assert "covariance, both entries observed: your function returns shape (2,)" in " ".join(
        str(verdict).split()
    )


def test_a_change_in_place_is_told_once():
    def changes_its_input(m, P, y, mask, C, R):
        answer = update(m, P, y, mask, C, R)
        y.zero_()
        return answer

    messages = [item.message for item in checks.update(changes_its_input).items if not item.passed]
    assert messages == ["your function changes `y` in place: work on a copy"]


def test_cases_worked_by_hand():
    assert checks.gain(lambda P, c, R: torch.ones_like(P)).items[0].passed
    rows = torch.tensor([[2.0], [6.0], [2.0], [2.0]])
    assert checks.contributions(lambda W, U, h_0, x: rows).items[0].passed
    assert checks.hmm_rnn(lambda likelihood, A, initial: torch.tensor([[0.5, 0.5]])).items[0].passed
    halved = checks.discretise(lambda times, k, sigma: (torch.tensor([1, 0.5]), torch.tensor([0, 0.75])))
    assert [item.passed for item in halved.items] == [True, False, False, False] * 2


RIGHT_FILTERS = ("Q too large", "drift left out", "Q too small", "right")


def test_the_figure_is_read_right():
    assert checks.innovation_figure(RIGHT_FILTERS, 1.9).passed


@pytest.fixture(scope="module")
def long_run():
    """The figure's filters, run for much longer than in the figure."""
    return checks.four_filters(readings=50_000)


Q, R, DRIFT = 1.0, 4.0, 1.0


def settled(ratio):
    """Gain and innovation variance of a filter of a random walk that has run for long, R = 4."""
    P = 1.0
    for _ in range(2000):
        S = P + ratio * R + R
        P = R * (1 - R / S)
    return 1 - R / S, S


@pytest.mark.parametrize(
    ("label", "believed", "drift"),
    [("A", 25 * Q, 0.0), ("B", Q, DRIFT), ("C", Q / 100, 0.0), ("D", Q, 0.0)],
)
def test_the_figures_data_are_what_the_theory_says(long_run, label, believed, drift):
    """The prediction error obeys d' = (1 - K) d - K v + w + drift, and the innovation is d + v."""
    K, S = settled(believed / R)
    variance = (K**2 * R + Q) / (1 - (1 - K) ** 2)
    lag_one = (1 - K) * variance - K * R
    e = long_run[label].double() * S**0.5
    centred = e - e.mean()
    within = 0.08 if label == "C" else 0.03  # C's long memory leaves 50 000 readings the weight of 5000
    assert e.mean().item() == pytest.approx(drift / K, abs=within * (variance + R) ** 0.5)
    assert e.var().item() == pytest.approx(variance + R, rel=within)
    assert (centred[1:] * centred[:-1]).mean().item() == pytest.approx(lag_one, abs=within * (variance + R))


def test_each_filter_shows_what_its_verdict_says():
    e = checks.four_filters()
    correlation = {
        label: torch.corrcoef(torch.stack([values[1:], values[:-1]]))[0, 1] for label, values in e.items()
    }
    assert e["A"].var() < 0.5
    assert correlation["A"] < -0.2
    assert e["C"].var() > 2
    assert correlation["C"] > 0.5
    assert e["B"].mean() > 0.8
    assert abs(e["D"].mean()) < 0.1
    assert all(0.9 < e[label].var() < 1.1 and abs(correlation[label]) < 0.1 for label in "BD")


@pytest.mark.parametrize(
    ("names", "widen", "messages"),
    [
        (("q too large", "right", "Q too small", ...), 1.9, ['B is not "right"', "D: not answered yet"]),
        (
            ("Q too small", "drift left out", "Q too large", "right"),
            1.9,
            ['A is not "Q too small"', "C is not"],
        ),
        (["Q too large", "biased", "Q too small", "right"], 1.9, ["B: 'biased' is none of"]),
        ((*RIGHT_FILTERS, "right"), 1.9, ["'right' is one name too many: there are four filters"]),
        ("Q too large", 1.9, ['A is "Q too large"', "B: not answered yet"]),
        (RIGHT_FILTERS, ..., ["widen: not answered yet"]),
        (RIGHT_FILTERS, "much", ["widen: give one number"]),
        (RIGHT_FILTERS, 3.6, ["that is the variance"]),
        (RIGHT_FILTERS, 0.53, ["they miss too often already"]),
        (RIGHT_FILTERS, 0.28, ["they miss too often already"]),
        (RIGHT_FILTERS, 1, ["far more often than one time in twenty"]),
        (RIGHT_FILTERS, 3.9, ["that is where the band should end"]),
        (RIGHT_FILTERS, 7, ["what have those of C?"]),
    ],
)
def test_the_figure_misread(names, widen, messages):
    verdict = checks.innovation_figure(names, widen)
    assert not verdict.passed
    assert all(message in " ".join(str(verdict).split()) for message in messages)


def steady_gain_of(ratio, every=1):
    """By running the filter until nothing changes."""
    P = 1.0
    for _ in range(500):
        before = P + every * ratio
        P = before / (before + 1)
    return before / (before + 1)


def test_the_gain_is_one_half_where_the_filter_says_so():
    ratio = brentq(lambda ratio: steady_gain_of(ratio) - 0.5, 0.01, 10)
    verdict = checks.steady_gain(ratio, torch.tensor(steady_gain_of(ratio, every=2)), 1.0)
    assert verdict.passed
    assert "at Q/R = 0.5 the gain settles at 0.500; you predicted 1" in str(verdict)


@pytest.mark.parametrize(
    ("ratio", "gain_with_gaps", "message"),
    [
        (0.2, 0.618, "ratio: at Q/R = 0.2 the gain settles at 0.358: go higher"),
        (0.8, 0.618, "ratio: at Q/R = 0.8 the gain settles at 0.580: go lower"),
        (1, 0.618, "settles at 0.618; the prediction is uncertain by more than Q"),
        (2, 0.618, "that is R/Q"),
        (0.707, 0.618, "that is the ratio of the standard deviations"),
        (-1, 0.618, "variances are not"),
        (..., 0.618, "ratio: not answered yet"),
        ("half", 0.618, "ratio: give one number"),
        (0.5, ..., "gain_with_gaps: not answered yet"),
        (0.5, "more", "gain_with_gaps: give one number"),
        (0.5, 0.5, "the gain does not stay the same"),
        (0.5, 0.382, "that is 1 - K"),
        (0.5, 0.75, "that is the weight of two readings in a row"),
        (0.5, 0.25, "for more, not for less"),
        (0.5, 0.9, "predict twice, then update once"),
    ],
)
def test_the_ratio_missed(ratio, gain_with_gaps, message):
    verdict = checks.steady_gain(ratio, gain_with_gaps)
    assert not verdict.passed
    assert message in " ".join(str(verdict).split())


def test_untouched_answers_are_not_attempts():
    assert checks.innovation_figure(..., ...).items == ()
    assert checks.innovation_figure((..., ..., ..., ...), ...).items == ()
    assert checks.steady_gain(..., ..., ...).items == ()
    for function in FUNCTIONS:
        assert getattr(checks, function.__name__)(...).items == ()
