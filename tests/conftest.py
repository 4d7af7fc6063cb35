"""What every test shares: the devices to run on, and where real data may lie."""

import os
from pathlib import Path

import pytest
import torch

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("LIVING_DYNAMICS_DATA", SHARED_DATA))


def pytest_report_header():
    """What this run leaves out, in words."""
    found = "cpu and cuda" if "cuda" in DEVICES else "cpu only: no CUDA device here"
    data = (
        REAL_DATA if (REAL_DATA / "physionet2012").is_dir() else "none: tests of PhysioNet 2012 are skipped"
    )
    return [f"device tests: {found}", f"real data: {data}"]


@pytest.fixture(params=DEVICES)
def device(request):
    """Each device of this machine in turn."""
    return torch.device(request.param)


@pytest.fixture
def generator(device):
    """A seeded generator on the test's device."""
    return torch.Generator(device=device).manual_seed(0)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data; where there is none, the test is skipped."""
    if not (REAL_DATA / "physionet2012").is_dir():
        pytest.skip(
            f"no PhysioNet 2012 archives in {REAL_DATA}: set LIVING_DYNAMICS_DATA to a folder that holds them"
        )
    return REAL_DATA
