"""Gradients, extreme emissions, forbidden transitions, long series and impossible ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.statespace import (
    HMM,
    CategoricalEmission,
    GaussianEmission,
    PoissonEmission,
    hmm_as_rnn,
    hmm_filter,
    hmm_log_likelihood,
    hmm_smoother,
    simulate_hmm,
    viterbi,
)
from helpers.statespace.hmm.filter import forward, smooth
from helpers.statespace.hmm.model import check_observations
from helpers.statespace.hmm.scaled import (
    safe_interval,
    scaled_forward,
    scaled_log_likelihood,
    scaled_smooth,
)

LEFT_RIGHT = [[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]]


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def plain_log_likelihood(hmm, y, mask):
    """The textbook recursion in log space, differentiated by autograd; all probabilities positive."""
    evidence = hmm.log_evidence(check_observations(hmm, y, mask))
    alpha = hmm.initial.log() + evidence[:, 0]
    for step in range(1, y.shape[1]):
        alpha = torch.logsumexp(alpha.unsqueeze(-1) + hmm.transition.log(), 1) + evidence[:, step]
    return alpha.logsumexp(-1)


def peaked(dtype, separation, generator, steps=60):
    """States so far apart that each observation excludes all others by ``separation``² / 2 nats."""
    transition = torch.tensor([[0.9, 0.0999, 1e-4], [0.05, 0.9, 0.05], [1e-4, 0.2999, 0.7]], dtype=dtype)
    mean = separation * torch.arange(3, dtype=dtype).unsqueeze(-1)
    emission = GaussianEmission(mean, torch.ones(3, 1, 1, dtype=dtype))
    hmm = HMM(torch.tensor([1.0, 0.0, 0.0], dtype=dtype), transition, emission)
    return hmm, simulate_hmm(hmm, steps, 8, generator).observations


GRADIENT_CASES = {
    "gaussian": (
        lambda a, b: GaussianEmission(a, b @ b.mT + torch.eye(2, dtype=b.dtype)),
        [(3, 2), (3, 2, 2)],
        lambda g: torch.randn(2, 6, 2, dtype=torch.float64, generator=g),
    ),
    "poisson": (
        lambda a: PoissonEmission(a.exp()),
        [(3, 2)],
        lambda g: torch.randint(0, 6, (2, 6, 2), generator=g),
    ),
    "categorical": (
        lambda a: CategoricalEmission(a.softmax(-1)),
        [(3, 4)],
        lambda g: torch.randint(0, 4, (2, 6), generator=g),
    ),
}


@pytest.mark.parametrize("case", GRADIENT_CASES)
@pytest.mark.parametrize("forbidden", [False, True], ids=["dense", "forbidden"])
def test_gradcheck(case, forbidden):
    emission, shapes, draw = GRADIENT_CASES[case]
    generator = torch.Generator().manual_seed(5)
    y = draw(generator)
    mask = torch.rand(y.shape, generator=generator) > 0.25
    free = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in [(3,), (3, 3), *shapes]]
    closed = torch.zeros(3, 3, dtype=torch.float64)
    closed[2, 0] = -torch.inf if forbidden else 0.0

    def log_likelihood(initial, transition, *parameters):
        hmm = HMM(initial.softmax(-1), (transition + closed).softmax(-1), emission(*parameters))
        return hmm_log_likelihood(hmm, y, mask, torch.tensor([6, 4]))

    assert torch.autograd.gradcheck(log_likelihood, [tensor.requires_grad_() for tensor in free])


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # used by torch.func.jacfwd
@pytest.mark.parametrize("case", GRADIENT_CASES)
@pytest.mark.parametrize("forbidden", [False, True], ids=["dense", "forbidden"])
def test_second_derivatives(case, forbidden):
    """The Hessian in every way that torch offers, against differences of the gradient."""
    emission, shapes, draw = GRADIENT_CASES[case]
    generator = torch.Generator().manual_seed(6)
    y = draw(generator)
    mask = torch.rand(y.shape, generator=generator) > 0.25
    sizes = [math.prod(shape) for shape in [(3,), (3, 3), *shapes]]
    theta = torch.randn(sum(sizes), dtype=torch.float64, generator=generator)
    closed = torch.zeros(3, 3, dtype=torch.float64)
    closed[2, 0] = -torch.inf if forbidden else 0.0

    def log_likelihood(theta):
        initial, transition, *parameters = theta.split(sizes)
        parameters = [part.reshape(shape) for part, shape in zip(parameters, shapes, strict=True)]
        hmm = HMM(initial.softmax(-1), (transition.reshape(3, 3) + closed).softmax(-1), emission(*parameters))
        return hmm_log_likelihood(hmm, y, mask, torch.tensor([6, 4])).sum()

    def slope(theta):
        theta = theta.clone().requires_grad_()
        return torch.autograd.grad(log_likelihood(theta), theta)[0]

    steps = 1e-4 * torch.eye(len(theta), dtype=torch.float64)
    expected = torch.stack([(slope(theta + step) - slope(theta - step)) / 2e-4 for step in steps])
    for hessian in (
        torch.autograd.functional.hessian(log_likelihood, theta),
        torch.func.hessian(log_likelihood)(theta),
    ):
        torch.testing.assert_close(hessian, expected, rtol=1e-6, atol=1e-7)
    for transform in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(transform(log_likelihood)(theta), slope(theta), rtol=1e-10, atol=1e-12)


def test_gradgradcheck_with_an_impossible_series_that_does_not_count():
    """Symbol 2 never occurs; the weight of the series that shows it is 0, of the other negative."""
    y, weight = torch.tensor([[0, 1, 1, 0], [0, 2, 1, 0]]), double([-1.5, 0.0])

    def log_likelihood(logits, symbols):
        shown = torch.nn.functional.pad(symbols.softmax(-1), (0, 1))
        hmm = HMM(double([0.4, 0.6]), logits.softmax(-1), CategoricalEmission(shown))
        return hmm_log_likelihood(hmm, y)

    leaves = [double([[1.0, 0.2], [-0.3, 0.5]]), double([[0.3, 1.0], [-1.0, 0.5]])]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    weighted = lambda *leaves: torch.where(weight != 0, log_likelihood(*leaves), 0.0) @ weight  # noqa: E731
    assert torch.autograd.gradgradcheck(weighted, leaves)
    graph = torch.autograd.grad(log_likelihood(*leaves), leaves, weight, create_graph=True)
    plain = torch.autograd.grad(log_likelihood(*leaves), leaves, weight)
    torch.testing.assert_close([slope.detach() for slope in graph], list(plain))
    with pytest.raises(ValueError, match="log-likelihood of series 1 is -inf, without gradient"):
        torch.autograd.grad(log_likelihood(*leaves).sum(), leaves, create_graph=True)


def test_hessian_of_the_probability_to_stay():
    """Two states that emit what nobody confuses: the path is known, and log p = n log s + m log(1 - s)."""
    y = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 0, 0, 0]])

    def log_likelihood(stay):
        transition = torch.stack([torch.stack([stay, 1 - stay]), torch.stack([1 - stay, stay])])
        return hmm_log_likelihood(
            HMM(double([0.5, 0.5]), transition, CategoricalEmission(double([[1, 0], [0, 1]]))), y
        )

    curvature = torch.autograd.functional.hessian(lambda stay: log_likelihood(stay).sum(), double(0.7))
    torch.testing.assert_close(curvature, double(-7 / 0.7**2 - 2 / 0.3**2))


def test_gradient_by_the_observations_and_for_each_series(generator, device):
    """A weighted sum of the series' log-likelihoods, as a training loss may be."""
    hmm, y = peaked(torch.float64, 2.0, torch.Generator().manual_seed(1))
    hmm = HMM(double([0.4, 0.3, 0.3]).to(device), hmm.transition.to(device), moved(hmm.emission, device))
    weight = torch.linspace(-1, 2, 8, dtype=torch.float64, device=device)
    mask = torch.rand(y.shape, generator=generator, device=device) > 0.3
    gradients = []
    for function in (hmm_log_likelihood, plain_log_likelihood):
        leaf = y.to(device).requires_grad_()
        gradients.append(torch.autograd.grad(function(hmm, leaf, mask) @ weight, leaf)[0])
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_all_series_gradients_at_once_are_the_single_ones():
    hmm, y = peaked(torch.float64, 2.0, torch.Generator().manual_seed(2), steps=9)
    mean = hmm.emission.mean.clone().requires_grad_()
    emission = GaussianEmission(mean, hmm.emission.covariance)
    each = hmm_log_likelihood(HMM(hmm.initial, hmm.transition, emission), y)
    together = torch.autograd.grad(
        each, mean, torch.eye(len(y), dtype=torch.float64), is_grads_batched=True, retain_graph=True
    )
    for series, slope in enumerate(together[0]):
        torch.testing.assert_close(slope, torch.autograd.grad(each[series], mean, retain_graph=True)[0])


