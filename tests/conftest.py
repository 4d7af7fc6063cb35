"""What every test shares: the devices to run on, and where real data may lie."""

import os
from pathlib import Path

import pytest
import torch

DEVICES = ["cpu", "cuda"]
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(params=DEVICES)
def device(request):
    """Each device in turn; CUDA is skipped, by name, where there is none."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device(request.param)


@pytest.fixture
def generator(device):
    """A seeded generator on the test's device."""
    return torch.Generator(device=device).manual_seed(0)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data: ``LIVING_DYNAMICS_DATA``, else ``../shared/data``; skipped where neither exists."""
    folder = Path(os.environ.get("LIVING_DYNAMICS_DATA", SHARED_DATA))
    if not (folder / "physionet2012").is_dir():
        pytest.skip(f"no PhysioNet 2012 archives in {folder}: set LIVING_DYNAMICS_DATA to a folder that holds them")
    return folder
