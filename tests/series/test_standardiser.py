"""One scale, from observed training entries alone."""

import dataclasses

import numpy as np
import pytest
import torch

from helpers.series import IrregularBatch, Standardiser, collate, one_series


def test_measures_what_numpy_measures(batch):
    observed = torch.where(batch.mask, batch.values, torch.nan).double().cpu().numpy()
    standardiser = Standardiser.fit(batch)
    assert standardiser.mean.dtype == batch.values.dtype
    assert standardiser.mean.device == batch.values.device
    np.testing.assert_allclose(standardiser.mean.cpu(), np.nanmean(observed, (0, 1)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(standardiser.standard_deviation.cpu(), np.nanstd(observed, (0, 1)), rtol=1e-6)


def test_transformed_training_set_has_mean_0_and_variance_1(batch):
    z = Standardiser.fit(batch).transform(batch)
    number = batch.mask.sum((0, 1))
    torch.testing.assert_close(
        z.values.sum((0, 1)) / number, torch.zeros_like(z.values[0, 0]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        z.values.square().sum((0, 1)) / number, torch.ones_like(z.values[0, 0]), atol=1e-5, rtol=0
    )


def test_inverse_undoes_transform_and_the_rest_stays(batch):
    standardiser = Standardiser.fit(batch)
    back = standardiser.inverse(standardiser.transform(batch))
    torch.testing.assert_close(back.values[batch.mask], batch.values[batch.mask])
    assert back.times is batch.times
    assert torch.equal(back.mask, batch.mask)


def test_what_was_not_observed_stands_at_the_mean(batch):
    standardiser = Standardiser.fit(batch)
    z = standardiser.transform(batch)
    assert not z.values[~batch.mask].any()
    hidden = standardiser.inverse(z).values[~batch.mask]
    assert torch.equal(hidden, standardiser.mean.expand_as(batch.values)[~batch.mask])


def test_zeros_that_stand_for_missing_do_not_shrink_the_mean():
    """Ten readings of 100 and 102 among 90 hidden zeros: the mean is 101, not 10.1."""
    values, mask = torch.zeros(100, 1), torch.zeros(100, 1, dtype=torch.bool)
    values[:10, 0] = torch.tensor([100.0, 102.0] * 5)
    mask[:10] = True
    standardiser = Standardiser.fit(one_series(torch.arange(100.0), values, mask))
    assert standardiser.mean.tolist() == [101.0]
    assert standardiser.standard_deviation.tolist() == [1.0]


def test_a_million_float32_entries_far_from_zero_are_measured_accurately(device):
    """float32 resolves 100000 to 1/128: a mean rounded to that would spoil a standard deviation of 0.29."""
    generator = torch.Generator().manual_seed(0)
    values = 100_000 + torch.rand(1000, 1000, 1, generator=generator)
    batch = IrregularBatch(
        torch.arange(1000.0).repeat(1000, 1),
        values,
        torch.ones_like(values).bool(),
        torch.full((1000,), 1000),
    ).to(device)
    standardiser = Standardiser.fit(batch)
    exact = values.double().numpy()
    np.testing.assert_allclose(standardiser.mean.cpu(), exact.mean((0, 1)), rtol=6e-8)
    np.testing.assert_allclose(standardiser.standard_deviation.cpu(), exact.std((0, 1)), rtol=2e-7)


def test_padding_and_order_do_not_matter(batch, make_batch):
    longest = make_batch(9, series=2, steps=20, dtype=batch.values.dtype, device=batch.values.device)
    padded = collate([batch, longest])[: len(batch)]
    expected = Standardiser.fit(batch)
    for same in (padded, batch[[2, 0, 4, 1, 3]]):
        found = Standardiser.fit(same)
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.standard_deviation, expected.standard_deviation)


def test_gradients_are_not_contaminated_by_hidden_nan(make_batch):
    batch = make_batch(0)
    standardiser = Standardiser(
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
        torch.ones(3, dtype=torch.float64, requires_grad=True),
    )
    values = batch.values.clone().requires_grad_()
    watched = dataclasses.replace(batch, values=values)
    (standardiser.transform(watched).values.sum() + standardiser.inverse(watched).values.sum()).backward()
    for tensor in (values, standardiser.mean, standardiser.standard_deviation):
        assert tensor.grad.isfinite().all()
    assert not values.grad[~batch.mask].any()


def test_serves_another_dtype_and_device(batch, make_batch):
    standardiser = Standardiser.fit(make_batch(7))
    z = standardiser.transform(batch)
    assert z.values.dtype == batch.values.dtype
    assert z.values.device == batch.values.device


# --- what a training set cannot tell -------------------------------------------------------------


def blind_batch():
    """Feature 0 varies, 1 is always 0.1, 2 is never seen; 3 is seen once."""
    values = torch.tensor([[1.0, 0.1, torch.nan, 7.0], [3.0, 0.1, torch.nan, torch.nan]])
    return one_series(torch.arange(2.0), values, values.isfinite())


PRIORS = {
    "one for all": (5.0, 2.0, 5.0, 2.0),
    "one for each": (torch.tensor([9.0, 9.0, 5.0, 9.0]), torch.tensor([9.0, 2.0, 3.0, 2.0]), 5.0, 3.0),
    "0-D and another dtype": (torch.tensor(5), torch.tensor(2.0, dtype=torch.float64), 5.0, 2.0),
}


@pytest.mark.parametrize(("mean", "scale", "hidden_mean", "hidden_scale"), PRIORS.values(), ids=PRIORS)
def test_priors_stand_in_for_what_was_not_measured_and_for_nothing_else(
    mean, scale, hidden_mean, hidden_scale
):
    standardiser = Standardiser.fit(blind_batch(), prior_mean=mean, prior_scale=scale)
    torch.testing.assert_close(standardiser.mean, torch.tensor([2.0, 0.1, hidden_mean, 7.0]), rtol=0, atol=0)
    torch.testing.assert_close(standardiser.standard_deviation, torch.tensor([1.0, 2.0, hidden_scale, 2.0]))
    back = standardiser.inverse(standardiser.transform(blind_batch()))
    torch.testing.assert_close(back.values[back.mask], blind_batch().values[back.mask])


def test_a_scale_is_enough_where_every_feature_was_seen():
    standardiser = Standardiser.fit(blind_batch().select_features([3, 1]), prior_scale=4.0)
    assert standardiser.standard_deviation.tolist() == [4.0, 4.0]
    assert standardiser.transform(blind_batch().select_features([3, 1])).values[0, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2)], ids=["no series", "no steps"])
