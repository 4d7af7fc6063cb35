"""Checks of chapter 01: answers written here, by hand, against what each check says about them."""

import pytest
import torch
from scipy.stats import norm

from helpers.checks import chapter_01 as checks

SEEDS = (1, 2026)


def dispersion(counts):
    cells = len(counts)
    mean = counts.sum(0) / cells
    variance = ((counts - mean) ** 2).sum(0) / (cells - 1)
    return torch.maximum((variance - mean) / mean**2, torch.zeros(()))


def deltas(times, mask):
    delta = torch.zeros(mask.shape)
    for t in range(1, len(times)):
        for d in range(mask.shape[1]):
            delta[t, d] = times[t] - times[t - 1] + (0 if mask[t - 1, d] else delta[t - 1, d])
    return delta


def carry_forward(values, mask, before):
    filled = torch.where(mask, values, torch.nan)
    filled[0] = torch.where(mask[0], values[0], before)
    for t in range(1, len(values)):
        filled[t] = torch.where(mask[t], values[t], filled[t - 1])
    return filled


def censored_log_likelihood(recorded, limit, mean, standard_deviation):
    above = recorded[recorded > limit]
    below = (len(recorded) - len(above)) * norm.logcdf(limit, mean, standard_deviation)
    return float(norm.logpdf(above, mean, standard_deviation).sum() + below)


def standardise(values, mask, train):
    result = torch.zeros_like(values)
    for d in range(values.shape[2]):
        known = values[train][..., d][mask[train][..., d]]
        scaled = (values[..., d] - known.mean()) / known.std(correction=0)
        result[..., d] = torch.where(mask[..., d], scaled, 0.0)
    return result


def coverage(lower, upper, values, group):
    shares = []
    for number in range(int(group.max()) + 1):
        cells = group == number
        misses = (values[cells] < lower[cells]) | (values[cells] > upper[cells])
        shares.append(1 - misses.float().mean())
    return torch.stack(shares)


def weighted_mean(values, mask, probability):
    measured = [
        (float(x), 1 / float(p)) for x, m, p in zip(values, mask, probability, strict=True) if bool(m)
    ]
    return sum(x * weight for x, weight in measured) / sum(weight for _, weight in measured)


FUNCTIONS = [
    dispersion,
    deltas,
    carry_forward,
    censored_log_likelihood,
    standardise,
    coverage,
    weighted_mean,
]


