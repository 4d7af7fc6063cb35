import numpy as np
import pytest
import torch

from helpers.explorers import extreme_settings, gradients
from helpers.explorers.engine import BlittedFigure

DEFAULTS = {control.name: control.value for control in gradients.CONTROLS}
SETTINGS = [DEFAULTS, *extreme_settings(gradients.CONTROLS)]
ACTIVATIONS = {
    "tanh": (np.tanh, lambda after: 1 - after**2),
    "relu": (lambda before: np.maximum(before, 0), lambda after: (after > 0).astype(float)),
    "linear": (lambda before: before, np.ones_like),
}


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def fading(settings):
    return gradients.model(**settings)


@pytest.fixture(scope="module")
def drawing():
    picture = gradients.Picture()
    return picture, BlittedFigure(picture.figure, picture.moving)


def weights_of(settings):
    net = gradients.network(settings["spectral_radius"], settings["input_gain"], settings["activation"])
    return net.W_hh.detach().numpy(), net.W_xh.detach().numpy()


def by_hand(settings):
    """Sizes of a_{k-1} = J_kᵀ a_k from a_T = c, and the last Jacobian of the first series."""
    _, _, inputs, starts, direction = (tensor.numpy() for tensor in gradients._draws())
    W_hh, W_xh = weights_of(settings)
    phi, slope = ACTIVATIONS[settings["activation"]]
    states = [starts]
    for step in range(int(settings["length"])):
        states.append(phi(states[-1] @ W_hh.T + inputs[:, step] @ W_xh.T))
    adjoint = np.broadcast_to(direction, starts.shape)
    sizes = [np.linalg.norm(adjoint, axis=1)]
    for after in states[:0:-1]:
        adjoint = (adjoint * slope(after)) @ W_hh
        sizes.append(np.linalg.norm(adjoint, axis=1))
    return np.stack(sizes, axis=1), slope(states[-1][0])[:, None] * W_hh


def test_sizes_are_those_of_the_adjoint_recursion_by_hand(settings, fading):
    sizes, last_jacobian = by_hand(settings)
    np.testing.assert_allclose(fading.sizes, sizes, rtol=1e-5)  # chaos enlarges the last digit's difference
    expected = np.linalg.eigvals(last_jacobian)
    apart = np.abs(fading.step_eigenvalues[:, None] - expected[None, :])
    assert apart.min(1).max() < 1e-6
    assert apart.min(0).max() < 1e-6


def test_no_gradient_outgrows_the_spectral_norm_and_each_begins_at_one(fading):
    np.testing.assert_allclose(fading.sizes[:, 0], 1.0, rtol=1e-12)
    bound = fading.spectral_norm ** np.arange(fading.length + 1)
    assert (fading.sizes <= bound * (1 + 1e-12)).all()


def test_eigenvalues_reach_the_spectral_radius_and_the_norm_is_the_largest_singular_value(settings, fading):
    assert np.abs(fading.eigenvalues).max() == pytest.approx(settings["spectral_radius"], rel=1e-9, abs=1e-12)
    largest = np.linalg.svd(weights_of(settings)[0], compute_uv=False)[0]
    assert fading.spectral_norm == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("spectral_radius", [0.5, 1.0, 1.5])
def test_a_linear_network_multiplies_by_its_matrix_whatever_its_inputs(spectral_radius):
    fading = gradients.model(spectral_radius, 3.0, "linear", 40.0)
    matrix, *_, direction = (tensor.numpy() for tensor in gradients._draws())
    for k in (1, 7, 40):
        power = np.linalg.matrix_power(spectral_radius * matrix, k)
        np.testing.assert_allclose(fading.sizes[:, k], np.linalg.norm(direction @ power), rtol=1e-9)
    np.testing.assert_allclose(np.sort_complex(fading.step_eigenvalues), np.sort_complex(fading.eigenvalues))


