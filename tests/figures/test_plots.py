"""What the drawing functions put on the axes: the artists' data, and a label for every mark."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgba
from matplotlib.quiver import Quiver

from helpers.figures import (
    LINE_STYLES,
    PALETTE,
    as_array,
    plot_band,
    plot_basins,
    plot_branch,
    plot_curves,
    plot_fixed_points,
    plot_forecast,
    plot_gates,
    plot_phase_portrait,
    plot_product,
    plot_profile,
    plot_seeds,
    plot_spectrum,
    plot_success,
    theme,
)


@pytest.fixture
def ax():
    before = mpl.get_backend()
    mpl.use("agg")
    with theme():
        fig, ax = plt.subplots()
        yield ax
    plt.close(fig)
    mpl.use(before)


def line_called(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param([1, 2], [1, 2], id="list"),
        pytest.param(torch.tensor([1.0], requires_grad=True), [1.0], id="with a gradient"),
        pytest.param(torch.tensor([1 + 2j]).conj(), [1 - 2j], id="conjugated"),
        pytest.param(torch.tensor([0.5], dtype=torch.bfloat16), [0.5], id="bfloat16"),
    ],
)
def test_any_numbers_become_an_array(value, expected):
    np.testing.assert_array_equal(as_array(value), expected)


def test_curves_differ_in_colour_and_style_and_are_named(ax):
    plot_curves(ax, torch.arange(3), {"a": torch.ones(3), "b": [0, 1, 2]})
    first, second = ax.lines
    np.testing.assert_array_equal(second.get_xydata(), [[0, 0], [1, 1], [2, 2]])
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()
    assert legend_of(ax) == ["a", "b"]


def test_more_curves_than_can_be_told_apart_are_refused(ax):
    with pytest.raises(ValueError, match="curves must be at most 8, to be told apart: got 9"):
        plot_curves(ax, [0], {str(n): [n] for n in range(len(LINE_STYLES) + 1)})


def test_one_curve_needs_no_legend(ax):
    plot_curves(ax, [0, 1], {"alone": [0, 1]}, markers=True)
    assert ax.get_legend() is None and ax.lines[0].get_marker() == "o"


def test_profile_is_straight_on_its_axis_and_marks_rounding(ax):
    plot_profile(ax, range(5), {"ρ = 0.5": 0.5 ** np.arange(5)}, rounding=2**-24)
    ax.figure.canvas.draw()
    curve = ax.transData.transform(line_called(ax, "ρ = 0.5").get_xydata())
    np.testing.assert_allclose(np.diff(curve, 2, axis=0), 0, atol=1e-8)
    assert ax.lines[-1].get_ydata()[0] == 2**-24 and ax.texts[0].get_text() == "rounding error"


def test_band_spans_its_edges_with_truth_beside_it(ax):
    plot_band(
        ax, [0, 1, 2], [0, 1, 0], [2, 3, 4], middle=[1, 2, 2], truth=torch.tensor([1, 1, 1]), label="95 %"
    )
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices}
    assert {(0, 0), (1, 1), (2, 0), (0, 2), (1, 3), (2, 4)} <= corners
    np.testing.assert_array_equal(line_called(ax, "truth").get_ydata(), [1, 1, 1])
    assert legend_of(ax) == ["95 %", "estimate", "truth"]


def test_forecast_begins_after_what_was_seen(ax):
    plot_forecast(ax, ([0, 1], [5, 6]), ([2, 3], [4, 3], [6, 6], [8, 9]), truth=([2, 3], [7, 7]))
    np.testing.assert_array_equal(line_called(ax, "seen").get_xydata(), [[0, 5], [1, 6]])
    np.testing.assert_array_equal(line_called(ax, "estimate").get_xydata(), [[2, 6], [3, 6]])
    assert line_called(ax, "not seen").get_markerfacecolor() == "white"
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "-"] == [1.5]


def test_product_is_the_running_sum_of_its_factors_logarithms(ax):
    plot_product(ax, torch.tensor([10.0, 0.1, 100.0], dtype=torch.float64))
    np.testing.assert_allclose(line_called(ax, "factor").get_ydata(), [1, -1, 2])
    np.testing.assert_allclose(line_called(ax, "product so far").get_xydata(), [[1, 1], [2, 0], [3, 2]])


def test_every_seed_is_a_dot_and_the_median_a_bar(ax):
    plot_seeds(ax, {"RNN": torch.tensor([1.0, 2.0, 9.0]), "leaky": [4.0]}, baseline=0.5)
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [list(dot.get_ydata()) for dot in dots] == [[1, 2, 9], [4]]
    assert all(abs(dot.get_xdata() - place).max() <= 0.15 for place, dot in enumerate(dots))
    assert [bar.get_segments()[0][0][1] for bar in ax.collections] == [2, 4]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["RNN", "leaky"]
    assert legend_of(ax) == ["one seed", "median", "baseline"]


@pytest.fixture
def rotation():
    """States (R, C, 2) on a grid with more rows than columns, and du/dt = v, dv/dt = −u."""
    axes = torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 30)
    states = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return states, torch.stack([states[..., 1], -states[..., 0]], -1)


def test_arrows_follow_the_field_and_are_few(ax, rotation):
    plot_phase_portrait(ax, *rotation)
    (arrows,) = [artist for artist in ax.get_children() if isinstance(artist, Quiver)]
    assert 100 <= len(arrows.U) <= 18 * 18
    np.testing.assert_allclose(arrows.U * arrows.X + arrows.V * arrows.Y, 0, atol=1e-6)
    np.testing.assert_allclose(arrows.U**2 + arrows.V**2, 1, atol=1e-5)


def test_nullclines_lie_where_a_velocity_is_zero_and_are_named(ax, rotation):
    plot_phase_portrait(ax, *rotation, names=("x", "y"))
    on_du, on_dv = (np.concatenate(c.get_paths()[0].to_polygons(closed_only=False)) for c in contours(ax))
    np.testing.assert_allclose(on_du[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(on_dv[:, 0], 0, atol=1e-6)
    assert legend_of(ax) == ["dx/dt = 0", "dy/dt = 0"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_aspect()) == ("x", "y", 1)


def contours(ax):
    return [artist for artist in ax.collections if isinstance(artist, mpl.contour.ContourSet)]


def test_field_without_a_nullcline_warns_of_nothing(ax, rotation, recwarn):
    states, _ = rotation
    plot_phase_portrait(ax, states, torch.ones_like(states))
    assert contours(ax) == [] and list(recwarn) == []


def test_resting_states_have_no_direction(ax, rotation, recwarn):
    states, _ = rotation
    plot_phase_portrait(ax, states, torch.zeros_like(states))
    ax.figure.canvas.draw()
    assert list(recwarn) == []


def test_states_that_are_no_grid_are_refused(ax):
    with pytest.raises(ValueError, match=r"states and velocity must both be \(R, C, 2\): got \(9, 2\)"):
        plot_phase_portrait(ax, torch.zeros(9, 2), torch.zeros(9, 2))


def test_basins_shade_each_state_by_its_end(ax, rotation):
    states, _ = rotation
    plot_basins(ax, states, states[..., 0] > 0, ("left", "right"))
    (mesh,) = ax.collections
    mesh.update_scalarmappable()
    colours = mesh.get_facecolor().reshape(40, 30, 4)
    assert (colours[0] == colours[19]).all() and (colours[20] == colours[-1]).all()
    assert to_hex(colours[0, 0]) != to_hex(colours[-1, 0])
    assert legend_of(ax) == ["left", "right"]
    assert to_rgba(ax.get_legend().get_patches()[0].get_facecolor()) == tuple(colours[0, 0])


def test_basins_without_a_name_are_refused(ax, rotation):
    states, _ = rotation
    with pytest.raises(ValueError, match="ends must number 1 names, at most 4: got up to 1"):
        plot_basins(ax, states, states[..., 0] > 0, ("left",))


def test_fixed_points_are_marked_by_kind(ax):
    plot_fixed_points(ax, torch.tensor([[0.0, 1.0], [2.0, 2.0], [3.0, 0.0]]), ("stable", "saddle", "stable"))
    np.testing.assert_array_equal(line_called(ax, "stable").get_xydata(), [[0, 1], [3, 0]])
    assert line_called(ax, "saddle").get_markerfacecolor() == "white"
    assert line_called(ax, "saddle").get_marker() != line_called(ax, "stable").get_marker()
    assert legend_of(ax) == ["stable", "saddle"]


def test_fixed_points_of_an_unknown_kind_are_refused(ax):
    with pytest.raises(
        ValueError, match="stability must be one of stable, saddle, unstable, marginal: got focus"
    ):
        plot_fixed_points(ax, [[0, 0]], ["focus"])


@pytest.mark.parametrize("centre", [0.0, -1.0])
def test_spectrum_lies_beside_the_unit_circle(ax, centre):
    plot_spectrum(ax, {"W": torch.tensor([0.5 + 2j, -1j]), "V": np.array([-2.5, 1])}, centre=centre)
    np.testing.assert_array_equal(line_called(ax, "W").get_xydata(), [[0.5, 2], [0, -1]])
    np.testing.assert_array_equal(line_called(ax, "V").get_xydata(), [[-2.5, 0], [1, 0]])
    (circle,) = ax.patches
    assert (*circle.center, circle.radius) == (centre, 0, 1)
    assert ax.get_aspect() == 1 and legend_of(ax) == ["unit circle", "W", "V"]
    assert ax.get_xlim()[0] <= min(centre - 1, -2.5) and ax.get_ylim()[1] >= 2


def test_branch_is_solid_where_stable_and_has_no_gap(ax):
    states = np.linspace(-1, 1, 9)
    plot_branch(ax, states**3, states, torch.tensor(abs(states) >= 0.5))
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-"]
    assert [line.get_color() for line in ax.lines] == [PALETTE["blue"], PALETTE["black"], PALETTE["blue"]]
    assert all(
        a.get_ydata()[-1] == b.get_ydata()[0] for a, b in zip(ax.lines, list(ax.lines)[1:], strict=False)
    )
    assert legend_of(ax) == ["stable", "unstable"]


@pytest.fixture
def rows():
    """The axes of a signal and of two gates, one below the other."""
    before = mpl.get_backend()
    mpl.use("agg")
    with theme():
        fig, axes = plt.subplots(3, sharex=True)
        yield axes
    plt.close(fig)
    mpl.use(before)


def test_gates_are_maps_of_units_over_the_signal_s_times_on_one_scale(rows):
    times, f = torch.tensor([0.0, 1.0, 4.0]), torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    plot_gates(rows[1:], times, {"f": f, "i": 1 - f})
    rows[0].figure.canvas.draw()
    above, below = (ax.collections[0] for ax in rows[1:])
    np.testing.assert_array_equal(above.get_array(), f.numpy().T)
    np.testing.assert_array_equal(below.get_array(), (1 - f).numpy().T)
    assert above.get_clim() == below.get_clim() == (0, 1)
    np.testing.assert_allclose(above.get_coordinates()[0, :, 0], [-0.5, 0.5, 2.5, 5.5])
    assert [ax.get_ylabel() for ax in rows[1:]] == ["f\nunit", "i\nunit"]
    bar = rows[0].figure.axes[-1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0, closed", "½", "1, open"]


def test_an_open_gate_is_darker_than_a_closed_one_and_padding_is_empty(rows):
    plot_gates(rows[1:2], [0, 1, 2], {"z": [[0.0], [1.0], [np.nan]]})
    (cells,) = rows[1].collections
    rows[0].figure.canvas.draw()
    closed, opened, padding = cells.get_facecolor()
    assert opened[:3].sum() < 0.5 * closed[:3].sum()
    assert padding[3] == 0


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        pytest.param({"f": np.ones((3, 2))}, "axes must be one for each of 1 gates: got 2", id="axes"),
        pytest.param(
            {"f": np.ones((3, 2)), "i": np.ones((2, 3))},
            r"gates must be \(3, H\), as times: i is \(2, 3\)",
            id="turned round",
        ),
        pytest.param(
            {"f": np.ones(3), "i": np.ones(3)},
            r"gates must be \(3, H\), as times: f is \(3,\)",
            id="one unit",
        ),
    ],
)
def test_gates_that_do_not_fit_are_refused(rows, gates, message):
    with pytest.raises(ValueError, match=message):
        plot_gates(rows[1:], [0, 1, 2], gates)


def test_success_stands_on_its_interval_each_cell_beside_the_others(ax):
    shares = {"LSTM": torch.tensor([1.0, 0.5]), "GRU": [0.9, np.nan]}
    edges = {"GRU": [[0.6, 0.98], [np.nan, np.nan]], "LSTM": torch.tensor([[0.72, 1.0], [0.25, 0.75]])}
    plot_success(ax, (50, 400), shares, edges, chance=0.1)
    lstm, gru = line_called(ax, "LSTM"), line_called(ax, "GRU")
    np.testing.assert_array_equal(lstm.get_ydata(), [1, 0.5])
    assert (lstm.get_xdata() < gru.get_xdata()).all()
    assert abs(lstm.get_xdata() - [0, 1]).max() < 0.3
    assert lstm.get_marker() != gru.get_marker() and lstm.get_color() != gru.get_color()
    bars = [segment for bar in ax.collections for segment in bar.get_segments()]
    np.testing.assert_allclose(bars[0], [[lstm.get_xdata()[0], 0.72], [lstm.get_xdata()[0], 1]], atol=1e-7)
    np.testing.assert_allclose(bars[2], [[gru.get_xdata()[0], 0.6], [gru.get_xdata()[0], 0.98]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "400"]
    assert legend_of(ax) == ["LSTM", "GRU", "chance"]


def test_success_whose_share_rounds_outside_of_its_interval_is_drawn(ax):
    plot_success(ax, [50], {"RNN": [0.0]}, {"RNN": [[1e-17, 0.28]]})
    assert line_called(ax, "RNN").get_ydata()[0] == 0


def test_success_without_its_interval_is_refused(ax):
    with pytest.raises(ValueError, match="intervals must be of the cells LSTM, GRU: got LSTM"):
        plot_success(ax, [50], {"LSTM": [1], "GRU": [1]}, {"LSTM": [[0, 1]]})
