"""The linear-Gaussian state-space model: a hidden state that evolves, and what it emits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import check_finite, check_floating, check_like, kind
from helpers.statespace.gaussian.discretise import discretise
from helpers.statespace.matrices import (
    check_covariance,
    check_precision,
    check_shape,
    check_square,
    place,
)


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """A hidden state evolves linearly and is seen through noise.

    ::

        h_t = A_t h_{t-1} + B_t u_t + w_t,   w_t ~ N(0, Q_t)   t = 1 … T-1
        y_t = C_t h_t + d + v_t,             v_t ~ N(0, R_t)   t = 0 … T-1
        h_0 ~ N(m_0, P_0)

    h_0 is the state at the time of the first observation. A_t, B_t and Q_t lead *into* step t, so that entry
    0 of a sequence of them is never used.

    Every matrix may be constant, (H, H); one per step, (T, H, H); or one per series and step,
    (B, T, H, H), where B or T may be 1.

    Parameters
    ----------
    transition : Tensor (..., H, H)
        A.
    observation : Tensor (..., D, H)
        C.
    transition_covariance : Tensor (..., H, H)
        Q, symmetric positive semi-definite: a state may follow from the last one without noise.
    observation_covariance : Tensor (..., D, D)
        R, symmetric positive semi-definite.
    initial_mean : Tensor (H,) or (B, H)
        m_0.
    initial_covariance : Tensor (H, H) or (B, H, H)
        P_0, symmetric positive semi-definite.
    input : Tensor (..., H, U), optional
        B; left out, nothing drives the state.
    diffuse : Tensor (H,), bool, optional
        True for components of h_0 about which nothing is known: their prior is flat, in the limit
        of an infinite variance, and their rows and columns of `initial_covariance` are not read.
    observation_intercept : Tensor (D,), optional
        d, what a sensor reads when the state is 0; left out, 0.

    Raises
    ------
    ValueError
        Naming the matrix that is not square, has a shape that clashes with the others, is not finite, or is
        not positive semi-definite, with its smallest eigenvalue.
    """

    transition: Tensor
    observation: Tensor
    transition_covariance: Tensor
    observation_covariance: Tensor
    initial_mean: Tensor
    initial_covariance: Tensor
    input: Tensor | None = None
    diffuse: Tensor | None = None
    observation_intercept: Tensor | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_shapes()
        self._check_sequences()
        self._check_values()

    @classmethod
    def from_sde(
        cls,
        F: Tensor,
        L: Tensor,
        spectral_density: Tensor,
        observation: Tensor,
        observation_covariance: Tensor,
        initial_mean: Tensor,
        initial_covariance: Tensor,
        deltas: Tensor,
        input: Tensor | None = None,
        diffuse: Tensor | None = None,
        observation_intercept: Tensor | None = None,
    ) -> "LinearGaussian":
        """A state that flows in continuous time, seen at uneven times.

        ::

            dh = (F h + B u) dt + L dβ,   E[dβ dβᵀ] = q dt

        becomes, exactly, a model in steps whose A, Q and B depend on the time since the last step;
        u is held constant over that time.

        Parameters
        ----------
        F : Tensor (H, H) or (B, H, H)
            Rates of the drift, per unit of time; one matrix for all series, or one for each.
        L : Tensor (H, S) or (B, H, S)
            How the S noises enter the state.
        spectral_density : Tensor (S, S) or (B, S, S)
            q, the covariance that Brownian motion β gathers per unit of time.
        deltas : Tensor (), (T,) or (B, T)
            Time from step t-1 to step t. Entry 0 of a sequence is not read; a gap of 0, as in padding, leaves
            the state as it is.
        input : Tensor (H, U) or (B, H, U), optional
            B.

        Raises
        ------
        ValueError
            Naming the matrix or the gap (series and step) that is wrong.

        Source: Van Loan (1978), IEEE Transactions on Automatic Control 23(3), theorem 1; Särkkä and Solin
        (2019), Applied stochastic differential equations, section 6.3.
        """
        A, Q, B = discretise(F, L, spectral_density, deltas, input)
        return cls(
            A,
            observation,
            Q,
            observation_covariance,
            initial_mean,
            initial_covariance,
            B,
            diffuse,
            observation_intercept,
        )

    @property
    def state_size(self) -> int:
        """H, the dimension of the state."""
        return self.transition.shape[-1]

    @property
    def observation_size(self) -> int:
        """D, the dimension of an observation."""
        return self.observation.shape[-2]

    @property
    def steps(self) -> int | None:
        """T, if a matrix is given per step."""
        return next(iter(self._steps.values()), None)

    @property
    def series(self) -> int | None:
        """B, if a matrix or an initial moment is given per series."""
        return next(iter(self._series.values()), None)

    @property
    def names_per_series(self) -> list[str]:
        """Which fields are given per series."""
        return list(self._series)

    @property
    def has_own_covariances(self) -> bool:
        """Whether any matrix that shapes the covariances is given per series."""
        return bool(self._series.keys() - {"initial_mean", "input"})

    @property
    def _steps(self) -> dict[str, int]:
        return {name: m.shape[-3] for name, m in self._sequences.items() if m.ndim > 2 and m.shape[-3] > 1}

    @property
    def _series(self) -> dict[str, int]:
        initial = {
            "initial_mean": self.initial_mean[..., None],
            "initial_covariance": self.initial_covariance,
        }
        stacks = {name: m for name, m in self._sequences.items() if m.ndim == 4}
        stacks |= {name: m for name, m in initial.items() if m.ndim == 3}
        return {name: len(stack) for name, stack in stacks.items() if len(stack) > 1}

    @property
    def _sequences(self) -> dict[str, Tensor]:
        matrices = {
            "transition": self.transition,
            "observation": self.observation,
            "transition_covariance": self.transition_covariance,
            "observation_covariance": self.observation_covariance,
        }
        return matrices if self.input is None else {**matrices, "input": self.input}

    def _check_kinds(self) -> None:
        others = {"initial_mean": self.initial_mean, "initial_covariance": self.initial_covariance}
        if self.observation_intercept is not None:
            others["observation_intercept"] = self.observation_intercept
        check_precision("transition", self.transition)
        for name, tensor in {**self._sequences, **others}.items():
            check_floating(name, tensor)
            check_like(name, tensor, "transition", self.transition)
        dtype = getattr(self.diffuse, "dtype", kind(self.diffuse))
        if self.diffuse is not None and dtype != torch.bool:
            raise ValueError(f"diffuse must be bool: got {dtype}")

    def _check_shapes(self) -> None:
        check_square("transition", self.transition, least=1)
        check_square("transition_covariance", self.transition_covariance)
        check_square("observation_covariance", self.observation_covariance)
        check_square("initial_covariance", self.initial_covariance)
        H = self.state_size
        as_state = "as transition does"
        check_shape("observation", self.observation, {"D": None, "H": H}, as_state)
        check_shape("transition_covariance", self.transition_covariance, {"H": H, "H ": H}, as_state)
        D = self.observation_size
        check_shape(
            "observation_covariance", self.observation_covariance, {"D": D, "D ": D}, "as observation does"
        )
        check_shape("initial_mean", self.initial_mean, {"H": H}, as_state)
        check_shape("initial_covariance", self.initial_covariance, {"H": H, "H ": H}, as_state)
        if self.input is not None:
            check_shape("input", self.input, {"H": H, "U": None}, as_state)
        for name, most, form in (("initial_mean", 2, "(B, H)"), ("initial_covariance", 3, "(B, H, H)")):
            if len(found := tuple(getattr(self, name).shape)) > most:
                raise ValueError(f"{name} must have shape {form} or one axis less: got {found}")
        if self.diffuse is not None and self.diffuse.shape != (H,):
            raise ValueError(f"diffuse must have shape (H,) = ({H},): got {tuple(self.diffuse.shape)}")
        if self.observation_intercept is not None and self.observation_intercept.shape != (D,):
            found = tuple(self.observation_intercept.shape)
            raise ValueError(f"observation_intercept must have shape (D,) = ({D},): got {found}")

    def _check_sequences(self) -> None:
        for name, matrix in self._sequences.items():
            if matrix.ndim > 4:
                raise ValueError(
                    f"{name} must have at most four dimensions, (B, T, rows, columns): got {matrix.ndim}"
                )
        for what, counts in {"steps T": self._steps, "series B": self._series}.items():
            if len(set(counts.values())) > 1:
                found = ", ".join(f"{name} {count}" for name, count in counts.items())
                raise ValueError(f"the matrices must agree on the number of {what}: {found}")

    def _check_values(self) -> None:
        for name in ("transition", "observation", "initial_mean"):
            check_finite(name, getattr(self, name).detach())
        for name in ("input", "observation_intercept"):
            if getattr(self, name) is not None:
                check_finite(name, getattr(self, name).detach())
        check_covariance("transition_covariance", self.transition_covariance.detach())
        check_covariance("observation_covariance", self.observation_covariance.detach())
        check_covariance(
            "initial_covariance",
            self.known_initial_covariance.detach(),
            where=lambda index: f" of series {index[0]}" if index else place(index),
        )

    @property
    def known_initial_covariance(self) -> Tensor:
        """P_0 with zeros in the rows and columns of diffuse components, shape (H, H) or (B, H, H)."""
        if self.diffuse is None:
            return self.initial_covariance
        unknown = self.diffuse.unsqueeze(-1) | self.diffuse
        return torch.where(unknown, 0.0, self.initial_covariance)


def check_model(model: LinearGaussian) -> None:
    """Refuse anything but a linear-Gaussian model."""
    if not isinstance(model, LinearGaussian):
        raise ValueError(f"model must be a LinearGaussian: got {kind(model)}")


def over_time(matrix: Tensor, steps: int) -> Tensor:
    """A model's matrix (...), (T, ...) or (B, T, ...) as a sequence (T, B or 1, ...)."""
    match matrix.ndim:
        case 2:
            sequence = matrix[None, None]
        case 3:
            sequence = matrix.unsqueeze(1)
        case _:
            sequence = matrix.transpose(0, 1)
    return sequence.expand(steps, -1, -1, -1)


def compact(matrix: Tensor, steps: int) -> Tensor:
    """A model's matrix as one matrix (rows, columns) if it is constant and shared, else (T, B or 1, ...)."""
    is_one = matrix.shape[:-2].numel() == 1
    return matrix.reshape(matrix.shape[-2:]) if is_one else over_time(matrix, steps)


def matrices_over_time(model: LinearGaussian, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A, Q, C and R of each step, (T, B or 1, ·, ·)."""
    names = ("transition", "transition_covariance", "observation", "observation_covariance")
    return tuple(over_time(getattr(model, name), steps) for name in names)
