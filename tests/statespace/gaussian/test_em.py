"""The M-step against the expected complete log-likelihood, written out densely; monotone ascent."""

from dataclasses import replace

import pytest
import torch

from helpers.statespace import LinearGaussian, fit

MATRICES = ("transition", "input", "transition_covariance", "observation", "observation_covariance")
EVERYTHING = (*MATRICES, "initial_mean", "initial_covariance")
H, D, U, T, B = 2, 3, 1, 5, 3


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(size, seed):
    factor = draw(size, size, seed=seed)
    return factor @ factor.mT + 0.5 * torch.eye(size, dtype=torch.float64)


def a_model():
    A = torch.tensor([[0.8, 0.2], [-0.3, 0.6]], dtype=torch.float64)
    return LinearGaussian(
        A,
        draw(D, H, seed=1),
        covariance(H, 2),
        covariance(D, 3),
        draw(H, seed=4),
        covariance(H, 5),
        draw(H, U),
    )


def data():
    """Series with missing entries, a missing step, a missing end, and nothing at all."""
    y, u = draw(B, T, D, seed=6), draw(B, T, U, seed=7)
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[0, 1, 0], mask[0, 3, 1:], mask[0, 2], mask[1, 3:], mask[1, 0, 2], mask[2] = 0, 0, 0, 0, 0, 0
    return torch.where(mask, y, torch.nan), mask, u


def log_density(r_mean, r_covariance, S):
    """E[log N(r; 0, S)] up to a constant."""
    return -0.5 * (
        torch.logdet(S)
        + r_mean @ torch.linalg.solve(S, r_mean)
        + torch.trace(torch.linalg.solve(S, r_covariance))
    )


def dense_joint(model, u):
    """Mean and covariance of (h_0 … h_{T-1}, y_0 … y_{T-1}), from its independent noises."""
    h, y = [model.initial_mean], []
    loading = torch.zeros(T * H, T * H, dtype=torch.float64)
    loading[:H, :H] = torch.eye(H)
    for t in range(1, T):
        h.append(model.transition @ h[-1] + model.input @ u[t])
        rows = slice(t * H, t * H + H)
        loading[rows] = model.transition @ loading[t * H - H : t * H]
        loading[rows, rows] = torch.eye(H)
    noise = torch.block_diag(model.initial_covariance, *[model.transition_covariance] * (T - 1))
    P = loading @ noise @ loading.mT
    C = torch.block_diag(*[model.observation] * T)
    R = torch.block_diag(*[model.observation_covariance] * T)
    y = C @ torch.cat(h)
    return torch.cat([torch.cat(h), y]), torch.cat(
        [torch.cat([P, P @ C.mT], 1), torch.cat([C @ P, C @ P @ C.mT + R], 1)]
    )


def posterior(model, y, mask, u):
    """Mean and covariance of all states and all observations, given those that were observed."""
    mean, V = dense_joint(model, u)
    seen = torch.cat([torch.zeros(T * H, dtype=torch.bool), mask.flatten()])
    gain = torch.linalg.solve(V[seen][:, seen], V[seen]).mT
    return mean + gain @ (y.flatten()[mask.flatten()] - mean[seen]), V - gain @ V[seen]


def expected_complete(model, old, y, mask, u):
    """E_old[log p(h, y; model)] of one series, with states up to the last observation."""
    if not mask.any():
        return 0.0
    mean, V = posterior(old, y, mask, u)
    last = int(mask.any(-1).nonzero().max())

    def term(rows, coefficients, offset, S):
        m, v = mean[rows], V[rows][:, rows]
        return log_density(coefficients @ m - offset, coefficients @ v @ coefficients.mT, S)

    def state(t):
        return list(range(t * H, t * H + H))

    def seen(t):
        return list(range(T * H + t * D, T * H + t * D + D))

    eye = torch.eye(H, dtype=torch.float64)
    total = term(state(0), eye, model.initial_mean, model.initial_covariance)
    for t in range(1, last + 1):
        step = torch.cat([eye, -model.transition], 1)
        total = total + term(state(t) + state(t - 1), step, model.input @ u[t], model.transition_covariance)
    for t in range(last + 1):
        if mask[t].any():
            shadow = torch.cat([torch.eye(D, dtype=torch.float64), -model.observation], 1)
            zero = torch.zeros(D, dtype=torch.float64)
            total = total + term(seen(t) + state(t), shadow, zero, model.observation_covariance)
    return total


