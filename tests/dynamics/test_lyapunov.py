"""Lyapunov exponents with known values, finite-time stretching against its definition, and misuse."""

import math

import pytest
import torch

from helpers.dynamics import Flow, Map, ftle, lyapunov_spectrum
from helpers.systems import Lorenz, ToggleSwitch


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(weight):
    def step(h, x=0.0):
        return torch.tanh(h @ weight.T + x)

    return Map(step, lambda h, x=0.0: (1 - step(h, x).square())[..., None] * weight)


def test_lorenz():
    """λ₁ = 0.9056 (Sprott 2003, table A.3); λ₂ = 0; their sum is -(σ + 1 + β)."""
    start = random(600, 3) + torch.tensor([0.0, 0.0, 25.0])
    result = lyapunov_spectrum(Flow(Lorenz()), start, 4000, transient=500, dt=0.01)
    mean = result.exponents.mean(0)
    assert mean[0].item() == pytest.approx(0.9056, abs=0.005)
    assert mean[1].item() == pytest.approx(0.0, abs=0.004)
    assert mean.sum().item() == pytest.approx(-41 / 3, abs=0.001)
    scatter, expected = result.exponents[:, 0].std(), result.standard_error[:, 0].square().mean().sqrt()
    assert 1 < expected / scatter < 3  # 2.5: cautious on so short a run


def test_standard_error_of_independent_growths():
    """h ← x_t h with x_t log-normal, σ = ½: λ is the mean of ln x_t, its standard error σ / √T."""
    drive = Map(lambda h, x: x * h, lambda h, x: x[..., None])
    growth = 0.5 * random(40, 6400, 1)
    result = lyapunov_spectrum(drive, 1e-9 + 0 * growth[:, 0], 6400, inputs=growth.exp())
    torch.testing.assert_close(result.exponents, growth.mean(1), rtol=0, atol=1e-12)
    assert result.standard_error.mean().item() == pytest.approx(0.5 / 80, rel=0.1)


