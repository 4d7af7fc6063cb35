"""What experiments share: a mean with its interval, and a cycle of step sizes."""

import pytest
import torch
from scipy.stats import ttest_1samp
from torch import nn

from helpers.experiments.intervals import mean_with_interval
from helpers.experiments.one_cycle import one_cycle
from helpers.training import fit


def test_an_interval_is_student_s():
    values = [0.3, 0.9, 0.4, 0.7, 0.1]
    found = mean_with_interval(iter(values))
    expected = ttest_1samp(values, 0.0)
    assert found["mean"] == pytest.approx(sum(values) / 5)
    assert found["interval"] == pytest.approx(list(expected.confidence_interval(0.95)))
    assert found["seeds"] == values


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="values must be two or more: got 1"):
        mean_with_interval([0.5])


def test_step_sizes_rise_to_their_peak_and_fall():
    model = nn.Linear(1, 1)
    optimiser = one_cycle(torch.optim.SGD(model.parameters(), 0.5, momentum=0.9), updates=20, rise=0.25)
    sizes = []
    optimiser.register_step_pre_hook(lambda *_: sizes.append(optimiser.param_groups[0]["lr"]))
    batches = [torch.ones(2, 1)] * 20
    fit(model, lambda model, x: model(x).mean(), batches, epochs=1, optimiser=optimiser, progress=False)
    peak = sizes.index(max(sizes))
    assert sizes[0] == pytest.approx(0.5 / 25) and max(sizes) == pytest.approx(0.5)
    assert peak == 4 and sizes == sorted(sizes[:peak]) + sorted(sizes[peak:], reverse=True)
    assert sizes[-1] < 1e-5
