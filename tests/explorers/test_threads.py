"""A model that follows a slider runs on one thread, and leaves the setting as it was."""

import pytest
import torch

from helpers.explorers import explorer as explorers
from helpers.explorers.dose import CONTROLS, Picture, model
from helpers.explorers.threads import one_thread


def test_the_number_of_threads_returns():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_number_of_threads_returns_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_an_explorer_runs_its_model_on_one_thread():
    seen = []

    def counted(**settings):
        seen.append(torch.get_num_threads())
        return model(**settings)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        explorers.Explorer(counted, Picture, CONTROLS).show()
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