def test_logistic_map():
    start = torch.rand(50, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    result = lyapunov_spectrum(Map(lambda x: 4 * x * (1 - x)), start, 4000, transient=50)
    assert result.exponents.mean().item() == pytest.approx(math.log(2), abs=0.001)
    torch.testing.assert_close(result.trace[:, -1], result.exponents, rtol=1e-12, atol=1e-12)
    assert result.trace.shape == (50, len(result.times), 1) and result.times[-1] == 4000


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_quiet_network_forgets_at_the_rate_of_its_eigenvalues(seed):
    """h → 0, J → W: every λ is ln |eigenvalue| of W, complex pairs included."""
    weight = random(8, 8, seed=seed)
    eigenvalues = torch.linalg.eigvals(weight).abs().sort(descending=True).values
    weight, eigenvalues = 0.9 * weight / eigenvalues[0], 0.9 * eigenvalues / eigenvalues[0]
    result = lyapunov_spectrum(network(weight), random(2, 8), 4000, transient=400, smooth_average=True)
    expected = eigenvalues.log().expand(2, -1)
    torch.testing.assert_close(result.exponents, expected, rtol=0, atol=1e-6)


def test_a_driven_network_against_one_qr_at_each_step(device):
    """Plain Benettin: a Jacobian by autograd and a QR decomposition at every step."""
    weight, inputs, start = 1.3 * random(6, 6) / 6**0.5, 0.5 * random(2, 300, 6), random(2, 6, seed=2)
    system = network(weight.to(device))
    both = [
        lyapunov_spectrum(of, start.to(device), 200, transient=100, inputs=inputs.to(device)).exponents.cpu()
        for of in (system, Map(system.step))
    ]
    torch.testing.assert_close(*both, rtol=1e-9, atol=1e-9)
    step, expected = network(weight).step, []
    for state, sequence in zip(start, inputs, strict=True):
        tangents, growth = torch.linalg.qr(random(6, 6, seed=5)).Q, torch.zeros(6, dtype=torch.float64)
        for t, x in enumerate(sequence):
            jacobian = torch.autograd.functional.jacobian(lambda h, x=x: step(h, x), state)
            state = step(state, x)
            tangents, triangle = torch.linalg.qr(jacobian @ tangents)
            growth = growth + (t >= 100) * triangle.diagonal().abs().log() / 200
        expected.append(growth)
    torch.testing.assert_close(both[0], torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_the_first_exponents_alone_are_the_same():
    weight = (random(5, 5) + random(5, 5).T) / 6  # real eigenvalues: no pair to be cut in two
    every = lyapunov_spectrum(network(weight), random(1, 5), 2000, transient=300, smooth_average=True)
    two = lyapunov_spectrum(network(weight), random(1, 5), 2000, transient=300, smooth_average=True, count=2)
    assert two.exponents.shape == (1, 2)
    torch.testing.assert_close(two.exponents, every.exponents[:, :2], rtol=0, atol=1e-7)


def test_linear_flow_with_per_sample_rates_and_dtype():
    """y' = a y has λ = a; float32 stays float32."""
    rate = torch.tensor([-1.0, 0.5])
    flow = Flow(lambda t, y: rate[:, None] * y)
    result = lyapunov_spectrum(flow, torch.ones(2, 1), 100, dt=0.05)
    assert result.exponents.dtype == torch.float32
    torch.testing.assert_close(result.exponents[:, 0], rate, rtol=1e-4, atol=0)


def test_dead_directions_have_exponent_minus_infinity():
    flat = Map(lambda h: torch.stack((h[:, 0] / 2, 0 * h[:, 0]), -1))
    exponents = lyapunov_spectrum(flat, torch.ones(1, 2, dtype=torch.float64), 64, transient=8).exponents[0]
    assert exponents.tolist() == [pytest.approx(-math.log(2)), -math.inf]


def turned(second, dtype):
    """A linear map with singular values 1 and `second`, in no particular directions."""
    c, s = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return (turn @ torch.diag(torch.tensor([1.0, second], dtype=torch.float64)) @ turn.T).to(dtype)


@pytest.mark.parametrize(
    ("matrix", "second"),
    [
        pytest.param(turned(1e-5, torch.float32), math.log(1e-5), id="float32"),
        pytest.param(turned(1e-12, torch.float64), math.log(1e-12), id="float64"),
        pytest.param(torch.diag(torch.tensor([1.0, 1e-20])), math.log(1e-20), id="graded, float32"),
        pytest.param(turned(1e-20, torch.float64), -math.inf, id="below round-off, float64"),
        pytest.param(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), -math.inf, id="singular, float32"),
        pytest.param(torch.tensor([[0.5, 0.5], [0.5, 0.5]]).double(), -math.inf, id="rank one, float64"),
    ],
)
def test_a_direction_that_shrinks_much_in_one_step(matrix, second):
    start = torch.ones(1, 2, dtype=matrix.dtype)
    found = lyapunov_spectrum(Map(lambda h: h @ matrix.T), start, 100, transient=5).exponents[0]
    assert found.tolist() == [pytest.approx(0.0, abs=2e-6), pytest.approx(second, rel=2e-3)]


@pytest.mark.parametrize("second", [1e-9, 1e-12, 1e-20])
def test_what_the_round_off_of_float32_hides_is_refused(second):
    matrix = turned(second, torch.float32)
    with pytest.raises(ValueError, match="start must be float64: round-off of torch.float32 hides how expon"):
        lyapunov_spectrum(Map(lambda h: h @ matrix.T), torch.ones(1, 2), 100)


def test_the_dead_units_of_a_network_are_directions_that_die_out():
    """Of three units one is never active: J has rank two, which round-off would make three."""
    W = torch.tensor([[0.6, 0.3, 0.1], [-0.2, 0.7, 0.3], [0.4, -0.1, 0.5]], dtype=torch.float64)
    bias = torch.tensor([1.0, 1.0, -9.0], dtype=torch.float64)
    start = torch.full((1, 3), 0.3, dtype=torch.float64)
    found = lyapunov_spectrum(Map(lambda h: torch.relu(h @ W.T + bias)), start, 200, transient=20).exponents
    sizes = torch.linalg.eigvals(W[:2, :2]).abs().log()
    assert found[0, :2].tolist() == pytest.approx(sizes.tolist(), abs=0.02)
    assert found[0, 2] == -math.inf


def test_few_blocks_have_no_standard_error():
    result = lyapunov_spectrum(network(random(3, 3)), random(1, 3), 10)
    assert result.standard_error.isnan().all()


def test_same_answer_at_every_call_and_with_any_generator():
    system, start = network(random(4, 4)), random(1, 4)
    first, again = (lyapunov_spectrum(system, start, 50).exponents for _ in range(2))
    other = lyapunov_spectrum(system, start, 50, generator=torch.Generator().manual_seed(9)).exponents
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_ftle_is_the_logarithm_of_the_largest_stretching():
    flow, start, steps = Flow(Lorenz()), random(3, 3), 100

    def after(y):
        for _ in range(steps):
            y = flow.every(0.01).step(y)
        return y

    largest = [
        torch.linalg.matrix_norm(torch.autograd.functional.jacobian(after, row), ord=2) for row in start
    ]
    torch.testing.assert_close(
        ftle(flow, start, steps, dt=0.01), torch.stack(largest).log(), rtol=1e-9, atol=1e-9
    )


def test_ftle_neither_overflows_nor_underflows():
    doubling = Map(lambda h: 2 * h)
    assert ftle(doubling, torch.full((1, 1), 1e-300, dtype=torch.float64), 1900).item() == pytest.approx(
        math.log(2)
    )
    weight = torch.tensor([[0.0, 4.0], [-0.25, 0.0]], dtype=torch.float64)
    linear = Map(lambda h, x: h @ weight.T + x)
    driven = ftle(linear, random(2, 2), 3, inputs=random(2, 3, 2))
    torch.testing.assert_close(driven, torch.full((2,), math.log(4) / 3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("slope", [1e-30, 1e-15, 1e-7, 1e5, 1e12, 1e30])
def test_slopes_near_the_ends_of_the_dtype(slope, dtype):
    """A map that returns to ½ whatever its slope there: every exponent is ln |slope|."""
    steep = Map(lambda h: 0.5 + 0 * h, lambda h: torch.full((*h.shape, 1), slope, dtype=dtype))
    start = torch.full((2, 1), 0.5, dtype=dtype)
    expected = torch.full((2,), math.log(slope), dtype=dtype)
    torch.testing.assert_close(ftle(steep, start, 43), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        lyapunov_spectrum(steep, start, 43).exponents[:, 0], expected, rtol=1e-5, atol=0
    )


def test_a_dead_sample_leaves_the_others_alone():
    rectifier = Map(lambda h: 1.5 * torch.relu(h - 0.6))
    start = torch.tensor([[0.5], [3.0], [0.7]], dtype=torch.float64)
    for found in (ftle(rectifier, start, 50), lyapunov_spectrum(rectifier, start, 50).exponents[:, 0]):
        assert found.tolist() == [-math.inf, pytest.approx(math.log(1.5)), -math.inf]


@pytest.mark.parametrize("smooth_average", [False, True])
def test_a_superstable_cycle(smooth_average):
    """1 → 0 → 1 under 1 - h² passes its critical point at every second step."""
    start = torch.tensor([[0.0], [0.3]], dtype=torch.float64)
    found = lyapunov_spectrum(Map(lambda h: 1 - h.square()), start, 300, smooth_average=smooth_average)
    assert found.exponents[0].item() == -math.inf and not found.exponents[1].isnan()
    assert found.standard_error[0].isnan()


def roessler(t, s):
    x, y, z = s.unbind(-1)
    return torch.stack((-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)), -1)


@pytest.mark.parametrize(
    "field, dt",
    [
        pytest.param(Lorenz(), 0.12, id="Lorenz"),
        pytest.param(Lorenz(), 0.1, id="Lorenz, less long"),
        pytest.param(lambda t, y: -40 * y, 0.04, id="decay at 1.6 times the step"),
        pytest.param(lambda t, y: 1e9 * roessler(t, y), 0.25e-9, id="Rössler in nanoseconds"),
    ],
)
@pytest.mark.parametrize("tool", [lyapunov_spectrum, ftle])
def test_steps_too_long_are_refused(tool, field, dt):
    with pytest.raises(ValueError, match=rf"dt must be shorter: .* along sample 0: got {dt:g}"):
        tool(Flow(field), torch.tensor([[1.0, 2.0, 20.0]], dtype=torch.float64), 400, dt=dt)


def driven_duffing(t, y):
    x, v = y.unbind(-1)
    return torch.stack((v, -0.3 * v + x - x**3 + 0.5 * math.cos(1.2 * t)), -1)


def phase_of_duffing(t, y):
    x, v, phase = y.unbind(-1)
    return torch.stack((v, -0.3 * v + x - x**3 + 0.5 * (1.2 * phase).cos(), torch.ones_like(x)), -1)


def test_a_driven_flow_has_the_exponents_of_its_phase_space():
    """The drive's phase has exponent 0, and their sum is the damping; chaos: one is positive."""
    with pytest.raises(ValueError, match=r"system must not depend on time: .* the phase φ of the drive"):
        lyapunov_spectrum(Flow(driven_duffing), torch.ones(1, 2), 10, dt=0.05)
    start = random(40, 3)
    found = lyapunov_spectrum(Flow(phase_of_duffing), start, 3000, transient=1000, dt=0.05).exponents.mean(0)
    assert found.sum().item() == pytest.approx(-0.3, abs=1e-4) and found[0] > 0.05


def exploding(h):
    return h.square()


@pytest.mark.parametrize("tool", [lyapunov_spectrum, ftle])
def test_divergence_says_when_and_which_sample(tool):
    start = torch.tensor([[0.5], [2.0], [0.1]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"the state diverged: sample 1 is not finite at t = 10$"):
        tool(Map(exploding), start, 20)
    with pytest.raises(ValueError, match=r"sample 0 is not finite at t = 10 \(and 1 other samples\)"):
        tool(Map(exploding), torch.full((2, 1), 2.0, dtype=torch.float64), 20)


ONE = torch.ones(2, 1, dtype=torch.float64)


@pytest.mark.parametrize(
    "system, start, options, message",
    [
        pytest.param(Map(exploding), ONE, {"dt": 0.1}, "dt must be left out for a map", id="dt for a map"),
        pytest.param(
            Flow(ToggleSwitch(1.0)), torch.ones(2, 2), {}, "dt must be given for a flow", id="flow without dt"
        ),
        pytest.param(
            Flow(ToggleSwitch(1.0)),
            torch.ones(2, 2),
            {"dt": -1.0},
            "dt must be positive and finite: got -1.0",
            id="negative dt",
        ),
        pytest.param(
            ToggleSwitch(1.0),
            torch.ones(2, 2),
            {},
            "system must be a Map or a Flow: got ToggleSwitch",
            id="no system",
        ),
        pytest.param(
            Map(exploding),
            ONE,
            {"inputs": torch.ones(2, 9, 1)},
            r"shape \(B, steps, I\) = \(2, 10, I\)",
            id="inputs too short",
        ),
        pytest.param(
            Map(exploding),
            ONE,
            {"inputs": [1]},
            "inputs must be a floating-point tensor: got list",
            id="list of inputs",
        ),
        pytest.param(
            Lorenz(),
            torch.ones(2, 3),
            {"dt": 0.1},
            r"got Lorenz; of a vector field f\(t, y\) make one by Flow\(Lorenz\(…\)\)",
            id="field",
        ),
        pytest.param(
            Flow(ToggleSwitch(1.0)),
            ONE,
            {"inputs": ONE, "dt": 1.0},
            "inputs must be left out for a flow",
            id="inputs for a flow",
        ),
        pytest.param(
            Map(lambda h: h[:, :0]),
            ONE,
            {},
            "system must return the shape of its state",
            id="map of another shape",
        ),
        pytest.param(Map(exploding), ONE[0], {}, r"start must have shape \(B, D\)", id="start without batch"),
        pytest.param(
            Map(exploding),
            ONE,
            {"count": 2},
            "count must be at most the number of variables, 1: got 2",
            id="too many exponents",
        ),
        pytest.param(
            Map(exploding),
            ONE,
            {"count": 0},
            "count must be a whole number of at least 1: got 0",
            id="no exponents",
        ),
        pytest.param(
            Map(exploding),
            ONE,
            {"transient": -1},
            "transient must be a whole number of at least 0: got -1",
            id="negative transient",
        ),
        pytest.param(
            Map(exploding),
            ONE,
            {"steps": 0},
            "steps must be a whole number of at least 1: got 0",
            id="no steps",
        ),
    ],
)
def test_misuse(system, start, options, message):
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(system, start, **({"steps": 10} | options))


def test_one_exponent_of_a_long_calm_run_needs_no_qr_beyond_a_chunk():
    """The interval between two decompositions may not outgrow the chunk: it would pass every integer."""
    shrink = torch.full((40,), 0.9, dtype=torch.float64)
    calm = Map(lambda h: shrink * h, lambda h: torch.diag(shrink).expand(len(h), 40, 40))
    start = torch.ones(64, 40, dtype=torch.float64)
    found = lyapunov_spectrum(calm, start, 6000, count=1)
    torch.testing.assert_close(found.exponents, shrink[:1].log().expand(64, 1))
