"""kalman_filter against dense conditioning, statsmodels, gradcheck and misuse."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from statespace_models import dense_moments, moving_model, random_model, statsmodels_results

from helpers.statespace import LinearGaussian, kalman_filter, predict, rts_smoother, update

MOMENTS = (
    "mean",
    "covariance",
    "predicted_mean",
    "predicted_covariance",
    "innovation",
    "step_log_likelihood",
)


def observations(series, steps, size, missing=0.3, seed=5):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(series, steps, size, generator=generator, dtype=torch.float64).cumsum(1)
    return y, torch.rand(series, steps, size, generator=generator) > missing


@pytest.mark.parametrize("parallel", [False, True], ids=["loop", "scan"])
@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_log_likelihood_is_the_density_of_all_observed_entries(per, parallel):
    y, mask = observations(3, 6, 2)
    model = random_model(per, series=3, steps=6, inputs=1)
    inputs = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(3, 6, 1)
    filtered = kalman_filter(model, y, mask, inputs=inputs, parallel=parallel)
    for series in range(3):
        _, _, mean, covariance = dense_moments(model, series, 6, inputs)
        seen = mask[series].flatten()
        joint = torch.distributions.MultivariateNormal(mean[seen], covariance[seen][:, seen])
        expected = joint.log_prob(y[series].flatten()[seen])
        torch.testing.assert_close(filtered.log_likelihood[series], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_filtered_moments_are_those_of_dense_conditioning(per):
    y, mask = observations(3, 6, 2)
    model = random_model(per, series=3, steps=6)
    filtered = kalman_filter(model, y, mask)
    for series in range(3):
        mean_h, cross, mean_y, covariance_y = dense_moments(model, series, 6)
        covariance_h, size = cross["hh"], model.state_size
        for step in range(6):
            seen = mask[series].clone()
            seen[step + 1 :] = False
            seen = seen.flatten()
            gain = torch.linalg.solve(covariance_y[seen][:, seen], cross["hy"][:, seen].T).T
            mean = mean_h + gain @ (y[series].flatten() - mean_y)[seen]
            covariance = covariance_h - gain @ cross["hy"][:, seen].T
            here = slice(step * size, (step + 1) * size)
            torch.testing.assert_close(filtered.mean[series, step], mean[here], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(
                filtered.covariance[series, step], covariance[here, here], rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize("parallel", [False, True], ids=["loop", "scan"])
@pytest.mark.parametrize("per", ["constant", "step"])
def test_equals_statsmodels(per, parallel):
    y, mask = observations(1, 80, 3)
    model = random_model(per, series=1, steps=80, states=4, entries=3)
    filtered = kalman_filter(model, y, mask, parallel=parallel)
    expected = statsmodels_results(model, y[0], mask[0])
    for found, theirs in (
        (filtered.step_log_likelihood, expected.llf_obs),
        (filtered.mean, expected.filtered_state.T),
        (filtered.predicted_mean, expected.predicted_state.T[:-1]),
        (filtered.covariance, expected.filtered_state_cov.transpose(2, 0, 1)),
        (filtered.predicted_covariance, expected.predicted_state_cov.transpose(2, 0, 1)[:-1]),
    ):
        np.testing.assert_allclose(found[0].numpy(), theirs, rtol=1e-8, atol=1e-8)


def test_an_unstable_model_equals_statsmodels_across_long_gaps():
    model = replace(
        random_model("constant"), transition=torch.tensor([[1.05, 1, 0], [0, 1, 0.1], [0, 0, 0.9]]).double()
    )
    y, mask = observations(1, 400, 2)
    mask[:, 50:150] = False
    mask[:, 300:] = False
    filtered, expected = kalman_filter(model, y, mask), statsmodels_results(model, y[0], mask[0])
    np.testing.assert_allclose(filtered.step_log_likelihood[0], expected.llf_obs, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(filtered.mean[0], expected.filtered_state.T, rtol=1e-8, atol=1e-8)


def test_the_filter_is_predict_and_update_step_by_step():
    model = random_model("constant")
    y, _ = observations(2, 30, 2)
    filtered = kalman_filter(model, y)
    mean, covariance = model.initial_mean.expand(2, -1), model.initial_covariance.expand(2, -1, -1)
    for step in range(30):
        if step > 0:
            mean, covariance = predict(
                mean, covariance, model.transition, model.transition_covariance, torch.zeros_like(mean)
            )
        mean, covariance, innovation, innovation_covariance = update(
            mean, covariance, y[:, step], model.observation, model.observation_covariance
        )
        torch.testing.assert_close(filtered.mean[:, step], mean, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(filtered.covariance[:, step], covariance, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(filtered.innovation[:, step], innovation, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(
            filtered.innovation_covariance[:, step], innovation_covariance, rtol=1e-11, atol=1e-11
        )


FILTERED = (*MOMENTS, "innovation_covariance")
SMOOTHED = ("mean", "covariance", "lag_covariance")


def shared_patterns(mask):
    """Six series of which two and three miss the same entries."""
    return mask[[0, 1, 0, 2, 2, 2]]


@pytest.mark.parametrize("parallel", [False, True], ids=["shared", "scan"])
@pytest.mark.parametrize("patterns", ["complete", "each its own", "shared"])
@pytest.mark.parametrize(
    "per, states",
    [("constant", 3), ("constant", 9), ("step", 3), ("series", 3)],
    ids=["fused", "too large to fuse", "per step", "per series"],
)
@pytest.mark.parametrize("diffuse", [False, True], ids=["proper", "diffuse"])
def test_every_path_equals_the_plain_loop(per, states, patterns, parallel, diffuse):
    """Covariances shared, at rest, in blocks of time, fused or scanned; the states' transition forgets."""
    y, mask = observations(6, 150, 2)
    mask = {"complete": mask | True, "each its own": mask, "shared": shared_patterns(mask)}[patterns]
    flat = {"diffuse": torch.arange(states) < 2} if diffuse else {}
    model = random_model(per, series=6, steps=150, states=states, inputs=1, **flat)
    inputs = torch.linspace(-1, 1, 900, dtype=torch.float64).reshape(6, 150, 1)
    plain = kalman_filter(model, y, mask, inputs=inputs, plain=True)
    fast = kalman_filter(model, y, mask, inputs=inputs, parallel=parallel)
    for name in FILTERED:
        torch.testing.assert_close(getattr(fast, name), getattr(plain, name), rtol=1e-9, atol=1e-9)
    smoothed, expected = rts_smoother(model, fast), rts_smoother(model, plain)
    for name in SMOOTHED:
        torch.testing.assert_close(getattr(smoothed, name), getattr(expected, name), rtol=1e-9, atol=1e-9)