@pytest.mark.parametrize("spectral_radius", [0.8, 1.2, 2.0])
def test_in_the_long_run_a_linear_network_follows_its_spectral_radius(spectral_radius):
    fading = gradients.model(spectral_radius, 0.5, "linear", 100.0)
    assert fading.factor_per_step == pytest.approx(spectral_radius, rel=0.01)


def test_a_radius_above_one_still_vanishes_once_inputs_saturate_the_units():
    factors = [gradients.model(1.5, gain, "tanh", 100.0).factor_per_step for gain in (0.0, 0.5, 1.0, 3.0)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] > 1 > 0.8 > factors[-1]


def test_relu_silences_half_of_the_units_and_so_loses_about_a_root_of_two_per_step():
    fading = gradients.model(2.0, 0.5, "relu", 100.0)
    assert fading.factor_per_step == pytest.approx(np.sqrt(2), rel=0.05)


def test_a_network_without_memory_passes_nothing_on():
    fading = gradients.model(0.0, 0.5, "tanh", 10.0)
    np.testing.assert_array_equal(fading.sizes[:, 1:], 0.0)
    assert fading.factor_per_step == 0.0
    np.testing.assert_array_equal(fading.eigenvalues, 0.0)


def test_median_and_factor_of_a_case_worked_by_hand():
    sizes = np.array([[1.0, 2.0, 4.0], [1.0, 3.0, 9.0], [1.0, 0.0, 0.0]])
    fading = gradients.Fading(1.0, 1.0, sizes, eigenvalues=np.zeros(1), step_eigenvalues=np.zeros(1))
    np.testing.assert_array_equal(fading.median, [1.0, 2.0, 4.0])
    assert fading.length == 2
    assert fading.factor_per_step == pytest.approx(2.0)


def test_model_leaves_the_global_random_stream_alone():
    before = torch.get_rng_state()
    first, second = (gradients.model(**DEFAULTS) for _ in range(2))
    np.testing.assert_array_equal(first.sizes, second.sizes)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_corner_is_drawn_from_finite_numbers_within_reach_of_the_axes(drawing, fading):
    picture, blitted = drawing
    picture.draw(fading)
    assert blitted.png()
    profile, plane = picture.figure.axes
    low, high = profile.get_ylim()
    for line in profile.get_lines()[1:]:
        drawn = np.asarray(line.get_ydata())
        assert (low / 10 <= drawn).all()
        assert (drawn <= high * 10).all()
    for eigenvalues in (fading.eigenvalues, fading.step_eigenvalues):
        assert np.abs(eigenvalues).max() < plane.get_xlim()[1]
    words = picture.describe(fading)
    assert "nan" not in words
    assert "inf" not in words


def test_what_leaves_the_picture_is_drawn_leaving_it_and_said(drawing):
    picture, _ = drawing
    exploding = gradients.model(2.0, 0.5, "linear", 100.0)
    picture.draw(exploding)
    assert max(picture.figure.axes[0].get_lines()[2].get_ydata()) > gradients.SIZE_RANGE[1]
    k = int(np.argmax(exploding.median > gradients.SIZE_RANGE[1]))
    assert f"leaves the picture, above 1e+10, at k = {k}." in picture.describe(exploding)
    assert "below 1e-10, at k = 1." in picture.describe(gradients.model(0.0, 0.5, "tanh", 10.0))
    assert "leaves" not in picture.describe(gradients.model(**DEFAULTS))


def test_words_say_what_the_picture_shows(drawing):
    fading = gradients.model(1.0, 0.5, "linear", 10.0)
    words = drawing[0].describe(fading)
    size = f"{fading.sizes[0, -1]:.2g}"
    assert words.startswith(f"10 steps before the end, the gradient is {size} times what it is at the end")
    assert f"(median of 16 series, {size} to {size})" in words
    assert "spectral radius 1.00, with 0 of 32" in words


def test_a_gradient_that_vanishes_at_once_is_drawn_clear_of_the_axis(drawing):
    profile = drawing[0].figure.axes[0]
    start, spine = profile.transData.transform([(0, 1), (profile.get_xlim()[0], 1)])[:, 0]
    assert start - spine > 4
