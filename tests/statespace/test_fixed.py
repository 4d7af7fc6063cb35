"""Entries and fields held fixed in a fit: by gradient and EM alike, against statsmodels; what is refused."""

import math

import numpy as np
import pytest
import torch
from statsmodels.tsa.statespace.mlemodel import MLEModel

from helpers.statespace import HMM, CategoricalEmission, LinearGaussian, fit, simulate

DIAGONAL = ~torch.eye(2, dtype=torch.bool)
DOUBLE = {"dtype": torch.float64}


def tensor(*rows):
    return torch.tensor(rows, **DOUBLE)


def mask(*rows):
    return torch.tensor(rows).bool()


def two_levels(coupling=0.0):
    return LinearGaussian(
        tensor([0.5, coupling], [0.0, 0.4]),
        tensor([1.0, 0.0], [0.5, 1.0], [0.2, -1.0]),
        torch.eye(2, **DOUBLE),
        torch.eye(3, **DOUBLE),
        torch.zeros(2, **DOUBLE),
        torch.eye(2, **DOUBLE),
        observation_intercept=torch.zeros(3, **DOUBLE),
    )


def companion(first=0.5):
    """An autoregression of order 2 seen through noise: its second state has none of its own."""
    return LinearGaussian(
        tensor([first, 0.1], [1.0, 0.0]),
        tensor([1.0, 0.0]),
        torch.diag(tensor(1.0, 0.0)),
        tensor([0.2]),
        torch.zeros(2, **DOUBLE),
        torch.eye(2, **DOUBLE),
    )


def observations(model, series, steps):
    y = simulate(model, steps, series, generator=torch.Generator().manual_seed(1)).observations
    observed = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)) < 0.85
    return {"y": torch.where(observed, y, torch.nan), "mask": observed, "progress": False}


AUTOREGRESSION = {"transition": mask([0, 0], [1, 1]), "transition_covariance": mask([0, 1], [1, 1])}
SHARED = {
    "diagonal noises, one entry of A": (
        two_levels(),
        ("transition", "transition_covariance", "observation_covariance"),
        {"transition": mask([0, 0], [1, 0]), "transition_covariance": DIAGONAL},
    ),
    "a block of R and a value for Q": (
        two_levels(),
        ("transition", "transition_covariance", "observation_covariance"),
        {
            "observation_covariance": mask([0, 0, 1], [0, 0, 1], [1, 1, 1]),
            "transition_covariance": tensor([0.8, 0.1], [0.1, 1.2]),
        },
    ),
    "scattered entries of C and of d beside a full R": (
        two_levels(0.2),
        ("observation", "observation_intercept", "observation_covariance"),
        {"observation": mask([1, 1], [0, 1], [1, 0]), "observation_intercept": mask(0, 1, 0)},
    ),
    "one entry of m_0": (two_levels(), ("initial_mean", "transition"), {"initial_mean": mask(1, 0)}),
    "an autoregression in companion form": (
        companion(),
        ("transition", "transition_covariance"),
        AUTOREGRESSION,
    ),
}


@pytest.mark.parametrize("start, learn, fixed", SHARED.values(), ids=SHARED.keys())
def test_gradient_and_em_find_the_same_and_leave_what_is_fixed(start, learn, fixed):
    data = observations(start, 2, 25)
    by_gradient = fit(start, **data, learn=learn, fixed=fixed)
    by_em = fit(start, **data, learn=learn, fixed=fixed, method="em", iterations=600, tolerance=2e-6)
    assert by_gradient.converged and by_em.converged
    assert by_gradient.log_likelihood - by_gradient.log_likelihoods[0] > 0.1
    assert abs(by_gradient.log_likelihood - by_em.log_likelihood) < 2e-3
    for name in (*learn, *fixed):
        found = [getattr(fitted.model, name) for fitted in (by_gradient, by_em)]
        torch.testing.assert_close(*found, rtol=0, atol=0.1)
        held = fixed.get(name)
        for field in found if held is not None else ():
            before = getattr(start, name) if held.dtype == torch.bool else held
            where = held if held.dtype == torch.bool else torch.ones_like(held, dtype=torch.bool)
            assert torch.equal(field[where], before[where])


