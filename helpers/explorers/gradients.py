"""Explorer of chapter 03: what decides how much of a gradient reaches the past."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from helpers.explorers.drawing import legend_above, outline, plot_reference
from helpers.explorers.engine import Choice, Explorer, Slider
from helpers.figures import PALETTE, theme
from helpers.recurrent import VanillaRNN, gradient_profile, spectral_radius_, step_jacobians

UNITS, FEATURES, SERIES, LONGEST = 32, 4, 16, 100
STEPS = np.arange(LONGEST + 1)
SIZE_RANGE = (1e-10, 1e10)
"""What the left picture shows, as multiples of the gradient at the end."""
LARGEST_RADIUS = 2.0
ROUND_OFF = 1e-9
"""How far an eigenvalue on the unit circle may be computed outside it."""

CONTROLS = (
    Slider(
        "spectral_radius", "ρ", "", 0.0, LARGEST_RADIUS, value=1.2, step=0.05,
        meaning="Largest |eigenvalue| of W_hh: one random matrix, scaled",
    ),
    Slider(
        "input_gain", "g", "", 0.0, 3.0, value=0.5, step=0.1,
        meaning="Standard deviation of what the inputs add to each unit, before the activation",
    ),
    Choice(
        "activation", ("tanh", "relu", "linear"), "tanh",
        meaning="φ, which turns the sum of inputs into the new state",
    ),
    Slider(
        "length", "T", "steps", 10.0, float(LONGEST), value=60.0, step=5.0,
        meaning="How many steps the network runs before its loss is read off the last state",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fading:
    """How a gradient changes on its way into the past, and the eigenvalues that explain it.

    Attributes
    ----------
    spectral_radius, spectral_norm : float
        Of W_hh.
    sizes : array (16, T + 1)
        ‖∂L/∂h_{T-k}‖ of each series at `[:, k]`, as multiples of that at the end, k = 0.
    eigenvalues : array (32,), complex
        Of W_hh.
    step_eigenvalues : array (32,), complex
        Of the last step's Jacobian ∂h_T/∂h_{T-1}, in the first series.
    """

    spectral_radius: float
    spectral_norm: float
    sizes: np.ndarray
    eigenvalues: np.ndarray
    step_eigenvalues: np.ndarray

    @property
    def length(self) -> int:
        """T."""
        return self.sizes.shape[1] - 1

    @property
    def median(self) -> np.ndarray:
        """The sizes' median (T + 1,) over the series."""
        return np.median(self.sizes, axis=0)

    @property
    def factor_per_step(self) -> float:
        """What the median is multiplied by at each step back, on geometric average."""
        return float(self.median[-1] ** (1 / self.length))


@cache
def _draws() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """W_hh of spectral radius 1, W_xh with rows of length 1, inputs, first states, and the loss's direction.

    The same at every setting, so that a picture changes only because a setting did.
    """
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    recurrent = spectral_radius_(draw(UNITS, UNITS), 1.0, generator=generator)
    rows, direction = draw(UNITS, FEATURES), draw(UNITS)
    inputs, starts = draw(SERIES, LONGEST, FEATURES), draw(SERIES, UNITS)
    return recurrent, rows / rows.norm(dim=1, keepdim=True), inputs, starts, direction / direction.norm()


@torch.no_grad()
def network(spectral_radius: float, input_gain: float, activation: str) -> VanillaRNN:
    """The one random network, with its W_hh scaled to a spectral radius and its W_xh to a gain."""
    recurrent, rows, *_ = _draws()
    net = VanillaRNN(
        FEATURES, UNITS, activation, bias=False, generator=torch.Generator(), dtype=torch.float64
    )
    net.W_hh.copy_(spectral_radius * recurrent)
    net.W_xh.copy_(input_gain * rows)
    return net


def model(spectral_radius: float, input_gain: float, activation: str, length: float) -> Fading:
    """Follow the gradient of one number read off the last state back to the first.

    ::

        L = cᵀ h_T,  ‖c‖ = 1        ‖∂L/∂h_{T-k}‖ ≤ ‖W_hh‖₂ᵏ

    The left side is 1 at k = 0, and the bound holds because no |φ'| exceeds 1.

    Parameters
    ----------
    spectral_radius : float
        Of W_hh.
    input_gain : float
        Standard deviation of W_xh x_t in each unit.
    activation : str
        One of the options of the control.
    length : float
        T, a whole number of steps.
    """
    _, _, inputs, starts, direction = _draws()
    net, x = network(spectral_radius, input_gain, activation), inputs[:, : round(length)]
    profile = gradient_profile(net, x, lambda states: states[:, -1] @ direction, h0=starts)
    return Fading(
        spectral_radius=spectral_radius,
        spectral_norm=float(torch.linalg.matrix_norm(net.W_hh.detach(), ord=2)),
        sizes=profile.norms.flip(1).numpy(),
        eigenvalues=torch.linalg.eigvals(net.W_hh.detach()).numpy(),
        step_eigenvalues=torch.linalg.eigvals(_last_jacobian(net, x[:1], starts[:1])).numpy(),
    )


