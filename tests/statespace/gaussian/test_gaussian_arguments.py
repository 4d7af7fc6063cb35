"""What linear-Gaussian functions refuse by name, and what they must not answer with rounding."""

import math

import numpy as np
import pytest
import torch

from helpers.statespace import (
    LinearGaussian,
    LinearRNN,
    covariance_from_unconstrained,
    discretise,
    fit,
    impulse_response,
    kalman_filter,
    log_likelihood,
    maximise_likelihood,
    predict,
    rts_smoother,
    simulate,
    spectral_radius,
    stationary_covariance,
    steady_state_covariance,
    update,
    varma_to_state_space,
)
from helpers.statespace.matrices import check_covariance

WAYS = {"halves": {}, "scan": {"parallel": True}, "plain": {"plain": True}}


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


EYE = torch.eye(2, dtype=torch.float64)
ONE = torch.ones(1, 1, dtype=torch.float64)


def level(**changes):
    """A random walk, read with noise."""
    parts = {
        "transition": ONE,
        "observation": ONE,
        "transition_covariance": ONE,
        "observation_covariance": ONE,
        "initial_mean": ONE[0],
        "initial_covariance": ONE,
    }
    return LinearGaussian(**{**parts, **changes})


# A covariance, in any units.


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1e12, 0.0], [0.0, -1e-3]], "positive semi-definite: its smallest eigenvalue is -0.001"),
        ([[1e12, 2e5], [2e5, 1e-2]], "positive semi-definite: its smallest eigenvalue is -0.03"),
        (
            [[1e30, 9e24, 9e14], [9e24, 1e20, -9e9], [9e14, -9e9, 1.0]],
            "positive semi-definite: (its|the) smallest eigenvalue",
        ),
        ([[1.0, 1e-7], [1e-7, 0.0]], "positive semi-definite"),
        ([[1e12, 1e-2], [2e-2, 1e-12]], "must be symmetric: it differs from its transpose by 0.01"),
    ],
    ids=[
        "negative beside large",
        "correlation of 2",
        "lost beside large",
        "beside no variance",
        "asymmetric",
    ],
)
def test_each_entry_of_a_covariance_is_judged_on_its_own_scale(covariance, message):
    with pytest.raises(ValueError, match=f"Q must be .*{message}|Q {message}"):
        check_covariance("Q", double(covariance))


@pytest.mark.parametrize("unit", [1e-150, 1e-9, 1.0, 1e150])
def test_a_covariance_is_one_in_any_units(unit):
    units = double([[unit], [1.0]])
    for correlation in (0.0, 0.9, 1.0):
        check_covariance("Q", units * double([[1.0, correlation], [correlation, 1.0]]) * units.mT)
    check_covariance("Q", units * double([[0.0, 0.0], [0.0, 1.0]]) * units.mT)


# What is refused, and how.


def a_step(**changes):
    mean, covariance = predict(
        **{"mean": EYE[0], "covariance": EYE, "A": EYE, "Q": EYE, **_only(changes, "predict")}
    )
    return update(mean, covariance, **{"y": ONE[0], "C": EYE[:1], "R": ONE, **_only(changes, "update")})