class Companion(MLEModel):
    """The same autoregression in statsmodels, its first coefficient fixed by `fix_params`."""

    def __init__(self, y):
        super().__init__(y, k_states=2, k_posdef=1)
        self.ssm.initialize_known([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
        self["design"], self["selection"] = [[1.0, 0.0]], [[1.0], [0.0]]
        self["transition"] = [[0.0, 0.0], [1.0, 0.0]]

    param_names = ("first", "second", "log_q", "log_r")
    start_params = (0.5, 0.1, 0.0, -1.6)

    def update(self, params, **kwargs):
        params = super().update(params, **kwargs)
        self["transition", 0, 0], self["transition", 0, 1] = params[:2]
        self["state_cov"], self["obs_cov"] = (
            [[np.exp(params[2])]],
            [[np.exp(params[3])]],
        )


@pytest.mark.parametrize("method", ["gradient", "em"])
def test_a_fixed_coefficient_against_statsmodels(method):
    y = simulate(companion(0.9), 60, 1, generator=torch.Generator().manual_seed(3)).observations
    peer = Companion(y[0].numpy())
    with peer.fix_params({"first": 0.5, "log_r": math.log(0.2)}):
        truth = peer.fit(disp=False, maxiter=500)
    start, held = companion(), mask([1, 0], [1, 1])
    fixed = {**AUTOREGRESSION, "transition": held, "observation_covariance": start.observation_covariance}
    ours = fit(start, y, fixed=fixed, method=method, iterations=600, tolerance=1e-6, progress=False)
    assert abs(ours.log_likelihood - truth.llf) < 1e-3
    assert ours.model.transition[0, 0] == 0.5
    assert abs(ours.model.transition[0, 1].item() - truth.params[1]) < 1e-2


def test_the_gradient_learns_what_has_no_closed_form():
    """A correlation with its variances fixed, and noises of which only neighbours correlate."""
    start, learn = two_levels(), ("transition_covariance", "observation_covariance")
    fixed = {
        "transition_covariance": mask([1, 0], [0, 1]),
        "observation_covariance": mask([0, 0, 1], [0, 0, 0], [1, 0, 0]),
    }
    data = observations(start, 4, 60)
    fitted = fit(start, **data, learn=learn, fixed=fixed)
    Q, R = fitted.model.transition_covariance, fitted.model.observation_covariance
    assert Q[0, 0] == Q[1, 1] == 1 and abs(Q[0, 1]) > 1e-3 and R[0, 2] == R[2, 0] == 0 and abs(R[0, 1]) > 1e-3
    assert fitted.converged and fitted.log_likelihood > fitted.log_likelihoods[0] + 0.1
    for name in learn:
        with pytest.raises(ValueError, match=f"EM learns {name} in whole blocks only"):
            fit(start, **data, learn=(name,), fixed={name: fixed[name]}, method="em")


@pytest.mark.parametrize(
    "fixed, message",
    [
        ({"Q": DIAGONAL}, "fixed must name fields among transition, .*: got 'Q'"),
        ({"input": DIAGONAL}, "fixed names input, and the model has none"),
        (
            {"observation": mask([1, 1], [0, 1], [1, 0])},
            "fixed has a mask for observation, which must then be",
        ),
        (
            {"transition": mask([1, 0])},
            r"fixed\['transition'\] must have the shape \(2, 2\) of .*: got \(1, 2\)",
        ),
        (
            {"transition": [[True]]},
            r"fixed\['transition'\] must be a bool mask or a floating-point .*: got list",
        ),
        ({"transition": torch.eye(2)}, r"fixed\['transition'\] must have the dtype of transition"),
        (
            {"transition_covariance": mask([0, 1], [0, 0])},
            r"must be symmetric: got True at \[0, 1\] and False",
        ),
        ([("transition", DIAGONAL)], "fixed must be a dict of masks or values by field: got list"),
        (
            {"transition_covariance": -torch.eye(2, **DOUBLE)},
            "transition_covariance must be positive semi-def",
        ),
    ],
    ids=["name", "absent", "not learned", "shape", "list", "dtype", "asymmetric", "no dict", "no covariance"],
)
def test_what_cannot_be_held_is_refused(fixed, message):
    with pytest.raises(ValueError, match=message):
        fit(two_levels(), torch.zeros(1, 4, 3, **DOUBLE), fixed=fixed, progress=False)


def test_nothing_left_and_variances_of_zero_are_refused():
    start, y = companion(), torch.zeros(1, 4, 1, **DOUBLE)
    everything = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="fixed must leave an entry to be learned: got all of transition"):
        fit(start, y, learn=("transition",), fixed={"transition": everything}, progress=False)
    with pytest.raises(ValueError, match=r"must hold \[0, 1\] where the variance \[1, 1\] is held at 0"):
        fit(start, y, fixed={"transition_covariance": mask([0, 0], [0, 1])}, progress=False)
    with pytest.raises(
        ValueError, match="EM cannot move row 1 of transition, where transition_covariance is"
    ):
        held = {"transition_covariance": start.transition_covariance}
        fit(start, y, fixed=held, method="em", progress=False)


def test_a_fixed_transition_of_an_hmm_reaches_baum_welch():
    start = HMM(
        tensor(0.5, 0.5), tensor([0.8, 0.2], [0.3, 0.7]), CategoricalEmission(tensor([0.7, 0.3], [0.2, 0.8]))
    )
    y = torch.randint(2, (3, 40), generator=torch.Generator().manual_seed(0))
    fitted = fit(start, y, fixed={"transition": mask([1, 1], [0, 0])}, iterations=5, progress=False)
    assert torch.equal(fitted.model.transition[0], start.transition[0])
    assert not torch.equal(fitted.model.transition[1], start.transition[1])