@pytest.mark.parametrize("split", ["mean", "transition", "y"])
def test_vmap_is_refused_by_name(split):
    hmm, y = peaked(torch.float64, 2.0, torch.Generator().manual_seed(1), steps=4)
    parts = {"mean": hmm.emission.mean, "transition": hmm.transition, "y": y}

    def of(part):
        with_it = parts | {split: part}
        emission = GaussianEmission(with_it["mean"], hmm.emission.covariance)
        return hmm_log_likelihood(HMM(hmm.initial, with_it["transition"], emission), with_it["y"])

    with pytest.raises(ValueError, match=f"{split} must not be split by torch.vmap: pass many series as one"):
        torch.func.vmap(of)(torch.stack([parts[split]] * 2))


@pytest.mark.parametrize("steps", [1, 7, 700], ids="{} steps".format)
def test_evidence_in_blocks_is_the_evidence(steps):
    """Of 50 series, 700 steps are three blocks."""
    generator = torch.Generator().manual_seed(4)
    hmm = peaked(torch.float64, 2.0, generator)[0]
    y = torch.randn(50, steps, hmm.emission.mean.shape[1], dtype=torch.float64, generator=generator)
    data = check_observations(hmm, y, torch.rand(y.shape, generator=generator) > 0.3)
    assert len(data.blocks()) == (3 if steps == 700 else 1)
    torch.testing.assert_close(hmm.log_evidence_in_blocks(data), hmm.log_evidence(data), rtol=1e-14, atol=0)


