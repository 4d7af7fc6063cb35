"""One of each cell that reads the times, and batches of series that no grid fits."""

import torch

from helpers.recurrent import GRUD, GRUODE, ODERNN, BaselineGRUD, GRUDelta
from helpers.series import IrregularBatch

FEATURES, UNITS = 3, 5


def cells(dtype=torch.float64, seed=0):
    how = {"dtype": dtype, "generator": torch.Generator().manual_seed(seed)}
    mean = torch.tensor([0.5, -1.0, 0.2])
    return {
        "GRU-D": GRUD(FEATURES, UNITS, mean=mean, **how),
        "GRU-D to a baseline": BaselineGRUD(FEATURES, UNITS, mean=mean, **how),
        "GRU fed the gap": GRUDelta(FEATURES, UNITS, **how),
        "ODE-RNN": ODERNN(FEATURES, UNITS, **how),
        "GRU-ODE": GRUODE(FEATURES, UNITS, **how),
    }


def perturbed(cell, seed=1):
    """The same cell with every weight a little elsewhere, biases and baseline too; no decay at 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in cell.parameters():
            weight += 0.2 * torch.rand(weight.shape, generator=generator, dtype=weight.dtype)
    return cell


def ragged(lengths=(7, 4, 1, 0), steps=7, dtype=torch.float64, seed=0, observed=0.5, unit=1.0):
    """Series with times of their own; what was not observed is NaN, and times in padding are, too."""
    generator = torch.Generator().manual_seed(seed)
    random = {"generator": generator, "dtype": torch.float64}
    lengths = torch.tensor(lengths, dtype=torch.long)
    valid = torch.arange(steps) < lengths.unsqueeze(-1)
    shape = (len(lengths), steps, FEATURES)
    times = unit * (0.05 + torch.rand(shape[:2], **random)).cumsum(1)
    mask = (torch.rand(shape, **random) < observed) & valid.unsqueeze(-1)
    values = torch.where(mask, torch.randn(shape, **random), torch.nan)
    times = torch.where(valid, times, torch.nan)
    return IrregularBatch(times.to(dtype), values.to(dtype), mask, lengths)
