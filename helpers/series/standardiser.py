"""One scale for all features, learnt from the training set alone."""

from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import check_finite, check_finite_number, check_positive, check_shape, refuse_where
from helpers.series.batch import IrregularBatch


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Shift and scale that give each feature mean 0 and variance 1 over the observed training entries.

    ::

        z = (x - mean) / standard_deviation

    Unobserved entries stay masked. What stands in their place is the mean: 0 once transformed.

    Parameters
    ----------
    mean, standard_deviation : Tensor (D,)
        In the units of the features.

    Raises
    ------
    ValueError
        If the shapes differ, or an entry is not finite, or a standard deviation is not positive.
    """

    mean: Tensor
    standard_deviation: Tensor

    def __post_init__(self) -> None:
        check_shape("mean", self.mean, "D", (None,))
        check_shape("standard_deviation", self.standard_deviation, "D", self.mean.shape)
        check_finite("mean", self.mean)
        check_positive("standard_deviation", self.standard_deviation)

    @classmethod
    def fit(
        cls,
        train: IrregularBatch,
        *,
        test: IrregularBatch | None = None,
        prior_mean: float | Tensor | None = None,
        prior_scale: float | Tensor | None = None,
    ) -> "Standardiser":
        """Measure each feature's mean and standard deviation over the observed entries of `train`.

        ::

            mean = Σ m x / n,   variance = Σ m (x - mean)² / n,   n = Σ m

        summed over series and steps in float64. What the training set cannot tell stands in the priors, for
        there is nothing to measure: a feature that never varies has its own value as its mean, and
        `prior_scale` as its standard deviation; one that is never observed has both from the priors.

        Parameters
        ----------
        train : IrregularBatch
            The training set, and nothing else.
        test : IrregularBatch, optional
            Series that must not be in `train`; equal times, mask and observed values are the same series.
        prior_mean : float or Tensor (D,), optional
            Read only where a feature is never observed, in its unit.
        prior_scale : float or Tensor (D,), optional
            Standard deviation, read only where a feature is never observed or never varies, in its unit.

        Raises
        ------
        ValueError
            If a series of `test` is also in `train`; if a feature of `train` is never observed or never
            varies, and the priors are left out; or if a prior is not finite, or a scale not positive.
        """
        if test is not None:
            _refuse_shared_series(train, test)
        values, mask = (  # (N, D), and an unobserved row, for there may be no other
            pad(tensor.flatten(0, 1), (0, 0, 0, 1)) for tensor in (train.values.detach().double(), train.mask)
        )
        never = ~mask.any(0)
        smallest = torch.where(mask, values, torch.inf).amin(0)
        constant = smallest == torch.where(mask, values, -torch.inf).amax(0)
        _refuse_unknown(never, constant, smallest, prior_mean, prior_scale)
        mean, deviation = _moments(values, mask)
        prior_mean, prior_scale = (
            _per_feature(name, prior, mean)
            for name, prior in {"prior_mean": prior_mean, "prior_scale": prior_scale}.items()
        )
        mean = torch.where(never, prior_mean, torch.where(constant, smallest, mean))
        deviation = torch.where(never | constant, prior_scale, deviation)
        return cls(mean.to(train.values.dtype), deviation.to(train.values.dtype))

    def transform(self, batch: IrregularBatch) -> IrregularBatch:
        """Return `batch` in standardised units."""
        mean, deviation = self._like(batch.values)
        return replace(batch, values=(torch.where(batch.mask, batch.values, mean) - mean) / deviation)

    def inverse(self, batch: IrregularBatch) -> IrregularBatch:
        """Return a standardised `batch` in its original units."""
        mean, deviation = self._like(batch.values)
        return replace(batch, values=torch.where(batch.mask, batch.values, 0.0) * deviation + mean)

    def _like(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation with the dtype and device of `values` (B, T, D)."""
        if values.shape[2] != len(self.mean):
            raise ValueError(f"batch must have {len(self.mean)} features: got {values.shape[2]}")
        return self.mean.to(values), self.standard_deviation.to(values)


def _moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) of observed values (N, D), in units whose squares do not overflow."""
    number = mask.sum(0).clamp(min=1)
    values = torch.where(mask, values, 0.0)
    unit = _size(values)
    mean = (values / unit).sum(0) / number
    difference = torch.where(mask, values / unit - mean, 0.0)
    spread = _size(difference)
    variance = (difference / spread).square().sum(0) / number
    return mean * unit, variance.sqrt() * spread * unit


def _size(values: Tensor) -> Tensor:
    """The largest |value| of each feature, (D,); 1 where all are 0."""
    largest = values.abs().amax(0)
    return torch.where(largest > 0, largest, 1.0)


def _refuse_unknown(
    never: Tensor,
    constant: Tensor,
    value: Tensor,
    prior_mean: float | Tensor | None,
    prior_scale: float | Tensor | None,
) -> None:
    """Refuse features of which neither the training set nor a prior knows mean and scale."""
    if prior_mean is None or prior_scale is None:
        refuse_where(
            never,
            lambda d: (
                f"train must observe every feature: feature {d} is never observed; "
                "prior_mean and prior_scale can stand in"
            ),
        )
    if prior_scale is None:
        refuse_where(
            constant,
            lambda d: (
                f"every feature of train must vary: feature {d} is {value[d]} wherever it is observed; "
                "prior_scale can stand in"
            ),
        )


def _per_feature(name: str, prior: float | Tensor | None, like: Tensor) -> Tensor:
    """A prior as one number per feature (D,), like the means; NaN where there is none."""
    if prior is None:
        return torch.full_like(like, torch.nan)
    if not isinstance(prior, Tensor):
        check_finite_number(name, prior)
        prior = torch.tensor(float(prior))
    if prior.ndim:
        check_shape(name, prior, "D", like.shape)
    (check_positive if name == "prior_scale" else check_finite)(name, prior)
    return prior.detach().to(like).expand_as(like)


def _refuse_shared_series(train: IrregularBatch, test: IrregularBatch) -> None:
    known = {}
    for number, fingerprint in _fingerprints(train).items():
        known.setdefault(fingerprint, number)
    shared = [
        f"test series {number} is train series {known[fingerprint]}"
        for number, fingerprint in _fingerprints(test).items()
        if fingerprint in known
    ]
    if shared:
        listed = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        raise ValueError(f"train must not contain test series: {listed}")


def _fingerprints(batch: IrregularBatch) -> dict[int, bytes]:
    """Digest of the content of each series that has observations, by its number in the batch."""
    values = torch.where(batch.mask, batch.values, 0.0).double()
    columns = [tensor.detach().cpu().numpy() for tensor in (batch.times.double(), batch.mask, values)]
    return {
        number: blake2b(b"".join(column[number, :length].tobytes() for column in columns)).digest()
        for number, length in enumerate(batch.lengths.tolist())
        if columns[1][number].any()
    }