@pytest.mark.parametrize("answer", FUNCTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_answers_pass(answer, seed):
    verdict = getattr(checks, answer.__name__)(answer, seed=seed)
    assert verdict.passed, verdict
    assert verdict.score(3) == 3.0


def excess_over_mean(counts):
    return ((counts.var(0) - counts.mean(0)) / counts.mean(0)).clamp(min=0)


def negative_dispersion(counts):
    return (counts.var(0) - counts.mean(0)) / counts.mean(0) ** 2


def squared_variation(counts):
    return counts.var(0) / counts.mean(0) ** 2


def biased_variance(counts):
    variance, mean = counts.var(0, correction=0), counts.mean(0)
    return ((variance - mean) / mean**2).clamp(min=0)


def pooled_genes(counts):
    return ((counts.var() - counts.mean()) / counts.mean() ** 2).clamp(min=0).repeat(counts.shape[1])


def deviation_for_variance(counts):
    return ((counts.std(0) - counts.mean(0)) / counts.mean(0) ** 2).clamp(min=0)


def resets_at_the_observation(times, mask):
    return torch.where(mask, 0.0, deltas(times, mask))


def reads_the_step_itself(times, mask):
    delta = torch.zeros(mask.shape)
    for t in range(1, len(times)):
        delta[t] = times[t] - times[t - 1] + torch.where(mask[t], 0.0, delta[t - 1])
    return delta


def only_the_last_gap(times, mask):
    return torch.cat([torch.zeros(1), times.diff()])[:, None].expand(mask.shape)


def since_the_beginning(times, mask):
    return (times - times[0])[:, None].expand(mask.shape)


def inverted_mask(times, mask):
    return deltas(times, ~mask)


def counts_steps(times, mask):
    return deltas(torch.arange(len(times)), mask)


def any_feature(times, mask):
    return deltas(times, mask.any(1)[:, None].repeat(1, mask.shape[1]))


def filled_backwards(values, mask, before):
    filled = carry_forward(values, mask, torch.full_like(before, torch.nan))
    for t in reversed(range(len(values) - 1)):
        filled[t] = torch.where(filled[t].isnan(), filled[t + 1], filled[t])
    return torch.where(filled.isnan(), before, filled)


def next_observation(values, mask, before):
    return carry_forward(values.flip(0), mask.flip(0), before).flip(0)


def always_before(values, mask, before):
    return torch.where(mask, values, before.expand_as(values))


def keeps_the_start(values, mask, before):
    filled = values.clone()
    for t in range(1, len(values)):
        filled[t] = torch.where(
            mask[: t + 1].any(0), torch.where(mask[t], values[t], filled[t - 1]), values[t]
        )
    return filled


def untouched_values(values, mask, before):
    return values.clone()


def one_step_late(values, mask, before):
    return torch.cat([before[None], carry_forward(values, mask, before)[:-1]])


def limit_as_measured(recorded, limit, mean, standard_deviation):
    return float(norm.logpdf(recorded, mean, standard_deviation).sum())


def complete_case(recorded, limit, mean, standard_deviation):
    return float(norm.logpdf(recorded[recorded > limit], mean, standard_deviation).sum())


def upper_tail(recorded, limit, mean, standard_deviation):
    below = int((recorded == limit).sum())
    return complete_case(recorded, limit, mean, standard_deviation) + below * norm.logsf(
        float(limit), float(mean), float(standard_deviation)
    )


def probability_not_its_logarithm(recorded, limit, mean, standard_deviation):
    below = (recorded == limit).sum() * norm.cdf(limit, mean, standard_deviation)
    return complete_case(recorded, limit, mean, standard_deviation) + float(below)


def underflows(recorded, limit, mean, standard_deviation):
    normal = torch.distributions.Normal(mean, standard_deviation)
    return torch.where(recorded > limit, normal.log_prob(recorded), normal.cdf(limit).log()).sum()


def averages(recorded, limit, mean, standard_deviation):
    return censored_log_likelihood(recorded, limit, mean, standard_deviation) / len(recorded)


def without_the_scale(recorded, limit, mean, standard_deviation):
    density = norm.logpdf((recorded[recorded > limit] - mean) / standard_deviation).sum()
    below = (recorded == limit).sum() * norm.logcdf(limit, mean, standard_deviation)
    return float(density + below)


def counts_the_zeros(values, mask, train):
    known = values[train].flatten(0, 1)
    return torch.where(mask, (values - known.mean(0)) / known.std(0, correction=0), 0.0)


def counts_the_test_series(values, mask, train):
    return standardise(values, mask, torch.ones_like(train))


def counts_everything(values, mask, train):
    return counts_the_zeros(values, mask, torch.ones_like(train))


def transforms_the_gaps(values, mask, train):
    known = [values[train][..., d][mask[train][..., d]] for d in range(2)]
    mean = torch.stack([entries.mean() for entries in known])
    return (values - mean) / torch.stack([entries.std(correction=0) for entries in known])


def one_scale_for_all(values, mask, train):
    known = values[train][mask[train]]
    return torch.where(mask, (values - known.mean()) / known.std(correction=0), 0.0)


def divides_by_one_less(values, mask, train):
    known = [values[train][..., d][mask[train][..., d]] for d in range(2)]
    mean = torch.stack([entries.mean() for entries in known])
    return torch.where(mask, (values - mean) / torch.stack([entries.std() for entries in known]), 0.0)


def one_share_for_all(lower, upper, values, group):
    inside = (lower <= values) & (values <= upper)
    return inside.float().mean().repeat(len(group.unique()))


def ends_outside(lower, upper, values, group):
    return coverage(lower + 0.5, upper - 0.5, values, group)


def lower_end_outside(lower, upper, values, group):
    return coverage(lower + 0.5, upper, values, group)


def upper_end_outside(lower, upper, values, group):
    return coverage(lower, upper - 0.5, values, group)


def divides_by_all_cells(lower, upper, values, group):
    sizes = torch.stack([(group == number).sum() for number in group.unique()])
    return coverage(lower, upper, values, group) * sizes / len(group)


def share_outside(lower, upper, values, group):
    return 1 - coverage(lower, upper, values, group)


def complete_case_mean(values, mask, probability):
    return values.nanmean()


def weights_by_the_probability(values, mask, probability):
    return weighted_mean(values, mask, 1 / probability)


def horvitz_thompson(values, mask, probability):
    return torch.where(mask, values / probability, 0.0).mean()


def divides_by_the_number_measured(values, mask, probability):
    return (values / probability).nanmean()


def weights_of_everybody(values, mask, probability):
    return (values / probability).nansum() / (1 / probability).sum()


def nan_times_zero(values, mask, probability):
    return (mask * values / probability).sum() / (mask / probability).sum()


MISCONCEPTIONS = [
    ("dispersion", excess_over_mean, "φ multiplies the mean squared"),
    ("dispersion", negative_dispersion, "the Poisson limit, zero, is the answer there"),
    ("dispersion", squared_variation, "you do not subtract the mean"),
    ("dispersion", biased_variance, "divide by N - 1"),
    ("dispersion", pooled_genes, "you pool the genes"),
    ("dispersion", deviation_for_variance, "standard deviation where the equation has the variance"),
    (
        "deltas",
        resets_at_the_observation,
        "you reset δ at the observation itself; equation 1 resets it at the step after",
    ),
    ("deltas", reads_the_step_itself, "whether the step before, m[t-1], was observed"),
    ("deltas", only_the_last_gap, "δ does not accumulate over a gap"),
    ("deltas", since_the_beginning, "δ never restarts"),
    ("deltas", inverted_mask, "True means observed"),
    ("deltas", counts_steps, "you count steps"),
    ("deltas", any_feature, "an observation of any feature resets all of them"),
    (
        "carry_forward",
        filled_backwards,
        "you fill backwards",
        "row 0 of feature 0 changes when values measured from row 5 on are altered",
    ),
    ("carry_forward", next_observation, "the observation that follows it; carry the last one forward"),
    ("carry_forward", always_before, "you fill every gap with `before`"),
    ("carry_forward", keeps_the_start, "they take `before`"),
    ("carry_forward", untouched_values, "it was never measured"),
    ("carry_forward", one_step_late, "the value of the step before, even where the step itself is observed"),
    ("censored_log_likelihood", limit_as_measured, "as if the limit had been measured"),
    ("censored_log_likelihood", complete_case, "you leave the values at the limit out"),
    ("censored_log_likelihood", upper_tail, "a censored value lies below it"),
    ("censored_log_likelihood", probability_not_its_logarithm, "a log likelihood adds its logarithm"),
    ("censored_log_likelihood", underflows, "`torch.special.log_ndtr` gives the logarithm directly"),
    ("censored_log_likelihood", averages, "is the sum"),
    ("censored_log_likelihood", without_the_scale, "lacks the factor 1 / standard deviation"),
    ("standardise", counts_the_zeros, "zeros that stand for missing values enter"),
    ("standardise", counts_the_test_series, "the test series enter your mean"),
    ("standardise", counts_everything, "missing values and the test series both enter"),
    ("standardise", transforms_the_gaps, "yours hold a transformed zero"),
    ("standardise", one_scale_for_all, "each has its own unit"),
    ("standardise", divides_by_one_less, "the exercise asks for n"),
    ("coverage", one_share_for_all, "each group has its own share"),
    ("coverage", ends_outside, "compare with `<=` at both ends"),
    ("coverage", lower_end_outside, "compare with `<=` at both ends"),
    ("coverage", upper_end_outside, "compare with `<=` at both ends"),
    ("coverage", divides_by_all_cells, "divide by the number of cells in the group"),
    ("coverage", share_outside, "coverage is the share inside"),
    ("weighted_mean", complete_case_mean, "the complete-case mean, which is biased"),
    ("weighted_mean", weights_by_the_probability, "weight by one over it"),
    ("weighted_mean", horvitz_thompson, "you divide by N"),
    ("weighted_mean", divides_by_the_number_measured, "you divide by the number of those who were measured"),
    ("weighted_mean", weights_of_everybody, "the mask belongs there too"),
    ("weighted_mean", nan_times_zero, "a NaN stays a NaN when it is multiplied by zero"),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("check", "answer", "messages"),
    [
        pytest.param(check, answer, messages, id=f"{check}-{answer.__name__}")
        for check, answer, *messages in MISCONCEPTIONS
    ],
)
def test_each_misconception_gets_its_own_message(check, answer, messages, seed, assert_says):
    verdict = getattr(checks, check)(answer, seed=seed)
    assert not verdict.passed
    assert_says(verdict, *messages)


def test_cases_worked_by_hand():
    shares = checks.coverage(lambda lower, upper, values, group: torch.tensor([1.0, 0.6]))
    assert [item.passed for item in shares.items] == [False, False, True, False]
    mean = checks.weighted_mean(lambda values, mask, probability: (10 / 0.5 + 4 / 0.25) / (2 + 4))
    assert [item.passed for item in mean.items] == [False, True, False]


def interpolated(values, mask, before):
    filled = carry_forward(values, mask, before)
    following = next_observation(values, mask, before)
    return torch.where(mask, values, (filled + following) / 2)


def test_looking_ahead_in_any_way_is_found_by_altering_the_future():
    verdict = checks.carry_forward(interpolated)
    assert "your function looks ahead" in verdict.items[-1].message
    assert not verdict.items[-1].passed


def test_altering_the_future_is_not_asked_of_a_function_that_stops():
    verdict = checks.carry_forward(lambda values, mask, before: 1 / 0)
    assert "could not be compared" in verdict.items[-1].message
    assert verdict.score(1) == 0


RIGHT_ASSAYS = ("negative binomial", "constant", "Poisson")


def test_the_figure_is_read_right():
    assert checks.mean_variance_figure(RIGHT_ASSAYS, 0.21).passed


def test_the_figures_data_are_what_the_check_says():
    for label, counts in checks.three_assays().items():
        mean, variance = counts.mean(0), counts.var(0)
        expected = {"A": mean + 0.2 * mean**2, "B": torch.full_like(mean, 9.0), "C": mean}[label]
        torch.testing.assert_close(variance, expected, rtol=0.15, atol=0.0)


def test_assays_misread_are_explained(assert_says):
    verdict = checks.mean_variance_figure(("poisson", "constant", ...), 0.2)
    assert verdict.score(4) == 2.0
    assert_says(verdict, "A is not Poisson", "B is constant", "C: not answered yet")
    assert_says(checks.mean_variance_figure((*RIGHT_ASSAYS, "Poisson"), 0.2), "there are three assays")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (5.0, "that is 1 / φ"),
        (2, "that is the slope"),
        (1.1, "with φ = 1 the variance at mean 100 would be 10 100"),
        (21.0, "you divided by the mean once"),
        (0.5, "divide by the mean squared"),
    ],
)
def test_a_dispersion_misread_is_explained(read, message, assert_says):
    verdict = checks.mean_variance_figure(RIGHT_ASSAYS, read)
    assert verdict.score(4) == 3.0
    assert_says(verdict, message)