def moved(emission, device):
    return GaussianEmission(emission.mean.to(device), emission.covariance.to(device))


@pytest.mark.parametrize("separation", [1.0, 15.0, 60.0, 400.0])
@pytest.mark.parametrize(
    "dtype, within", [(torch.float32, 2e-6), (torch.float64, 1e-13)], ids=["float32", "float64"]
)
def test_emissions_however_peaked(dtype, within, separation):
    """The scaled recursions, normalised as rarely as they are, against log space throughout."""
    hmm, y = peaked(dtype, separation, torch.Generator().manual_seed(2))
    assert safe_interval(hmm.log_transition) >= 1
    wide = as_double(hmm)
    everywhere = torch.ones_like(y, dtype=torch.bool)
    evidence = wide.emission.log_prob(y.double(), everywhere)
    probability, _, steps = smooth(wide.log_initial, wide.log_transition, evidence, everywhere[..., 0])
    smoothed = hmm_smoother(hmm, y)
    expected = steps.sum(-1).to(dtype)
    torch.testing.assert_close(smoothed.log_likelihood, expected, rtol=within * 100, atol=1e-10)
    torch.testing.assert_close(hmm_log_likelihood(hmm, y), expected, rtol=within * 100, atol=1e-10)
    blurred = within * 100 * max(1.0, separation**2)
    torch.testing.assert_close(smoothed.probability, probability.to(dtype), rtol=0, atol=blurred)


def as_double(hmm):
    initial, transition = hmm.initial.double(), hmm.transition.double()
    return HMM(
        initial / initial.sum(),
        transition / transition.sum(-1, keepdim=True),
        GaussianEmission(hmm.emission.mean.double(), hmm.emission.covariance.double()),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_interval_keeps_its_promise_at_the_worst_case(dtype):
    """Each step's evidence excludes all but the least probable state: mass falls by min A every time."""
    for smallest in (0.3, 1e-2, 1e-4, 1e-6, 1e-8):
        transition = torch.tensor([[1 - smallest, smallest], [smallest, 1 - smallest]], dtype=dtype)
        if not safe_interval(transition.log()):
            continue
        emission = GaussianEmission(
            torch.tensor([[0.0], [1e4]], dtype=dtype), torch.ones(2, 1, 1, dtype=dtype)
        )
        hmm = HMM(torch.tensor([0.5, 0.5], dtype=dtype), transition, emission)
        y = torch.tensor([0.0, 1e4], dtype=dtype).repeat(20).reshape(1, 40, 1)
        jumps = 39 * torch.tensor(smallest, dtype=dtype).log().double()
        densities = -20 * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64))
        expected = jumps + densities + torch.log(double(0.5))
        tolerance = {"rtol": 100 * torch.finfo(dtype).eps, "atol": 0.0}
        torch.testing.assert_close(hmm_log_likelihood(hmm, y).double()[0], expected, **tolerance)
        smoothed = hmm_smoother(hmm, y)
        torch.testing.assert_close(smoothed.log_likelihood.double()[0], expected, **tolerance)
        torch.testing.assert_close(smoothed.pair_counts[0, 0, 1], torch.tensor(20.0, dtype=dtype))