def test_nothing_observed_is_all_prior(shape):
    series, steps, _ = shape
    batch = IrregularBatch(
        torch.arange(float(steps)).repeat(series, 1),
        torch.zeros(shape),
        torch.zeros(shape, dtype=torch.bool),
        torch.full((series,), steps),
    )
    standardiser = Standardiser.fit(batch, prior_mean=torch.tensor([1.0, 2.0]), prior_scale=3.0)
    assert standardiser.mean.tolist() == [1.0, 2.0]
    assert standardiser.standard_deviation.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="feature 0 is never observed; prior_mean and prior_scale can"):
        Standardiser.fit(batch, prior_scale=1.0)


BAD_PRIORS = [
    ({"prior_scale": 0.0}, "prior_scale must be positive and finite: prior_scale = 0.0"),
    ({"prior_mean": torch.nan}, "prior_mean must be a finite number: got nan"),
    ({"prior_mean": [1.0]}, "prior_mean must be a finite number: got [1.0]"),
    ({"prior_scale": torch.ones(3)}, "prior_scale must have shape (D,) = (4,): got (3,)"),
    (
        {"prior_mean": torch.tensor([0.0, torch.inf, 0.0, 0.0])},
        "prior_mean must be finite: prior_mean[1] = inf",
    ),
]


