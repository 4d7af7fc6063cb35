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
    shifts = torch.randn(STEPS, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calls = []
    states = averages(shifts, calls)
    weights = 0.5 ** (torch.arange(STEPS)[:, None] - torch.arange(STEPS)).clamp(min=0).double()
    torch.testing.assert_close(states, torch.einsum("ts,sgij->tgij", weights.tril(), shifts))
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