def test_interval_is_zero_only_where_it_must_be():
    assert safe_interval(double([[1.0]]).log()) == 8
    assert safe_interval(double([[0.999, 0.001], [0.1, 0.9]]).log()) == 8
    assert 1 <= safe_interval(torch.tensor([[0.999, 0.001], [0.1, 0.9]]).log()) < 8
    assert safe_interval(torch.tensor([[1.0, 1e-20], [0.5, 0.5]]).log()) == 0
    assert safe_interval(double(LEFT_RIGHT).log()) == 0


@pytest.mark.parametrize("separation", [3.0, 50.0, 300.0])
def test_left_right_model_in_extreme_data(separation):
    """States are passed once, in order: the likelihood is a sum over two jump times, written out."""
    steps, jumps = 30, (9, 21)
    mean = separation * torch.arange(3, dtype=torch.float64).unsqueeze(-1)
    logits = double(LEFT_RIGHT).log().requires_grad_()
    hmm = HMM(
        double([1.0, 0.0, 0.0]),
        logits.softmax(-1),
        GaussianEmission(mean, torch.ones(3, 1, 1, dtype=torch.float64)),
    )
    truth = sum((torch.arange(steps) >= jump).long() for jump in jumps)
    y = (mean[truth] + 0.3 * torch.sin(torch.arange(steps, dtype=torch.float64)).unsqueeze(-1)).unsqueeze(0)
    evidence = hmm.log_evidence(check_observations(hmm, y))[0]
    terms = []
    for first in range(1, steps + 1):
        for second in range(first + 1, steps + 2):
            path = sum((torch.arange(steps) >= jump).long() for jump in (first, second))
            pairs = double(LEFT_RIGHT).log()[path[:-1], path[1:]].sum()
            if first < steps or second == steps + 1:
                terms.append(pairs + evidence[torch.arange(steps), path].sum())
    log_likelihood = hmm_log_likelihood(hmm, y)
    torch.testing.assert_close(log_likelihood[0], torch.stack(terms).logsumexp(0), rtol=1e-11, atol=1e-9)
    (gradient,) = torch.autograd.grad(log_likelihood.sum(), logits)
    assert gradient.isfinite().all() and (gradient[double(LEFT_RIGHT) == 0] == 0).all()
    assert torch.equal(viterbi(hmm, y).path[0], truth)
    assert (hmm_smoother(hmm, y).pair_counts[0][double(LEFT_RIGHT) == 0] == 0).all()


