"""Recursions that forget: fewer calls than steps, and the moments that step by step gives."""

import pytest
import torch
from statespace_models import random_covariance, random_model

from helpers.statespace import LinearGaussian, kalman_filter, predict, rts_smoother, update
from helpers.statespace.gaussian.recursion import recurse

STEPS = 200


def random_mask(series=2, entries=2):
    return torch.rand(series, STEPS, entries, generator=torch.Generator().manual_seed(2)) > 0.4


def averages(shifts, calls):
    """Steps x ↦ x / 2 + shift, which count themselves."""

    def steps(shifts):
        def advance(step, before):
            calls.append(step)
            return (before[0] / 2 + shifts[step],)

        return advance

    return recurse((shifts[0],), steps, (shifts,), torch.ones(len(shifts) - 1, dtype=torch.bool), False)[0]


def test_a_recursion_that_forgets_takes_fewer_calls_than_steps():
    shifts = torch.randn(STEPS, 1, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calls = []
    states = averages(shifts, calls)
    weights = 0.5 ** (torch.arange(STEPS)[:, None] - torch.arange(STEPS)).clamp(min=0).double()
    torch.testing.assert_close(states, torch.einsum("ts,sijg->tijg", weights.tril(), shifts))
    assert len(calls) < STEPS


@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_blocks_of_time_equal_predict_and_update_step_by_step(per):
    model, mask = random_model(per, series=2, steps=STEPS), random_mask()
    filtered = kalman_filter(model, torch.zeros(mask.shape, dtype=torch.float64), mask)
    A, C, Q, R = (
        matrix.expand(2, STEPS, *matrix.shape[-2:])
        for matrix in (
            model.transition,
            model.observation,
            model.transition_covariance,
            model.observation_covariance,
        )
    )
    mean = torch.zeros(3, dtype=torch.float64)
    for series in range(2):
        covariance = model.initial_covariance.expand(2, 3, 3)[series]
        for step in range(STEPS):
            if step > 0:
                _, covariance = predict(mean, covariance, A[series, step], Q[series, step], mean)
            seen = mask[series, step]
            rows, noise = C[series, step][seen], R[series, step][seen][:, seen]
            _, covariance, *_ = update(mean, covariance, torch.zeros(len(rows)).double(), rows, noise)
            torch.testing.assert_close(filtered.covariance[series, step], covariance, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_what_never_moves_is_never_forgotten(dtype):
    """Of a constant state the precisions of all observations so far add up, and the smoother adds no more."""
    eye, mask = torch.eye(3, dtype=dtype), random_mask()
    C = torch.randn(2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    R = torch.diag(random_covariance(2, torch.Generator().manual_seed(4)).diagonal()).to(dtype)
    model = LinearGaussian(eye, C, torch.zeros_like(eye), R, torch.zeros_like(eye[0]), 10 * eye)
    filtered = kalman_filter(model, torch.zeros(mask.shape, dtype=dtype), mask)
    rows = C.double() / R.diagonal().double().sqrt().unsqueeze(-1)
    information = torch.einsum("btd,dh,dk->bthk", mask.double(), rows, rows).cumsum(1)
    covariance = torch.linalg.inv(information + eye.double() / 10)
    bound = {"rtol": 1e-3, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(filtered.covariance.double(), covariance, **bound)
    smoothed = rts_smoother(model, filtered).covariance.double()
    torch.testing.assert_close(smoothed, covariance[:, -1:].expand_as(smoothed), **bound)


UNITS = {"1 and 1e-12": (1.0, 1e-12), "1e9 and 1e-9": (1e9, 1e-9), "1e18, 1 and 1e-18": (1e18, 1.0, 1e-18)}


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("units", UNITS)
def test_a_slow_state_in_small_units_does_not_stand_still_beside_a_large_one(units, missing):
    """Independent states: beside the others each has the variances that it has alone, to 1e-12."""
    scale = torch.tensor(UNITS[units], dtype=torch.float64)
    memory = torch.linspace(0.5, 0.999, len(scale), dtype=torch.float64)
    steps, eye = 300, torch.eye(len(scale), dtype=torch.float64)
    mask = torch.ones(1, steps, len(scale), dtype=torch.bool)
    mask[:, 100:] &= not missing or random_mask(1, 1)

    def covariance(A, scale):
        wide, eye = torch.diag(scale.square()), torch.eye(len(A), dtype=A.dtype)
        model = LinearGaussian(A, eye, 1e-4 * wide, wide, 0 * scale, 5 * wide)
        y = torch.zeros(1, steps, len(A), dtype=A.dtype)
        return kalman_filter(model, y, mask[..., : len(A)]).covariance[0].diagonal(dim1=-2, dim2=-1)

    together = covariance(memory * eye, scale) / scale.square()
    for i in range(len(scale)):
        one = torch.ones(1, dtype=torch.float64)
        alone = covariance(memory[i].reshape(1, 1), one)[:, 0]
        torch.testing.assert_close(together[:, i], alone, rtol=1e-12, atol=0)


def test_cells_per_litre_beside_ph():
    """Reported: the variance of pH stopped at 1.8e-4 and is 4.7e-5, by its own Riccati equation."""
    eye = torch.eye(2, dtype=torch.float64)
    A, Q, R, P = (
        torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        for diagonal in ((0.5, 0.999), (4e18, 1e-6), (1e17, 2.5e-3), (5e18, 5e-4))
    )
    model = LinearGaussian(A, eye, Q, R, 0 * A[0], P)
    found = kalman_filter(model, torch.zeros(1, 300, 2, dtype=torch.float64)).covariance[0, -1, 1, 1].item()
    variance = 5e-4
    for step in range(300):
        predicted = 0.999**2 * variance + 1e-6 if step else variance
        variance = predicted * 2.5e-3 / (predicted + 2.5e-3)
    assert found == pytest.approx(variance, rel=1e-12)
