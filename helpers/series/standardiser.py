"""One scale for all features, learnt from the training set alone."""

from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor

from helpers.arguments import check_finite, check_positive, refuse_where
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
        mean, deviation = self.mean, self.standard_deviation
        if mean.ndim != 1 or deviation.shape != mean.shape:
            raise ValueError(
                f"mean and standard_deviation must both have shape (D,): "
                f"got {tuple(mean.shape)} and {tuple(deviation.shape)}"
            )
        check_finite("mean", mean)
        check_positive("standard_deviation", deviation)

    @classmethod
    def fit(cls, train: IrregularBatch, *, test: IrregularBatch | None = None) -> "Standardiser":
        """Measure each feature's mean and standard deviation over the observed entries of `train`.

        ::

            mean = Σ m x / n,   variance = Σ m (x - mean)² / n,   n = Σ m

        summed over series and steps in float64.

        Parameters
        ----------
        train : IrregularBatch
            The training set, and nothing else.
        test : IrregularBatch, optional
            Series that must not be in `train`; equal times, mask and observed values are the same series.

        Raises
        ------
        ValueError
            If a series of `test` is also in `train`, or if a feature of `train` is never observed
            or never varies.
        """
        if test is not None:
            _refuse_shared_series(train, test)
        _refuse_features_without_variation(train)
        values = torch.where(train.mask, train.values.detach(), 0.0).double()
        number = train.mask.sum((0, 1))
        mean = values.sum((0, 1)) / number
        variance = torch.where(train.mask, (values - mean).square(), 0.0).sum((0, 1)) / number
        dtype = train.values.dtype
        return cls(mean.to(dtype), variance.sqrt().to(dtype))

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


def _refuse_features_without_variation(train: IrregularBatch) -> None:
    never = ~train.mask.any(1).any(0)
    refuse_where(never, lambda d: f"train must observe every feature: feature {d} is never observed")
    smallest = torch.where(train.mask, train.values, torch.inf).amin((0, 1))
    largest = torch.where(train.mask, train.values, -torch.inf).amax((0, 1))
    refuse_where(
        smallest == largest,
        lambda d: f"every feature of train must vary: feature {d} is {smallest[d]} wherever it is observed",
    )


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
