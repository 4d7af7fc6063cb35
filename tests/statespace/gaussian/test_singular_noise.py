"""The smoother where noise is singular or units lie far apart, against one large Gaussian in 60 digits."""

import math

import mpmath
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.statespace import LinearGaussian, kalman_filter, rts_smoother, stationary_covariance

DOUBLE = torch.float64
WAYS = [pytest.param(False, id="loop"), pytest.param(True, id="scan")]


def numbers(*size, seed):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def model_of(A, C, Q, R, m0, P0, scale=None):
    """A model whose states are measured in units of 1 / scale."""
    scale = torch.ones(len(A), dtype=DOUBLE) if scale is None else scale
    wide = scale.unsqueeze(-1) * scale
    return LinearGaussian(scale.unsqueeze(-1) * A / scale, C / scale, wide * Q, R, scale * m0, wide * P0)


def autoregression(order, seed, noise=0.0):
    """AR(p) in companion form: all but the newest value follow without noise, and readings are exact."""
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.ones(1, dtype=DOUBLE)
    for root in 1.8 * torch.rand(order, generator=generator, dtype=DOUBLE) - 0.9:
        coefficients = torch.cat([coefficients, torch.zeros(1)]) - root * torch.cat(
            [torch.zeros(1), coefficients]
        )
    A = torch.diag(torch.ones(order - 1, dtype=DOUBLE), -1)
    A[0] = -coefficients[1:]
    Q, eye = torch.zeros_like(A), torch.eye(order, dtype=DOUBLE)
    Q[0, 0] = 1.0
    R = torch.full((1, 1), noise, dtype=DOUBLE)
    return model_of(A, eye[:1], Q, R, torch.zeros(order, dtype=DOUBLE), stationary_covariance(A, Q))


def compartments(count, seed, scale=None):
    """A drug that flows down a chain of compartments without noise; the last is read."""
    rates = 0.2 + torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    A = torch.linalg.matrix_exp(torch.diag(rates[:-1], -1) - torch.diag(rates))
    eye = torch.eye(count, dtype=DOUBLE)
    R = 0.04 * torch.ones(1, 1, dtype=DOUBLE)
    return model_of(A, eye[-1:], 0 * eye, R, torch.ones(count, dtype=DOUBLE), eye, scale)


def regression(size, steps, seed, prior=1.0):
    """Coefficients that never move, behind regressors of each step."""
    eye = torch.eye(size, dtype=DOUBLE)
    C, R = numbers(steps, 1, size, seed=seed), 0.1 * torch.ones(1, 1, dtype=DOUBLE)
    return LinearGaussian(eye, C, 0 * eye, R, numbers(size, seed=seed), prior * eye)


def contraction(size, seed, rank=0, scale=None):
    """A random stable state, driven by noise of a low rank, of which two mixtures are read."""
    A = numbers(size, size, seed=seed)
    A = 0.8 * A / torch.linalg.matrix_norm(A, 2)
    root = numbers(size, rank, seed=seed + 1)
    R = 0.5 * torch.eye(2, dtype=DOUBLE)
    eye = torch.eye(size, dtype=DOUBLE)
    return model_of(A, numbers(2, size, seed=seed + 2), root @ root.T, R, 0 * A[0], eye, scale)


def large_gaussian(model, y, mask):
    """Mean, covariance and lag covariance of every state given what was read: one conditional Gaussian."""
    steps, H = len(y), model.state_size
    A, Q, P0 = (
        exact(part) for part in (model.transition, model.transition_covariance, model.initial_covariance)
    )
    blocks = [[None] * steps for _ in range(steps)]
    blocks[0][0] = P0
    for t in range(1, steps):
        for s in range(t):
            blocks[t][s] = A * blocks[t - 1][s]
            blocks[s][t] = blocks[t][s].T
        blocks[t][t] = A * blocks[t - 1][t - 1] * A.T + Q
    prior = mpmath.matrix(steps * H, steps * H)
    mean = mpmath.matrix(steps * H, 1)
    now = exact(model.initial_mean)
    for t in range(steps):
        now = A * now if t else now
        for i in range(H):
            mean[t * H + i] = now[i]
            for s in range(steps):
                for j in range(H):
                    prior[t * H + i, s * H + j] = blocks[t][s][i, j]
    rows = [(t, d) for t in range(steps) for d in range(y.shape[1]) if mask[t, d]]
    C = mpmath.matrix(max(len(rows), 1), steps * H)
    R, noise = mpmath.eye(max(len(rows), 1)), exact(model.observation_covariance)
    innovation = mpmath.matrix(max(len(rows), 1), 1)
    for i, (t, d) in enumerate(rows):
        row = exact(model.observation if model.observation.ndim == 2 else model.observation[t])
        for h in range(H):
            C[i, t * H + h] = row[d, h]
        innovation[i] = mpmath.mpf(y[t, d].item())
        for k, (s, e) in enumerate(rows):
            R[i, k] = noise[d, e] if s == t else 0
    innovation = innovation - C * mean if rows else innovation
    gain = prior * C.T * (C * prior * C.T + R) ** -1
    mean, covariance = mean + gain * innovation, prior - gain * C * prior
    return tensor(mean).reshape(steps, H), tensor(covariance).reshape(steps, H, steps, H).transpose(1, 2)