@pytest.mark.parametrize(
    "learn",
    [
        EVERYTHING,
        ("transition",),
        ("input",),
        ("transition_covariance",),
        ("observation",),
        ("observation_covariance",),
        ("initial_mean",),
        ("initial_covariance",),
        ("input", "transition_covariance", "observation_covariance"),
    ],
    ids=[
        "everything",
        "A",
        "B",
        "Q",
        "C",
        "R",
        "m0",
        "P0",
        "B, Q and R",
    ],
)
def test_m_step_is_where_the_expected_complete_log_likelihood_is_flat(learn):
    old, (y, mask, u) = a_model(), data()
    new = one_step(old, y, mask, u, learn)
    assert all(getattr(new, name) is getattr(old, name) for name in set(EVERYTHING) - set(learn))

    def gradient(model):
        variables = {name: getattr(model, name).clone().requires_grad_() for name in learn}
        at = replace(model, **variables)
        total = sum(expected_complete(at, old, y[b], mask[b], u[b]) for b in range(B))
        return torch.cat([part.flatten() for part in torch.autograd.grad(total, list(variables.values()))])

    assert gradient(old).abs().max() > 0.01
    torch.testing.assert_close(gradient(new), torch.zeros_like(gradient(new)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "learn", [EVERYTHING, ("observation", "observation_covariance")], ids=["everything", "C and R"]
)
def test_the_log_likelihood_never_falls(learn):
    y, mask, u = data()
    fitted = fit(
        a_model(), y, mask, inputs=u, method="em", learn=learn, iterations=14, tolerance=0.0, progress=False
    )
    trace = torch.tensor(fitted.log_likelihoods, dtype=torch.float64)
    assert len(trace) == 15 and (trace.diff() > 0).all() and trace[-1] - trace[0] > 1


def test_the_order_of_series_does_not_matter():
    y, mask, u = data()
    order = [2, 0, 1]
    assert_equal_models(one_step(a_model(), y, mask, u), one_step(a_model(), y[order], mask[order], u[order]))


def test_a_series_without_observations_has_no_say():
    y, mask, u = data()
    assert_equal_models(one_step(a_model(), y, mask, u), one_step(a_model(), y[:2], mask[:2], u[:2]))


def test_a_model_per_step_keeps_what_is_not_learned():
    """The same matrices, given per step, give the same M-step of everything else."""
    y, mask, u = data()
    constant = a_model()
    learn = ("input", "transition_covariance", "observation_covariance")
    stepwise = replace(
        constant,
        transition=constant.transition.expand(T, H, H),
        observation=constant.observation.expand(B, T, D, H),
    )
    assert_equal_models(*(one_step(model, y, mask, u, learn) for model in (constant, stepwise)), learn)


def one_step(model, y, mask, u, learn=EVERYTHING):
    """The model after one iteration of EM."""
    return fit(
        model, y, mask, inputs=u, method="em", learn=learn, iterations=1, tolerance=-torch.inf, progress=False
    ).model


def assert_equal_models(one, other, names=EVERYTHING):
    for name in names:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-11, atol=1e-11)


def test_a_regression_without_an_answer_is_refused():
    y, mask, u = data()
    with pytest.raises(ValueError, match="fit: input cannot be learned: the second moments"):
        one_step(a_model(), y, mask, torch.zeros_like(u), ("input",))