def test_the_plain_loop_has_the_same_gradient():
    model, (y, mask) = random_model("constant"), observations(2, 20, 2)
    parameters = model.transition, model.observation, model.initial_mean
    for parameter in parameters:
        parameter.requires_grad_()
    gradients = (
        torch.autograd.grad(kalman_filter(model, y, mask, plain=plain).log_likelihood.sum(), parameters)
        for plain in (False, True)
    )
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


def test_the_steady_state_solves_the_riccati_equation():
    from scipy.linalg import solve_discrete_are

    model = random_model("constant")
    y, _ = observations(2, 300, 2)
    arguments = (
        model.transition.T,
        model.observation.T,
        model.transition_covariance,
        model.observation_covariance,
    )
    expected = solve_discrete_are(*(matrix.numpy() for matrix in arguments))
    found = kalman_filter(model, y).predicted_covariance[:, -1]
    torch.testing.assert_close(found, torch.as_tensor(expected).expand(2, -1, -1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("per", ["constant", "step", "series"])
def test_gradients(per):
    y, mask = observations(2, 5, 2)
    model = random_model(per, series=2, steps=5, inputs=1)
    inputs = torch.ones(2, 5, 1, dtype=torch.float64)
    names = ("transition", "observation", "initial_mean", "input")
    parts = [getattr(model, name).clone().requires_grad_() for name in names]
    roots = [
        torch.linalg.cholesky(getattr(model, f"{name}_covariance")).requires_grad_() for name in COVARIANCES
    ]

    def moments(*arguments):
        given, factors, (values, drive) = arguments[:4], arguments[4:7], arguments[7:]
        covariances = {f"{n}_covariance": f @ f.mT for n, f in zip(COVARIANCES, factors, strict=True)}
        rebuilt = replace(model, **dict(zip(names, given, strict=True)), **covariances)
        filtered = kalman_filter(rebuilt, values, mask, inputs=drive)
        return tuple(getattr(filtered, name) for name in MOMENTS)

    assert torch.autograd.gradcheck(
        moments, (*parts, *roots, y.requires_grad_(), inputs.requires_grad_()), fast_mode=True
    )


COVARIANCES = ("transition", "observation", "initial")


def test_what_stands_at_a_missing_entry_is_never_read():
    y, mask = observations(3, 20, 2)
    model = random_model("constant")
    spoilt = torch.where(mask, y, torch.nan).requires_grad_()
    filtered = kalman_filter(model, spoilt, mask)
    for name in MOMENTS:
        assert torch.equal(getattr(filtered, name), getattr(kalman_filter(model, y, mask), name))
    (gradient,) = torch.autograd.grad(filtered.log_likelihood.sum(), spoilt)
    assert gradient.isfinite().all() and (gradient[~mask] == 0).all() and (gradient[mask] != 0).all()


def test_a_series_without_observations_returns_the_predictions():
    model = random_model("constant")
    y, mask = observations(2, 10, 2)
    mask[1] = False
    filtered = kalman_filter(model, y, mask)
    assert (filtered.step_log_likelihood[1] == 0).all()
    torch.testing.assert_close(filtered.mean[1, 0], model.initial_mean)
    torch.testing.assert_close(filtered.covariance[1, 0], model.initial_covariance)
    powers = [torch.linalg.matrix_power(model.transition, step) @ model.initial_mean for step in range(10)]
    torch.testing.assert_close(filtered.mean[1], torch.stack(powers))


def test_series_do_not_depend_on_their_neighbours():
    """Alone, permuted, or beside another pattern, a series has the same answer."""
    model = random_model("constant")
    y, mask = observations(5, 40, 2)
    mask[1] = mask[0]  # two series share a pattern
    together = kalman_filter(model, y, mask)
    order = torch.tensor([4, 0, 3, 1, 2])
    permuted = kalman_filter(model, y[order], mask[order])
    alone = kalman_filter(model, y[2:3], mask[2:3])
    for name in MOMENTS:
        found = getattr(together, name)
        torch.testing.assert_close(getattr(permuted, name), found[order], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(getattr(alone, name)[0], found[2], rtol=1e-12, atol=1e-12)


def test_lengths_clear_the_mask():
    model = random_model("constant")
    y, mask = observations(2, 10, 2)
    cut = mask.clone()
    cut[0, 4:] = False
    found = kalman_filter(model, y, mask, lengths=torch.tensor([4, 10]))
    assert torch.equal(found.mask, cut)
    torch.testing.assert_close(
        found.log_likelihood[0], kalman_filter(model, y[:1, :4], mask[:1, :4]).log_likelihood[0]
    )


def test_float32_covariances_stay_positive_definite_where_the_short_form_fails():
    """Position measured almost without noise: P - K C P subtracts nearly equal numbers."""
    model = moving_model(torch.float32)
    y = torch.zeros(1, 200, 1)
    with pytest.warns(UserWarning, match=r"initial_covariance\[0, 0\] = 100 is so far above the noises"):
        filtered = kalman_filter(model, y)
    for covariance in (filtered.covariance, filtered.predicted_covariance):
        assert torch.equal(covariance, covariance.mT)
        assert (torch.linalg.eigvalsh(covariance.double()) > 0).all()
    A, C, Q, R = (
        model.transition,
        model.observation,
        model.transition_covariance,
        model.observation_covariance,
    )
    covariance, smallest = model.initial_covariance, math.inf
    for step in range(200):
        covariance = A @ covariance @ A.T + Q if step else covariance
        gain = covariance @ C.T / (C @ covariance @ C.T + R)
        covariance = covariance - gain @ C @ covariance
        smallest = min(smallest, torch.linalg.eigvalsh(covariance.double())[0].item())
    assert smallest < 0


def test_devices_and_dtypes_follow_the_inputs(device):
    model = random_model("constant", dtype=torch.float32, device=device)
    y, mask = observations(3, 20, 2)
    filtered = kalman_filter(model, y.float().to(device), mask.to(device))
    exact = kalman_filter(random_model("constant"), y, mask)
    assert filtered.mean.dtype == torch.float32 and filtered.mean.device.type == device.type
    torch.testing.assert_close(filtered.mean.cpu().double(), exact.mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parallel", [False, True], ids=["loop", "scan"])
def test_an_innovation_without_variance_is_refused(parallel):
    exact = LinearGaussian(
        *(torch.eye(1) * size for size in (1.0, 1, 0, 0)), torch.zeros(1), torch.zeros(1, 1)
    )
    message = "innovation covariance .* series 0 at step 0 has smallest eigenvalue 0"
    if parallel:
        message = "positive definite"
    with pytest.raises(ValueError, match=message):
        kalman_filter(exact, torch.zeros(2, 3, 1), parallel=parallel)


Y, MASK = torch.zeros(2, 3, 2, dtype=torch.float64), torch.ones(2, 3, 2, dtype=torch.bool)
BAD = Y.index_put((torch.tensor(1), torch.tensor(2), torch.tensor(0)), torch.tensor(math.nan).double())
MODEL, DRIVEN = random_model("constant"), random_model("constant", inputs=1)


@pytest.mark.parametrize(
    "model, arguments, options, message",
    [
        pytest.param(MODEL, (Y[0],), {}, r"y must have shape \(B, T, D\) = \(B, T, 2\)", id="shape of y"),
        pytest.param(
            MODEL,
            (Y.float(),),
            {},
            "y must have the dtype of the model: got torch.float32 and torch.float64",
            id="dtype of y",
        ),
        pytest.param(
            MODEL,
            (Y, MASK[:1]),
            {},
            r"mask must have the shape \(2, 3, 2\) of y: got \(1, 3, 2\)",
            id="shape of the mask",
        ),
        pytest.param(
            MODEL, (Y, MASK.double()), {}, "mask must be bool: got torch.float64", id="dtype of the mask"
        ),
        pytest.param(
            MODEL,
            (BAD,),
            {},
            r"observed values must be finite: series 1 at step 2 has y\[1, 2, 0\] = nan",
            id="observed nan",
        ),
        pytest.param(
            MODEL,
            (Y,),
            {"lengths": torch.tensor([3])},
            r"lengths must have shape \(B,\) = \(2,\): got \(1,\)",
            id="shape of lengths",
        ),
        pytest.param(
            MODEL,
            (Y,),
            {"lengths": torch.tensor([3, 4])},
            "lengths must lie between 0 and T = 3: series 1",
            id="lengths beyond T",
        ),
        pytest.param(
            MODEL,
            (Y,),
            {"inputs": Y},
            "inputs and model.input belong together: got inputs without model.input",
            id="inputs without B",
        ),
        pytest.param(DRIVEN, (Y,), {}, "got model.input without inputs", id="B without inputs"),
        pytest.param(
            DRIVEN,
            (Y,),
            {"inputs": Y},
            r"inputs must have shape \(B, T, U\) = \(2, 3, 1\): got \(2, 3, 2\)",
            id="shape of inputs",
        ),
        pytest.param(
            DRIVEN,
            (Y,),
            {"inputs": BAD[..., :1]},
            r"inputs must be finite: .* inputs\[1, 2, 0\] = nan",
            id="nan in inputs",
        ),
        pytest.param(
            random_model("step", steps=4),
            (Y,),
            {},
            r"y must have the model's T = 4 steps: got shape \(2, 3, 2\)",
            id="other steps than the model",
        ),
        pytest.param(
            random_model("series", series=3, steps=3),
            (Y,),
            {},
            "y must have the model's B = 3 series",
            id="other series than the model",
        ),
        pytest.param(
            MODEL,
            (Y,),
            {"parallel": True, "plain": True},
            "parallel and plain exclude each other",
            id="two ways at once",
        ),
    ],
)
def test_misuse_is_refused(model, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        kalman_filter(model, *arguments, **options)


@pytest.mark.parametrize("way", [{}, {"plain": True}, {"parallel": True}], ids=["halves", "plain", "scan"])
@pytest.mark.parametrize("seed", range(6))
def test_an_innovation_that_only_rounding_makes_definite_is_refused(seed, way):
    root = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    noise = root @ root.mT
    model = LinearGaussian(zero + 0.5, zero.new_ones(3, 1), zero, (noise + noise.mT) / 2, zero[0], zero)
    with pytest.raises(
        ValueError, match=r"C P C' \+ R .*must be positive definite|C Q C' \+ R to be positive"
    ):
        kalman_filter(model, torch.ones(1, 2, 3, dtype=torch.float64), **way)


@pytest.mark.parametrize("name", ["transition", "observation"])
def test_what_overflows_is_refused_by_name(name):
    one = torch.ones(1, 1, dtype=torch.float64)
    parts = {"transition": one, "observation": one} | {name: 1e200 * one}
    model = LinearGaussian(**parts, **dict.fromkeys(NOISES, one), initial_mean=one[0])
    with pytest.raises(
        ValueError, match="must be positive definite: series 0 at step . has smallest eigenvalue nan"
    ):
        kalman_filter(model, torch.ones(1, 3, 1, dtype=torch.float64))


NOISES = ("transition_covariance", "observation_covariance", "initial_covariance")


def test_an_update_without_variance_is_refused():
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    with pytest.raises(
        ValueError, match="innovation covariance .* must be positive definite: its smallest .* 0"
    ):
        update(zero[0], zero, one[0], one, zero)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16], ids=str)
def test_lengths_in_few_bits(dtype):
    y, _ = observations(2, 300, 2)
    lengths = torch.tensor([100, 120])
    expected = kalman_filter(MODEL, y, lengths=lengths).log_likelihood
    assert torch.equal(kalman_filter(MODEL, y, lengths=lengths.to(dtype)).log_likelihood, expected)


@pytest.mark.parametrize("parallel", [False, True], ids=["sequential", "scan"])
def test_noise_far_above_the_readings_in_one_direction(parallel):
    """Two states driven as one by a noise of 1e8, one reading between two gaps: variances as if by hand."""
    double = {"dtype": torch.float64}
    A = torch.tensor([[-0.4, -0.4], [0.5, 0.5]], **double)
    drive = torch.tensor([[-1.0], [1e8]], **double)
    C, R, Q = torch.tensor([[0.5, 0.25]], **double), torch.ones(1, 1, **double), drive @ drive.T
    model = LinearGaussian(A, C, Q, R, torch.zeros(2, **double), torch.zeros(2, 2, **double))
    mask = torch.tensor([[[False], [True], [False]]])
    found = kalman_filter(model, torch.zeros(1, 3, 1, **double), mask, parallel=parallel).covariance[0, 2]
    told = (drive.T @ C.T).item()  # how the one number that is unknown, of variance 1, shows
    left = (A @ drive) @ (A @ drive).T / (1 + told**2)
    torch.testing.assert_close(found, left + Q, rtol=1e-9, atol=0.0)