def _only(changes, which):
    names = {"predict": ("mean", "covariance", "A", "Q", "input_effect"), "update": ("y", "C", "R")}[which]
    return {name: value for name, value in changes.items() if name in names}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": [1.0, 2.0]}, r"mean must .*got list; torch.as_tensor\(mean\)"),
        ({"A": np.eye(2)}, r"A must .*got ndarray; torch.as_tensor\(A\)"),
        ({"A": EYE.float()}, "A must have the dtype of mean: got torch.float32 and torch.float64"),
        ({"mean": EYE[0].half()}, "mean must be float32 or float64: got torch.float16"),
        ({"A": EYE[0]}, r"A must have shape \(…, H, H \) = \(…, 2, 2\)"),
        ({"A": EYE * torch.inf}, r"A must be finite: A\[0, 0\] = inf"),
        ({"A": 1e200 * EYE}, r"the covariance that A makes .* must fit into torch.float64"),
        ({"covariance": -EYE}, "covariance must be positive semi-definite: its smallest eigenvalue is -1"),
        ({"Q": double([[1.0, 1.0], [0.0, 1.0]])}, "Q must be symmetric"),
        ({"input_effect": "none"}, "input_effect must be a finite number"),
        ({"C": None}, "C must be a tensor: got NoneType"),
        ({"y": ONE[0, :0]}, r"y must have shape \(…, D\) = \(…, 1\)"),
        ({"R": -ONE}, "R must be positive semi-definite"),
        ({"Q": EYE.repeat(2, 1, 1), "A": EYE.repeat(3, 1, 1)}, "Q must broadcast with mean"),
        ({"Q": 0 * EYE, "covariance": 0 * EYE, "R": 0 * ONE}, "innovation covariance .* positive definite"),
        (
            {"covariance": 1e18 * double([[0.36, 0.24], [0.24, 0.16]]), "Q": EYE, "C": EYE[:1] + EYE[1:]},
            "covariance must not be so far above R that torch.float64 keeps less than a quarter",
        ),
    ],
    ids=[
        "a list",
        "an array",
        "another dtype",
        "half precision",
        "a vector for a matrix",
        "infinite",
        "overflow",
        "negative P",
        "asymmetric Q",
        "a word",
        "nothing",
        "no reading",
        "negative R",
        "stacks apart",
        "no noise at all",
        "digits lost",
    ],
)
def test_a_step_refuses_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        a_step(**changes)
    a_step()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectral_radius(double([[math.nan]])), r"A must be finite: A\[0, 0\] = nan"),
        (lambda: spectral_radius([[1.0]]), "A must be a floating-point tensor: got list"),
        (lambda: spectral_radius(ONE[:0, :0]), "A must have at least 1 row"),
        (lambda: stationary_covariance(double([[math.nan]]), ONE), "A must be finite"),
        (lambda: stationary_covariance(0.5 * ONE, -ONE), "Q must be positive semi-definite"),
        (lambda: stationary_covariance(0.5 * ONE, EYE), r"Q must have shape \(…, H, H \) = \(…, 1, 1\)"),
        (lambda: stationary_covariance(double([[0.9, 1e300], [0, 0.9]]), EYE), "A and Q must give"),
        (lambda: steady_state_covariance(double([[math.nan]]), ONE, ONE, ONE), "A must be finite"),
        (lambda: steady_state_covariance(ONE, ONE, ONE, np.ones((1, 1))), "R must be a tensor: got ndarray"),
        (lambda: steady_state_covariance(ONE[None], ONE, ONE, ONE), "A must be one matrix, with two axes"),
        (
            lambda: steady_state_covariance(EYE, double([[1.0, 1.0], [2.0, 2.0]]), EYE, 1e-14 * EYE),
            "innovation covariance .* by more than rounding: its sensors read the same",
        ),
        (lambda: discretise(ONE, ONE, ONE, double([0.0, 1e4])), "F, L and deltas must give .* step 1"),
        (lambda: discretise(ONE, ONE, ONE, double([])), "deltas must have shape .* at least one gap"),
        (lambda: impulse_response(1e200 * ONE, ONE, 3), r"response to A and B must fit into torch.float64"),
        (lambda: impulse_response(ONE, ONE.int(), 3), "B must have the dtype of A"),
        (lambda: covariance_from_unconstrained(double([500.0])), "unconstrained must give variances that"),
        (lambda: covariance_from_unconstrained(double([-500.0])), "unconstrained must give variances that"),
        (lambda: covariance_from_unconstrained([0.0]), "unconstrained must be a floating-point tensor"),
        (lambda: varma_to_state_space(None, ONE[None], ONE), "autoregressive must be a tensor: got NoneType"),
        (
            lambda: varma_to_state_space(ONE[None].float(), ONE[None], ONE),
            "autoregressive must have the dtyp",
        ),
        (lambda: simulate(level(), 2.0, generator=torch.Generator()), "steps must be a whole number"),
        (lambda: simulate(level(), 2, generator=None), "generator must be a torch.Generator: got NoneType"),
        (
            lambda: simulate(level(transition=1e200 * ONE), 4, generator=torch.Generator().manual_seed(1)),
            r"what transition leads to must fit into torch.float64: .*\[0, 2, 0\] = inf",
        ),
        (lambda: kalman_filter(None, ONE[None]), "model must be a LinearGaussian: got NoneType"),
        (lambda: fit(level(), ONE[None], learn="transition"), "learn must be a collection of names"),
        (
            lambda: fit(level(), ONE.repeat(1, 3, 1), tolerance=[1], progress=False),
            r"tolerance must be a number: got \[1\]",
        ),
        (lambda: maximise_likelihood(level, ONE, ONE[None]), "start must be a dict of tensors by name"),
        (lambda: maximise_likelihood(3, {"q": ONE}, ONE[None]), "build must be a function"),
        (lambda: LinearRNN(EYE, EYE, EYE, EYE), r"h0 must have shape \(H,\) = \(2,\)"),
        (lambda: LinearRNN(EYE, EYE.float(), EYE, EYE[0]), "W_xh must have the dtype of W_hh"),
        (lambda: LinearRNN(EYE, EYE, EYE, EYE[0])([[1.0]]), "x must be a tensor: got list"),
    ],
    ids=lambda part: part if isinstance(part, str) else "a call",
)
def test_every_function_refuses_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# What rounding must not answer.


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("variance", [0.3, 0.7, 5.0])
def test_a_second_reading_of_a_state_that_is_known_exactly_is_refused(way, variance):
    """Whether 1 - K C comes out as 0 or as 1e-16 is luck."""
    known = {"transition_covariance": 0 * ONE, "observation_covariance": 0 * ONE}
    model = level(initial_covariance=variance * ONE, observation=0.7 * ONE, **known)
    y, mask = torch.zeros(1, 5, 1).double(), torch.tensor([True, False, False, True, False])[None, :, None]
    if way == {"parallel": True}:
        pytest.skip("the scan refuses a model whose C Q C' + R is singular at once")
    with pytest.raises(ValueError, match=r"innovation covariance .* series 0 at step 3"):
        kalman_filter(model, y, mask, **way)
    kalman_filter(model, y, mask & (torch.arange(5) < 3)[:, None], **way)