@torch.no_grad()
def _last_jacobian(net: VanillaRNN, x: Tensor, h0: Tensor) -> Tensor:
    """∂h_T/∂h_{T-1} (32, 32) of one series."""
    before = net(x[:, :-1], h0)[:, -1]
    return step_jacobians(net, x[:, -1:], h0=before)[0, 0]


class Picture:
    """Left, the gradient's size on its way back; right, eigenvalues in the complex plane."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(7.4, 4.0))
            profile, plane = self.figure.subplots(1, 2, width_ratios=(6, 5))
            self.moving = *self._build_profile(profile), *self._build_plane(plane)
            legend_above(profile, columns=2)
            legend_above(plane, columns=1)

    def _build_profile(self, axes: Axes) -> tuple[Artist, ...]:
        plot_reference(axes, height=1)
        (self._band,) = axes.fill(
            [], [], color=PALETTE["sky"], alpha=0.4, linewidth=0, linestyle="-", label="16 series"
        )
        (self._median,) = axes.plot([], [], "-", color=PALETTE["blue"], label="their median")
        (self._radius,) = axes.plot([], [], "--", color=PALETTE["vermilion"], label="ρᵏ")
        (self._bound,) = axes.plot([], [], ":", color=PALETTE["grey"], label="bound ‖W_hh‖₂ᵏ")
        axes.set(yscale="log", xlim=(-2, LONGEST), ylim=SIZE_RANGE)
        axes.set_yticks([1e-10, 1e-5, 1, 1e5, 1e10], minor=False)
        axes.set_yticks([], minor=True)
        axes.set(xlabel="steps before the end, k", ylabel="‖∂L/∂h‖ [its value at the end]")
        return self._band, self._bound, self._radius, self._median

    def _build_plane(self, axes: Axes) -> tuple[Artist, ...]:
        axes.add_patch(Circle((0, 0), 1, fill=False, linewidth=1.4))
        (self._recurrent,) = axes.plot(
            [], [], "o", markersize=7, mfc="none", color=PALETTE["vermilion"], label="eigenvalues of W_hh"
        )
        (self._step,) = axes.plot(
            [], [], "D", markersize=3.5, color=PALETTE["blue"], label="… of the last step's Jacobian"
        )
        edge = 1.08 * LARGEST_RADIUS
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
        axes.set(xticks=(-2, -1, 0, 1, 2), yticks=(-2, -1, 0, 1, 2))
        axes.set(xlabel="real part", ylabel="imaginary part")
        return self._recurrent, self._step

    def draw(self, result: Fading) -> None:
        """Move the profile with its band, the two powers, and both sets of eigenvalues."""
        steps = STEPS[: result.length + 1]
        sizes = _clip_to_range(result.sizes)
        self._band.set_xy(outline(steps, sizes.min(0), sizes.max(0)))
        self._median.set_data(steps, _clip_to_range(result.median))
        self._radius.set_data(steps, _clip_to_range(result.spectral_radius**steps))
        self._bound.set_data(steps, _clip_to_range(result.spectral_norm**steps))
        for points, eigenvalues in (
            (self._recurrent, result.eigenvalues),
            (self._step, result.step_eigenvalues),
        ):
            points.set_data(eigenvalues.real, eigenvalues.imag)

    def describe(self, result: Fading) -> str:
        """How much arrives, how fast it changes, and what the eigenvalues would suggest."""
        first, outside = result.sizes[:, -1], np.abs(result.step_eigenvalues) > 1 + ROUND_OFF
        return (
            f"{result.length} steps before the end, the gradient is {result.median[-1]:.2g} times what it is "
            f"at the end (median of {SERIES} series, {first.min():.2g} to {first.max():.2g}): "
            f"a factor of {result.factor_per_step:.2f} per step.{_leaves(result.median)} "
            f"W_hh has spectral radius {result.spectral_radius:.2f} and spectral norm "
            f"{result.spectral_norm:.2f}; the last step's Jacobian has spectral radius "
            f"{np.abs(result.step_eigenvalues).max():.2f}, with {outside.sum()} of {UNITS} eigenvalues "
            f"outside the unit circle."
        )


def _clip_to_range(sizes: np.ndarray) -> np.ndarray:
    """A logarithmic axis has no place for 0: whatever leaves the picture stops just outside it."""
    low, high = SIZE_RANGE
    return np.clip(sizes, low / 10, high * 10)


def _leaves(sizes: np.ndarray) -> str:
    """Where the gradient leaves the picture, if it does."""
    low, high = SIZE_RANGE
    for outside, words in ((sizes < low, f"below {low:.0e}"), (sizes > high, f"above {high:.0e}")):
        if outside.any():
            return f" It leaves the picture, {words}, at k = {outside.argmax()}."
    return ""


def explorer() -> Explorer:
    """A network's spectral radius, inputs, activation and length, above the gradient they let through."""
    return Explorer(model, Picture, CONTROLS)
