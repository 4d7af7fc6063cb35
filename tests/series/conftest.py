"""Random batches with all that real ones have: gaps, padding, an empty series, NaN where nothing was seen."""

import pytest
import torch

from helpers.series import IrregularBatch


def random_batch(seed, series=5, steps=7, features=3, dtype=torch.float64, device="cpu", observed=0.5):
    """A batch whose hidden values and padding times are NaN; its last series has length 0."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, steps + 1, (series,), generator=generator)
    lengths[-1] = 0
    valid = torch.arange(steps) < lengths.unsqueeze(-1)
    gaps = 0.05 + torch.rand(series, steps, generator=generator, dtype=dtype)
    times = torch.where(valid, gaps.cumsum(1), torch.nan)
    mask = (torch.rand(series, steps, features, generator=generator) < observed) & valid.unsqueeze(-1)
    values = torch.randn(series, steps, features, generator=generator, dtype=dtype)
    return IrregularBatch(times, torch.where(mask, values, torch.nan), mask, lengths).to(device)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=range(4), ids=lambda seed: f"seed{seed}")
def batch(request, dtype, device):
    """Four random batches, in each dtype, on each device."""
    return random_batch(request.param, dtype=dtype, device=device)


@pytest.fixture
def make_batch():
    return random_batch