@pytest.mark.parametrize(("prior", "message"), BAD_PRIORS, ids=[case[-1] for case in BAD_PRIORS])
def test_refuses_a_bad_prior(prior, message):
    with pytest.raises(ValueError) as error:
        Standardiser.fit(blind_batch(), **({"prior_mean": 0.0, "prior_scale": 1.0} | prior))
    assert str(error.value) == message


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1.0, 1e160, 1e305])
def test_moments_change_with_the_unit_and_nothing_else(make_batch, unit):
    batch = make_batch(3)
    reference = Standardiser.fit(batch)
    scaled = Standardiser.fit(dataclasses.replace(batch, values=batch.values * unit))
    torch.testing.assert_close(scaled.mean / unit, reference.mean, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(
        scaled.standard_deviation / unit, reference.standard_deviation, rtol=1e-12, atol=0
    )


# --- leaks ------------------------------------------------------------------------------------


def test_refuses_a_training_set_that_contains_test_series(make_batch, dtype, device):
    batch = make_batch(0, observed=1.0, dtype=dtype, device=device)
    with pytest.raises(ValueError) as error:
        Standardiser.fit(batch, test=batch[[2, 1]])
    assert str(error.value) == (
        "train must not contain test series: test series 0 is train series 2, test series 1 is train series 1"
    )


def test_finds_a_test_series_behind_other_padding_and_hidden_values(make_batch):
    batch, longest = make_batch(0, observed=0.8), make_batch(9, steps=20)
    disguised = collate([longest, batch[3]])[-1]
    disguised = dataclasses.replace(disguised, values=torch.where(disguised.mask, disguised.values, -7.0))
    with pytest.raises(ValueError, match="test series 0 is train series 3$"):
        Standardiser.fit(batch, test=disguised)


def test_lists_at_most_five(make_batch):
    batch = make_batch(0, series=9)
    with pytest.raises(ValueError, match="test series 4 is train series 4 and 3 more$"):
        Standardiser.fit(batch, test=batch)


def test_accepts_disjoint_sets_and_ignores_series_without_observations(make_batch):
    """The last series of both is empty, and so the same; it tells nothing about anyone."""
    train, test = make_batch(0), make_batch(1)
    assert torch.equal(Standardiser.fit(train, test=test).mean, Standardiser.fit(train).mean)


@pytest.mark.parametrize("part", ["times", "values", "mask"])
def test_a_series_that_differs_anywhere_is_another_one(make_batch, part):
    train = make_batch(0)
    number = int(train.mask.sum((1, 2)).argmax())
    first = tuple(train.mask[number].nonzero()[0].tolist())
    other = {name: getattr(train[number], name).clone() for name in ("times", "values", "mask", "lengths")}
    if part == "times":
        other["times"] += 1e-9
    elif part == "values":
        other["values"][0][first] += 1e-9
    else:
        other["mask"][0][first] = False
    Standardiser.fit(train, test=IrregularBatch(**other))


# --- errors -----------------------------------------------------------------------------------


def test_refuses_features_without_variation():
    times, values = torch.arange(3.0), torch.tensor([[0.0, 0.1], [1.0, 0.1], [2.0, 0.1]])
    constant = one_series(times, values)
    with pytest.raises(
        ValueError, match=r"every feature of train must vary: feature 1 is 0\.1\d* wherever it is observed"
    ):
        Standardiser.fit(constant)
    mask = torch.ones(3, 2, dtype=torch.bool)
    mask[:, 0] = False
    with pytest.raises(ValueError, match="train must observe every feature: feature 0 is never observed"):
        Standardiser.fit(one_series(times, values, mask))


BAD = [
    ([0.0], [1.0, 1.0], "standard_deviation must have shape (D,) = (1,): got (2,)"),
    (0.0, 1.0, "mean must have shape (D,): got ()"),
    ([0.0, torch.nan], [1.0, 1.0], "mean must be finite: mean[1] = nan"),
    (
        [0.0, 0.0],
        [1.0, 0.0],
        "standard_deviation must be positive and finite: standard_deviation[1] = 0.0",
    ),
    (
        [0.0, 0.0],
        [torch.inf, 1.0],
        "standard_deviation must be positive and finite: standard_deviation[0] = inf",
    ),
]


@pytest.mark.parametrize(("mean", "deviation", "message"), BAD, ids=[case[2] for case in BAD])
def test_refuses_impossible_moments(mean, deviation, message):
    with pytest.raises(ValueError) as error:
        Standardiser(torch.tensor(mean), torch.tensor(deviation))
    assert str(error.value) == message


def test_refuses_another_number_of_features(make_batch):
    standardiser = Standardiser.fit(make_batch(0))
    for function in (standardiser.transform, standardiser.inverse):
        with pytest.raises(ValueError, match="batch must have 3 features: got 2"):
            function(make_batch(0, features=2))