def test_the_plain_loop_names_the_step():
    R = ONE.repeat(1, 4, 1, 1).clone()
    R[0, 2] = 0.0
    model = level(transition_covariance=0 * ONE, initial_covariance=0 * ONE, observation_covariance=R)
    with pytest.raises(ValueError, match="positive definite: series 0 at step 2 has smallest eigenvalue 0"):
        kalman_filter(model, torch.zeros(1, 4, 1).double(), plain=True)


def test_a_vague_start_beside_small_noises_is_warned_of_and_a_flat_one_is_not():
    parts = {"transition": double([[1.0, 1.0], [0.0, 1.0]]), "observation": EYE[:1]}
    parts |= {"transition_covariance": 1e-3 * EYE, "initial_mean": 0 * EYE[0]}
    y = torch.zeros(1, 5, 1).double()
    with pytest.warns(UserWarning, match=r"initial_covariance\[0, 0\] = 1e\+13 is so far above the noises"):
        kalman_filter(level(**parts, initial_covariance=1e13 * EYE), y)
    kalman_filter(level(**parts, initial_covariance=1e9 * EYE), y)
    kalman_filter(level(**parts, initial_covariance=EYE, diffuse=torch.tensor([True, True])), y)


@pytest.mark.parametrize("ratio", [1.0, 1e9, 1e18])
def test_a_stationary_covariance_is_right_for_each_component(ratio):
    """Slow and small beside fast and large: the sum must not end with the large one."""
    A, Q = torch.diag(double([0.3, 0.9999])), torch.diag(double([ratio, 1.0 / ratio]))
    expected = Q.diagonal() / (1 - A.diagonal().square())
    torch.testing.assert_close(stationary_covariance(A, Q).diagonal(), expected, rtol=1e-11, atol=0.0)