def test_state_revived_after_it_was_all_but_excluded():
    """Without any transition, state 1 is behind by 5000 nats, then ahead: scaling would lose it."""
    hmm = HMM(
        double([0.5, 0.5]),
        double([[1.0, 0.0], [0.0, 1.0]]),
        GaussianEmission(double([[0.0], [100.0]]), torch.ones(2, 1, 1, dtype=torch.float64)),
    )
    y = double([0.0, 100.0, 100.0]).reshape(1, 3, 1)
    torch.testing.assert_close(hmm_filter(hmm, y).probability[0], double([[1, 0], [0.5, 0.5], [0, 1.0]]))
    expected = double(0.5).log() - 5000 - 1.5 * torch.log(double(2 * torch.pi))
    torch.testing.assert_close(hmm_log_likelihood(hmm, y)[0], expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("forbid", [False, True], ids=["dense", "forbidden"])
def test_float32_on_ten_thousand_steps(forbid, device, generator):
    steps = 2_000 if forbid or device.type == "cuda" else 10_000  # log space is several times slower
    transition = torch.tensor([[0.9, 0.1, 0.0 if forbid else 1e-3], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    transition = (transition / transition.sum(-1, keepdim=True)).to(device)
    emission = GaussianEmission(
        torch.tensor([[0.0], [1.5], [4.0]], device=device), torch.ones(3, 1, 1, device=device)
    )
    narrow = HMM(torch.full((3,), 1 / 3, device=device), transition, emission)
    wide = as_double(narrow)
    y = simulate_hmm(narrow, steps, 2, generator).observations
    close = {"rtol": 3e-6, "atol": 0.0}
    expected = hmm_log_likelihood(wide, y.double())
    torch.testing.assert_close(hmm_log_likelihood(narrow, y).double(), expected, **close)
    smoothed = hmm_smoother(narrow, y)
    torch.testing.assert_close(smoothed.log_likelihood.double(), expected, **close)
    probability = hmm_smoother(wide, y.double()).probability
    torch.testing.assert_close(smoothed.probability.double(), probability, rtol=0, atol=2e-5)
    decoded, exact = viterbi(narrow, y), viterbi(wide, y.double())
    assert (decoded.path == exact.path).double().mean() > 0.999
    torch.testing.assert_close(decoded.log_probability.double(), exact.log_probability, **close)


@pytest.mark.parametrize("transition", [LEFT_RIGHT, [[0.8, 0.1, 0.1]] * 3], ids=["left-right", "dense"])
def test_impossible_series_is_named_and_leaves_the_others_alone(transition):
    """No state shows symbol 2 here; in the left-right model, symbol 0 cannot follow symbol 1 either."""
    logits = double(transition).log().requires_grad_()
    probabilities = double([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    hmm = HMM(double([0.5, 0.5, 0.0]), logits.softmax(-1), CategoricalEmission(probabilities))
    y = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 1]])
    log_likelihood = hmm_log_likelihood(hmm, y)
    assert log_likelihood[0].isfinite() and log_likelihood[1] == -torch.inf
    alone = hmm_log_likelihood(hmm, y[:1])
    torch.testing.assert_close(log_likelihood[:1], alone)
    gradients = [
        torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (log_likelihood[0], alone[0])
    ]
    torch.testing.assert_close(*gradients)
    with pytest.raises(
        ValueError, match="y is impossible under this HMM: the log-likelihood of series 1 is -inf"
    ):
        hmm_log_likelihood(hmm, y).sum().backward()
    message = "y is impossible under this HMM: series 1 has probability 0 at step 2 given its past"
    for function in (hmm_filter, hmm_smoother, viterbi, lambda hmm, y: hmm_as_rnn(hmm)(y)):
        with pytest.raises(ValueError, match=message):
            function(hmm, y)


def test_series_made_impossible_by_a_forbidden_transition():
    hmm = HMM(
        double([1.0, 0.0, 0.0]),
        double(LEFT_RIGHT),
        CategoricalEmission(double([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])),
    )
    y = torch.tensor([[0, 1, 0, 1, 1]])
    assert hmm_log_likelihood(hmm, y).item() == -torch.inf
    for function in (hmm_filter, hmm_smoother, viterbi, lambda hmm, y: hmm_as_rnn(hmm)(y)):
        with pytest.raises(ValueError, match="series 0 has probability 0 at step 2 given its past"):
            function(hmm, y)


def drawn(states, steps, seed):
    """A model without forbidden transitions, counts from 0 to 4, and a mask with holes."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    hmm = HMM(
        draw(states).softmax(-1),
        (2 * draw(states, states)).softmax(-1),
        PoissonEmission(draw(states, 2).exp()),
    )
    y = torch.randint(0, 5, (3, steps, 2), generator=generator)
    return hmm, y, torch.rand(3, steps, 2, generator=generator) > 0.3


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**31))
def test_scaled_recursions_equal_the_plain_loops(states, steps, seed):
    hmm, y, mask = drawn(states, steps, seed)
    evidence = (
        hmm.log_initial,
        hmm.log_transition,
        hmm.log_evidence(check_observations(hmm, y, mask)),
    )
    valid = torch.arange(steps) < torch.tensor([steps, steps // 2, 0]).unsqueeze(-1)
    interval = safe_interval(hmm.log_transition)
    log_alpha, log_c = forward(*evidence)
    close = {"rtol": 1e-11, "atol": 1e-12}
    torch.testing.assert_close(scaled_forward(*evidence, interval), (log_alpha.exp(), log_c), **close)
    torch.testing.assert_close(scaled_smooth(*evidence, valid, interval), smooth(*evidence, valid), **close)
    torch.testing.assert_close(scaled_log_likelihood(*evidence, interval), log_c.sum(-1), **close)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**31))
def test_every_way_to_the_likelihood_agrees(states, steps, seed):
    """Scaled from both ends, scaled from the start, smoothed, and the recursion written out."""
    hmm, y, mask = drawn(states, steps, seed)
    ways = (
        hmm_log_likelihood(hmm, y, mask),
        hmm_filter(hmm, y, mask).log_likelihood,
        hmm_smoother(hmm, y, mask).log_likelihood,
    )
    for log_likelihood in ways:
        expected = plain_log_likelihood(hmm, y, mask)
        torch.testing.assert_close(log_likelihood, expected, rtol=1e-12, atol=1e-12)
