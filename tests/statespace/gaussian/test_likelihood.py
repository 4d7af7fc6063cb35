"""log_likelihood: the density itself, the filter's number and graph, and finite differences."""

import math

import pytest
import torch

from helpers.statespace import LinearGaussian, kalman_filter, log_likelihood

BATCH, STEPS, STATE, OUTPUT = 2, 5, 3, 2
SHAPES = {
    "constant": (),
    "per step": (STEPS,),
    "per series": (BATCH, 1),
    "per series and step": (BATCH, STEPS),
}


def covariance(generator, *shape, rank=None):
    factor = torch.randn(*shape, rank or shape[-1], generator=generator, dtype=torch.float64)
    return factor @ factor.mT


def parameters(kind, rank=2):
    """A, C, Q (singular), R, m_0, P_0 and B."""
    generator = torch.Generator().manual_seed(0)
    leading = SHAPES[kind]

    def normal(*shape):
        return torch.randn(*leading, *shape, generator=generator, dtype=torch.float64)

    per_series = leading[:1] if leading and leading[0] == BATCH else ()
    return (
        0.5 * normal(STATE, STATE),
        normal(OUTPUT, STATE),
        covariance(generator, *leading, STATE, rank=rank),
        covariance(generator, *leading, OUTPUT) + 0.2 * torch.eye(OUTPUT),
        torch.randn(*per_series, STATE, generator=generator, dtype=torch.float64),
        covariance(generator, *per_series, STATE),
        normal(STATE, 1),
    )


def data(missing):
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(BATCH, STEPS, OUTPUT, generator=generator, dtype=torch.float64)
    inputs = torch.randn(BATCH, STEPS, 1, generator=generator, dtype=torch.float64)
    mask = torch.rand(BATCH, STEPS, OUTPUT, generator=generator) > (0.4 if missing else -1)
    return y, mask, inputs


def symmetric(matrix):
    return (matrix + matrix.mT) / 2


def model_of(A, C, Q, R, m0, P0, B):
    return LinearGaussian(A, C, symmetric(Q), symmetric(R), m0, symmetric(P0), B)


def joint_log_density(model, y, mask):
    """log N(y; μ, Σ) of all entries of one series observed, from the moments of the whole trajectory."""
    A, C, Q, R = (
        model.transition,
        model.observation,
        model.transition_covariance,
        model.observation_covariance,
    )
    steps, state = len(y), len(A)
    means, covariances = [model.initial_mean], [[model.initial_covariance]]
    for _ in range(1, steps):
        means.append(A @ means[-1])
        covariances.append([A @ block for block in covariances[-1]])
        covariances[-1].append(A @ covariances[-2][-1] @ A.T + Q)
    joint = torch.zeros(steps, state, steps, state, dtype=y.dtype)
    for t in range(steps):
        for s in range(t + 1):
            joint[t, :, s] = covariances[t][s]
            joint[s, :, t] = covariances[t][s].T
    seen = mask.flatten()
    design, noise = torch.block_diag(*[C] * steps), torch.block_diag(*[R] * steps)
    scale = (design @ joint.reshape(steps * state, -1) @ design.T + noise)[seen][:, seen]
    return torch.distributions.MultivariateNormal((design @ torch.cat(means))[seen], scale).log_prob(
        y.flatten()[seen]
    )