@pytest.mark.parametrize("strength", [1e18, 1e27, 1e36])
def test_a_steady_state_stands_still_where_noise_is_far_above_the_sensors(strength):
    A, C, Q = double([[0.1, -1.1], [0.2, 0.9]]), double([[-0.5, 0.7]]), torch.diag(double([strength, 1e-9]))
    P = steady_state_covariance(A, C, Q, ONE)
    gain = P @ C.mT / (C @ P @ C.mT + ONE)
    kept = EYE - gain @ C
    again = A @ (kept @ P @ kept.mT + gain @ gain.mT) @ A.mT + Q
    scale = P.diagonal().sqrt()
    assert ((again - P).abs() / torch.outer(scale, scale)).max() < 1e-13


def test_strong_noise_leaves_the_digits_of_the_transition():
    F, L, gaps = double([[-1.0, 0.5], [0.0, -2.0]]), EYE, double([0.0, 0.3])
    A, Q, _ = discretise(F, L, EYE, gaps)
    louder = discretise(F, L, 1e200 * EYE, gaps)
    torch.testing.assert_close(louder[0], A, rtol=1e-14, atol=0.0)
    torch.testing.assert_close(louder[1], 1e200 * Q, rtol=1e-14, atol=0.0)


# A flat prior.


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-3)], ids=["double", "single"]
)
def test_a_flat_prior_has_no_mean(way, dtype, rounding):
    """The mean that is given, 1e9 standard deviations off, is where the state stays until data are seen."""
    y = torch.randn(2, 12, 1, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.ones(2, 12, 1, dtype=torch.bool)
    mask[1, :3] = False
    A, C = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=dtype), torch.tensor([[1.0, 0.0]], dtype=dtype)
    eye = torch.eye(2, dtype=dtype)

    def result(far):
        mean, flat = torch.tensor([far, -far], dtype=dtype), torch.tensor([True, True])
        model = LinearGaussian(A, C, 0.1 * eye, eye[:1, :1], mean, eye, diffuse=flat)
        filtered = kalman_filter(model, y, mask, **way)
        smoothed = rts_smoother(model, filtered, parallel="parallel" in way)
        assert torch.equal(filtered.predicted_mean[0, 0], mean)
        return filtered.log_likelihood, filtered.mean[:, 5:], smoothed.mean, log_likelihood(model, y, mask)

    for near, far in zip(result(0.0), result(1e9), strict=True):
        torch.testing.assert_close(far, near, rtol=rounding, atol=rounding)


def test_em_forgets_the_mean_of_a_flat_prior():
    y = torch.randn(1, 20, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def climb(mean):
        model = level(initial_mean=double([mean]), diffuse=torch.tensor([True]))
        return fit(model, y, method="em", iterations=3, progress=False).log_likelihoods

    assert climb(1e9) == pytest.approx(climb(0.0), rel=1e-9)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_a_flat_prior_knows_no_units_of_sensors(unit):
    """A coarse sensor beside a fine one: another unit of the coarse one only shifts the log-likelihood."""
    units = double([unit, 1.0])
    C, R = double([[0.1, 2.2], [-0.8, -0.4]]), torch.diag(double([1.0, 1e-6]))
    y = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    A, flat = double([[0.9, 0.1], [0.2, -0.7]]), torch.tensor([True, True])

    def filtered(scale):
        noise = scale[:, None] * R * scale
        model = LinearGaussian(A, scale[:, None] * C, 0 * EYE, noise, EYE[0], EYE, diffuse=flat)
        return kalman_filter(model, scale * y)

    one, other = filtered(torch.ones_like(units)), filtered(units)
    torch.testing.assert_close(other.mean, one.mean, rtol=1e-7, atol=1e-9)
    shifted = one.log_likelihood - y.shape[1] * math.log(unit)
    torch.testing.assert_close(other.log_likelihood, shifted, rtol=1e-9, atol=0.0)