def test_the_limit_is_right_where_a_truncated_normal_says_so():
    a = -0.5171  # n(a) / (1 - Φ(a)) = 0.5
    assert norm.pdf(a) / norm.sf(a) == pytest.approx(0.5, abs=1e-3)
    verdict = checks.detection_limit(torch.tensor(4 + 1.2 * a), norm.cdf(a), 0.5)
    assert verdict.passed
    assert "30% of the values lie below your limit; you predicted 50%" in str(verdict)


@pytest.mark.parametrize(
    ("limit", "lost", "message"),
    [
        (2.0, 0.05, "go higher"),
        (3.8, 0.43, "go lower"),
        (4.0, 0.5, "half of the values are lost there"),
        (3.2, 0.25, "0.5 log units; one standard deviation is 1.2 of those"),
        (3.38, 0.7, "that is the fraction that is kept"),
        (3.38, 30, "not per cent"),
        (3.38, 0.4, "0.4 is not the fraction below your limit"),
        (-60.0, 0.0, "go higher"),
        (60.0, 1.0, "go lower"),
    ],
)
def test_the_limit_missed(limit, lost, message, assert_says):
    verdict = checks.detection_limit(limit, lost)
    assert not verdict.passed
    assert_says(verdict, message)


def test_what_is_lost_depends_on_the_limit(assert_says):
    assert_says(checks.detection_limit(3.38, ...), "lost: not answered yet")
    assert_says(checks.detection_limit(..., 0.3), "limit: not answered yet", "lost: answer `limit` first")


def test_untouched_answers_are_not_attempts():
    assert checks.mean_variance_figure((..., ..., ...), ...).items == ()
    assert checks.detection_limit(..., ..., ...).items == ()
    for function in FUNCTIONS:
        assert getattr(checks, function.__name__)(...).items == ()
