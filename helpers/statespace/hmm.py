"""The hidden Markov model: a discrete state that jumps, and what it emits."""

from dataclasses import dataclass

from torch import Tensor

from helpers.statespace.emissions import CategoricalEmission, GaussianEmission, PoissonEmission
from helpers.statespace.hmm_probabilities import check_distributions


@dataclass(frozen=True, eq=False)
class HMM:
    r"""A hidden state with K values jumps from step to step, and each value emits in its own way.

    .. math::
        P(h_0 = k) = \pi_k, \qquad P(h_t = j \mid h_{t-1} = i) = A_{ij}, \qquad y_t \mid h_t = k \sim p_k

    A probability of exactly 0 forbids a first state or a transition. Its gradient is 0, and Baum-Welch
    leaves it at 0, so that what is forbidden stays forbidden.

    Parameters
    ----------
    initial : Tensor (K,)
        :math:`\pi`, the probabilities of the state at the first observation.
    transition : Tensor (K, K)
        A, from the row's state to the column's; each row sums to 1.
    emission : CategoricalEmission, GaussianEmission or PoissonEmission
        :math:`p_1, \dots, p_K`.

    Raises
    ------
    ValueError
        Naming the shape that clashes, the entry that is no probability, or the row that does not sum to 1.

    Source: Rabiner (1989), A tutorial on hidden Markov models and selected applications in speech
    recognition, Proceedings of the IEEE 77(2), section II.
    """

    initial: Tensor
    transition: Tensor
    emission: CategoricalEmission | GaussianEmission | PoissonEmission

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_kinds()
        check_distributions("initial", self.initial)
        check_distributions("transition", self.transition)

    @property
    def states(self) -> int:
        """K, how many values the state has."""
        return len(self.initial)

    def _check_shapes(self) -> None:
        if self.initial.ndim != 1:
            raise ValueError(f"initial must have shape (K,): got {tuple(self.initial.shape)}")
        states = self.states
        if self.transition.shape != (states, states):
            found = tuple(self.transition.shape)
            raise ValueError(f"transition must have shape (K, K) = ({states}, {states}): got {found}")
        if self.emission.states != states:
            raise ValueError(
                f"emission must have as many states as initial: got {self.emission.states} and {states}"
            )

    def _check_kinds(self) -> None:
        tensors = {"initial": self.initial, "transition": self.transition, "emission": self.emission.like}
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                raise ValueError(f"{name} must be floating point: got {tensor.dtype}")
            if (tensor.dtype, tensor.device) != (self.initial.dtype, self.initial.device):
                raise ValueError(
                    f"{name} must have the dtype and device of initial: got {tensor.dtype} on "
                    f"{tensor.device} and {self.initial.dtype} on {self.initial.device}"
                )