def test_is_the_joint_density_of_what_was_observed():
    *matrices, _ = parameters("constant")
    model = model_of(*matrices, None)
    y, mask, _ = data(missing=True)
    expected = torch.stack([joint_log_density(model, *series) for series in zip(y, mask, strict=True)])
    torch.testing.assert_close(log_likelihood(model, y, mask), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("kind", SHAPES)
def test_gradcheck(kind, missing):
    """With respect to every argument, with singular Q; one series counts twice."""
    y, mask, inputs = data(missing)
    arguments = [tensor.requires_grad_() for tensor in (*parameters(kind), y, inputs)]
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def weighted(*arguments):
        *matrices, y, inputs = arguments
        # adding to Q keeps finite differences within the covariances
        A, C, Q, *others = matrices
        model = model_of(A, C, Q + 0.01 * torch.eye(STATE), *others)
        return weight * log_likelihood(model, y, mask, inputs=inputs)

    assert torch.autograd.gradcheck(weighted, arguments, fast_mode=kind != "constant")


@pytest.mark.parametrize("kind", SHAPES)
def test_value_and_gradient_are_the_filters_with_singular_noise(kind):
    y, mask, inputs = data(missing=True)
    arguments = [tensor.requires_grad_() for tensor in (*parameters(kind, rank=1), y, inputs)]
    model = model_of(*arguments[:7])
    ours = log_likelihood(model, y, mask, inputs=inputs)
    graph = kalman_filter(model, y, mask, inputs=inputs).log_likelihood
    torch.testing.assert_close(ours, graph, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad(value.sum(), arguments, retain_graph=True) for value in (ours, graph))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_long_series_keeps_its_digits():
    """The same gradient, to 1e-10 of its size, as the graph of a thousand steps."""
    generator = torch.Generator().manual_seed(2)
    matrices = [tensor.requires_grad_() for tensor in parameters("constant")[:6]]
    model = model_of(*matrices, None)
    y = torch.randn(2, 1000, OUTPUT, generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad(log_likelihood(model, y).sum(), matrices, retain_graph=True)
    graph = torch.autograd.grad(kalman_filter(model, y).log_likelihood.sum(), matrices)
    for one, other in zip(ours, graph, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * float(other.abs().max()))


def test_lengths_hide_what_follows():
    model = model_of(*parameters("constant")[:6], None)
    y, mask, _ = data(missing=False)
    short = log_likelihood(model, y[:, :3])
    torch.testing.assert_close(log_likelihood(model, y, lengths=torch.tensor([3, 3])), short)
    ragged = log_likelihood(model, y, lengths=torch.tensor([5, 3]))
    torch.testing.assert_close(ragged, torch.stack([log_likelihood(model, y)[0], short[1]]))


def test_a_series_without_observations_says_nothing():
    matrices = [tensor.requires_grad_() for tensor in parameters("constant")[:6]]
    y, _, _ = data(missing=False)
    value = log_likelihood(model_of(*matrices, None), y, torch.zeros_like(y, dtype=torch.bool))
    assert value.tolist() == [0.0, 0.0]
    assert all((gradient == 0).all() for gradient in torch.autograd.grad(value.sum(), matrices))


def test_a_diffuse_start_goes_through_the_filter():
    """A random walk from an unknown level: the differences are independent, N(0, q)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    variance = torch.tensor([[0.7]], dtype=torch.float64, requires_grad=True)
    model = LinearGaussian(one, one, variance, 0 * one, one[0], one, diffuse=torch.tensor([True]))
    y = torch.randn(3, 6, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    differences = y.diff(dim=1).squeeze(-1)
    expected = torch.distributions.Normal(0, variance.detach().sqrt()).log_prob(differences).sum(1)
    value = log_likelihood(model, y)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-10, atol=1e-10)
    (slope,) = torch.autograd.grad(value.sum(), variance)
    by_hand = (differences.square() / variance.detach() - 1).sum() / (2 * variance.detach())
    torch.testing.assert_close(slope, by_hand, rtol=1e-9, atol=1e-9)


def test_second_derivatives_are_refused():
    matrices = [tensor.requires_grad_() for tensor in parameters("constant")[:6]]
    y, _, _ = data(missing=False)
    value = log_likelihood(model_of(*matrices, None), y).sum()
    with pytest.raises(
        RuntimeError, match="log_likelihood can be differentiated only once: got create_graph=True"
    ):
        torch.autograd.grad(value, matrices[0], create_graph=True)


def test_one_series_does_not_touch_another():
    y, mask, _ = data(missing=True)
    model = model_of(*parameters("constant")[:6], None)
    alone = log_likelihood(model, y[:1], mask[:1])
    changed = torch.cat([y[:1], 1e6 * y[1:]])
    torch.testing.assert_close(log_likelihood(model, changed, mask)[:1], alone, rtol=1e-12, atol=1e-12)


def test_errors_are_the_filters():
    model = model_of(*parameters("constant")[:6], None)
    y, _, _ = data(missing=False)
    with pytest.raises(ValueError, match=r"y must have shape \(B, T, D\)"):
        log_likelihood(model, y[0])
    with pytest.raises(ValueError, match="observed values must be finite: series 1 at step 2"):
        log_likelihood(
            model, y.index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(math.nan).double())
        )


def test_on_every_device(device):
    y, mask, _ = data(missing=True)
    matrices = parameters("constant")[:6]
    here = log_likelihood(model_of(*matrices, None), y, mask)
    moved = [tensor.to(device).requires_grad_() for tensor in matrices]
    there = log_likelihood(model_of(*moved, None), y.to(device), mask.to(device))
    assert there.device.type == device.type
    torch.testing.assert_close(there.cpu().detach(), here)
    there.sum().backward()
    assert all(tensor.grad.device.type == device.type for tensor in moved)