def exact(part):
    return mpmath.matrix(part.double().tolist())


def tensor(matrix):
    rows = [[float(matrix[i, j]) for j in range(matrix.cols)] for i in range(matrix.rows)]
    return torch.tensor(rows, dtype=DOUBLE)


def largest_error(model, y, mask, parallel, dtype=DOUBLE):
    """Over all moments, relative to smoothed standard deviations, or the prior's of states known exactly."""
    parts = {name: part.to(dtype) for name, part in vars(model).items() if part is not None}
    model = LinearGaussian(**parts)
    filtered = kalman_filter(model, y.to(dtype)[None], mask[None])
    smoothed = rts_smoother(model, filtered, parallel=parallel)
    with mpmath.workdps(60):
        mean, joint = large_gaussian(model, y.to(dtype), mask)
    steps = torch.arange(len(y))
    covariance, lagged = joint[steps, steps], joint[steps[1:], steps[:-1]]
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    prior = model.initial_covariance.double().diagonal()
    deviation = torch.where(variance > 1e-10 * prior, variance, prior).sqrt()
    errors = (
        (smoothed.mean[0].double() - mean) / (deviation + mean.abs()),
        (smoothed.covariance[0].double() - covariance) / deviation.unsqueeze(-1) / deviation.unsqueeze(-2),
        (smoothed.lag_covariance[0, 1:].double() - lagged)
        / deviation[1:].unsqueeze(-1)
        / deviation[:-1].unsqueeze(-2),
    )
    return max(error.abs().max().item() for error in errors)


def readings(model, steps, seed, missing=0.4):
    entries = model.observation_size
    mask = torch.rand(steps, entries, generator=torch.Generator().manual_seed(seed)) > missing
    size = model.observation @ model.initial_covariance @ model.observation.mT + model.observation_covariance
    deviation = size.diagonal(dim1=-2, dim2=-1).sqrt()
    return deviation * numbers(steps, entries, seed=seed + 7), mask


MODELS = {f"AR({order})": autoregression(order, order) for order in range(1, 6)}
MODELS |= {
    "AR(3) read with noise": autoregression(3, 8, noise=0.5),
    "two compartments": compartments(2, 1),
    "four compartments": compartments(4, 2),
    "regression": regression(3, 10, 3),
    "regression, wide": regression(2, 10, 4, prior=1e3),
    "no noise": contraction(3, 5),
    "noise of rank 1": contraction(4, 6, rank=1),
    "two scales": contraction(3, 7, rank=1, scale=torch.tensor([1e9, 1.0, 1e-9], dtype=DOUBLE)),
    "three scales": contraction(3, 8, scale=torch.tensor([1e18, 1.0, 1e-18], dtype=DOUBLE)),
    "compartments in units apart": compartments(3, 9, torch.tensor([1e-12, 1e3, 1e12], dtype=DOUBLE)),
}


