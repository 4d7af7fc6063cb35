"""What is believed of a hidden Markov model before there are data, in the form of data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from helpers.arguments import check_finite_number, check_like, check_not_negative
from helpers.statespace.hmm.emissions import Belief, CategoricalEmission, log_dirichlet
from helpers.statespace.hmm.gaussian_emission import GaussianEmission
from helpers.statespace.hmm.model import HMM
from helpers.statespace.matrices import check_covariance


@dataclass(frozen=True, eq=False)
class HMMPrior:
    """Pseudo-observations: Baum-Welch counts them as if they had been seen, beside the data.

    Each is a number for all entries, or a tensor. In terms of conjugate densities, up to a constant::

        log p = Σ n_k log π_k + Σ n_ij log A_ij                       Dirichlet, with α = n + 1
              + Σ n_ks log E_ks                                       Dirichlet, of symbols
              + Σ (s_kd log λ_kd - n_k λ_kd)                          Gamma(s + 1, n), of Poisson rates
              - ½ Σ (n_k log |Σ_k| + tr Ψ_k Σ_k⁻¹)                    inverse Wishart, of covariances

    What is forbidden stays forbidden: the pseudo-counts of a probability or rate of 0 do not count.

    Parameters
    ----------
    initial : Tensor (K,) or float
        How often a series began in each state.
    transition : Tensor (K, K) or float
        How often the row's state was followed by the column's.
    emission : Tensor or float
        Of each state, how often it showed each symbol, (K, S); the counts that it emitted in all, s (K, D);
        or the scatter of its vectors about their mean, Ψ (D, D) or (K, D, D), positive semi-definite.
    steps : Tensor (K,) or float
        n, in how many steps it emitted those counts or vectors; left out for symbols, which are counted.

    Source: Gauvain and Lee (1994), Maximum a posteriori estimation for multivariate Gaussian mixture
    observations of Markov chains, IEEE Transactions on Speech and Audio Processing 2(2).
    """

    initial: Tensor | float = 0.0
    transition: Tensor | float = 0.0
    emission: Tensor | float = 0.0
    steps: Tensor | float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Tensor):
                check_finite_number(f"prior.{field.name}", value)

    def fit_to(self, hmm: HMM) -> "HMMPrior":
        """The same as tensors of the model's shapes; what does not fit the model is refused."""
        emission = hmm.emission
        if isinstance(emission, CategoricalEmission) and not _is_zero(self.steps):
            raise ValueError(
                "prior.steps must be left out for a categorical emission, whose symbols are counted"
            )
        gaussian = isinstance(emission, GaussianEmission)
        if gaussian and not (isinstance(self.emission, Tensor) or _is_zero(self.emission)):
            raise ValueError(
                "prior.emission must be a tensor (D, D) or (K, D, D) for a Gaussian emission: "
                f"got {self.emission}"
            )
        fitted = HMMPrior(
            _counts("initial", self.initial, hmm.initial, hmm.initial.shape),
            _counts("transition", self.transition, hmm.initial, hmm.transition.shape),
            _counts("emission", self.emission, hmm.initial, emission.total_shape, signed=gaussian),
            _counts("steps", self.steps, hmm.initial, hmm.initial.shape),
        )
        if gaussian:
            check_covariance("prior.emission", fitted.emission, lambda state: f" for state {state[0]}")
        return fitted

    def belief(self, fixed: Mapping[str, Tensor]) -> Belief:
        """What of this, once it fits a model, the emission's M-step has to know, and what is fixed."""
        return Belief(self.emission, self.steps.unsqueeze(-1), fixed)

    def log_density(self, hmm: HMM) -> Tensor:
        """log p of the model's parameters but for a constant, once this fits the model."""
        probabilities = log_dirichlet(self.initial, hmm.initial) + log_dirichlet(
            self.transition, hmm.transition
        )
        return probabilities + hmm.emission.log_prior(self.belief({}))


def _counts(
    name: str, value: Tensor | float, like: Tensor, shape: torch.Size, signed: bool = False
) -> Tensor:
    """A number or tensor as a tensor of this shape; Ψ may be negative beside its diagonal, counts may not."""
    if not isinstance(value, Tensor):
        value = torch.full(shape, float(value), dtype=like.dtype, device=like.device)
    check_like(f"prior.{name}", value, "the model", like)
    if value.shape not in (shape, shape[1:] if signed else shape):
        raise ValueError(f"prior.{name} must have shape {tuple(shape)}: got {tuple(value.shape)}")
    if not signed:
        check_not_negative(f"prior.{name}", value)
    return value.detach().expand(shape)


def _is_zero(value: Tensor | float) -> bool:
    return not isinstance(value, Tensor) and value == 0