@pytest.mark.parametrize("parallel", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_singular_noise_is_smoothed_to_1e_minus_9(name, parallel):
    model = MODELS[name]
    assert largest_error(model, *readings(model, 10, seed=1), parallel) < 1e-9


@pytest.mark.parametrize(
    "name", [name for name in MODELS if not {"scales", "apart", "wide"} & set(name.split())]
)
def test_singular_noise_in_float32(name):
    """Units up to 1e36 apart, squared, are beyond float32."""
    model = MODELS[name]
    assert largest_error(model, *readings(model, 10, seed=1), False, torch.float32) < 1e-4


def test_the_reported_contraction_never_leaves_its_prior():
    """Two states without noise: RTS said 19.7 and 26.6, the prior is 1."""
    A = torch.tensor([[0.6, 0.3], [0.2, 0.5]], dtype=DOUBLE)
    eye = torch.eye(2, dtype=DOUBLE)
    model = LinearGaussian(A, eye[:1], 0 * eye, eye[:1, :1], torch.ones(2, dtype=DOUBLE), eye)
    y = numbers(1, 30, 1, seed=0)
    for mask in (torch.ones(1, 30, 1, dtype=torch.bool), torch.zeros(1, 30, 1, dtype=torch.bool)):
        for parallel in (False, True):
            filtered = kalman_filter(model, y, mask)
            variance = rts_smoother(model, filtered, parallel=parallel).covariance[0, 0].diagonal()
            expected = [0.388, 0.752] if mask.any() else [1.0, 1.0]
            torch.testing.assert_close(variance, torch.tensor(expected, dtype=DOUBLE), rtol=2e-3, atol=0)


@pytest.mark.parametrize("parallel", WAYS)
def test_a_long_series_without_noise_equals_the_flow_of_its_start(parallel):
    """h_t = A^t h_0, whose posterior is one regression: over 400 steps nothing is amplified."""
    model, steps = contraction(3, 11), 400
    mask = torch.rand(1, steps, 2, generator=torch.Generator().manual_seed(1)) > 0.5
    smoothed = rts_smoother(
        model, kalman_filter(model, torch.zeros(1, steps, 2, dtype=DOUBLE), mask), parallel=parallel
    )
    powers = [torch.eye(3, dtype=DOUBLE)]
    for _ in range(1, steps):
        powers.append(model.transition @ powers[-1])
    rows = torch.stack([model.observation @ power for power in powers])[mask[0]]
    start = torch.linalg.inv(torch.eye(3, dtype=DOUBLE) + rows.T @ rows / 0.5)
    expected = torch.stack([power @ start @ power.T for power in powers])
    deviation = expected.diagonal(dim1=-2, dim2=-1).sqrt()
    size = deviation.unsqueeze(-1) * deviation.unsqueeze(-2)
    kept = deviation.amin(-1) > 1e-150
    error = (smoothed.covariance[0] - expected).abs() / size
    assert error[kept].max() < 1e-9


@pytest.mark.parametrize("gap", [0, 3], ids=["complete", "gap"])
def test_a_vague_start_keeps_the_digits_of_the_filter(gap):
    """Level and slope from a variance of 1e8: the difference P − P N P alone has none left, not even one."""
    A = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=DOUBLE)
    eye = torch.eye(2, dtype=DOUBLE)
    model = LinearGaussian(A, eye[:1], torch.diag(A[0]) / 10, eye[:1, :1], 0 * A[0], 1e8 * eye)
    y, mask = readings(model, 10, seed=2, missing=0.0)
    mask[1 : 1 + gap] = False
    assert largest_error(model, 1e-4 * y, mask, False) < 1e-6
    wide = regression(3, 10, 4, prior=1e6)
    y, mask = readings(wide, 10, seed=1)
    assert largest_error(wide, y, mask, False) < 1e-7


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.integers(1, 3),
    rank=st.integers(0, 2),
    seed=st.integers(0, 10**6),
    missing=st.floats(0, 1),
    units=st.lists(st.integers(-18, 18), min_size=3, max_size=3),
    parallel=st.booleans(),
)
def test_random_models_in_random_units(size, rank, seed, missing, units, parallel):
    scale = torch.tensor([10.0**unit for unit in units[:size]], dtype=DOUBLE)
    model = contraction(size, seed, rank=rank, scale=scale)
    assert largest_error(model, *readings(model, 6, seed, missing), parallel) < 1e-9


def test_another_models_result_is_refused():
    model, other = MODELS["no noise"], contraction(3, 6)
    filtered = kalman_filter(model, torch.zeros(1, 4, 2, dtype=DOUBLE))
    again = LinearGaussian(**{name: part for name, part in vars(model).items()})
    assert rts_smoother(again, filtered).mean.isfinite().all()
    with pytest.raises(
        ValueError, match="filtered must be what kalman_filter made of model: got .* transition"
    ):
        rts_smoother(other, filtered)


def test_gradients_with_singular_noise_are_those_of_the_density():
    """∂ log p(y) / ∂ m_0 = P_0⁻¹ (m̄_0 − m_0); and the smoother's own derivative by finite differences."""
    model = compartments(3, 12)
    y, mask = readings(model, 10, seed=3)
    transition = model.transition.clone().requires_grad_()

    def moments(transition):
        moved = LinearGaussian(**{**vars(model), "transition": transition})
        smoothed = rts_smoother(moved, kalman_filter(moved, y[None], mask[None]))
        return smoothed.mean, smoothed.covariance, smoothed.lag_covariance

    assert torch.autograd.gradcheck(moments, (transition,), fast_mode=True)
    start = model.initial_mean.clone().requires_grad_()
    moved = LinearGaussian(**{**vars(model), "initial_mean": start})
    filtered = kalman_filter(moved, y[None], mask[None])
    (score,) = torch.autograd.grad(filtered.log_likelihood.sum(), start)
    change = (rts_smoother(moved, filtered).mean[0, 0] - start).detach()
    torch.testing.assert_close(
        score, torch.linalg.solve(model.initial_covariance, change), rtol=1e-9, atol=1e-9
    )
    assert math.isfinite(score.sum())
