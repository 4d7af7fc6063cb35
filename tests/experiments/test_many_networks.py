"""Networks trained side by side against each trained alone, by PyTorch's own optimiser."""

import copy

import pytest
import torch
from torch import nn

from helpers.experiments.many_networks import ManyNetworks
from helpers.recurrent import GRU, LSTM, VanillaRNN

STEP_SIZES, CLIP = [0.01, 0.1, 0.03], 0.5


class Last(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell, self.readout = cell, nn.Linear(cell.output_size, 1, dtype=torch.float64)

    def forward(self, x):
        return self.readout(self.cell(x)[:, -1])


def losses(outputs, y):
    return (outputs.squeeze(-1) - y).square().mean(1)


def draw(generator, networks=3):
    x = torch.randn(networks, 4, 6, 2, dtype=torch.float64, generator=generator)
    return x, 3 * x[..., 0].sum(2)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("one_by_one", [True, False], ids=["one by one", "side by side"])
@pytest.mark.parametrize("kind", [VanillaRNN, LSTM, GRU])
def test_each_is_trained_as_if_it_were_alone(kind, one_by_one, generator):
    networks = [Last(kind(2, 5, dtype=torch.float64, generator=generator)) for _ in STEP_SIZES]
    together = ManyNetworks(networks, STEP_SIZES, CLIP, one_by_one=one_by_one)
    alone = copy.deepcopy(networks)
    optimisers = [
        torch.optim.Adam(network.parameters(), lr=size)
        for network, size in zip(alone, STEP_SIZES, strict=True)
    ]
    clipped = 0
    for _ in range(8):
        x, y = draw(generator)
        together.update(x, y, losses)
        for n, (network, optimiser) in enumerate(zip(alone, optimisers, strict=True)):
            optimiser.zero_grad()
            losses(network(x[n]).unsqueeze(0), y[n : n + 1]).sum().backward()
            clipped += nn.utils.clip_grad_norm_(network.parameters(), CLIP) > CLIP
            optimiser.step()
    assert clipped > 0
    x, _ = draw(generator)
    expected = torch.stack([network(x_n) for network, x_n in zip(alone, x, strict=True)])
    torch.testing.assert_close(together.outputs(x), expected, rtol=1e-10, atol=1e-12)


def test_those_that_go_on_are_not_touched_by_those_that_leave(generator):
    networks = [Last(GRU(2, 5, dtype=torch.float64, generator=generator)) for _ in STEP_SIZES]
    all_of_them, fewer = (ManyNetworks(networks, STEP_SIZES, CLIP, one_by_one=False) for _ in range(2))
    stay = torch.tensor([True, False, True])
    for update in range(6):
        x, y = draw(generator)
        all_of_them.update(x, y, losses)
        if update == 3:
            fewer.keep(stay)
        here = stay if update >= 3 else slice(None)
        fewer.update(x[here], y[here], losses)
    assert len(fewer) == 2
    x, _ = draw(generator)
    torch.testing.assert_close(fewer.outputs(x[stay]), all_of_them.outputs(x)[stay], rtol=1e-10, atol=1e-12)


def test_one_that_breaks_down_leaves_the_others_alone(generator):
    networks = [Last(VanillaRNN(2, 5, dtype=torch.float64, generator=generator)) for _ in STEP_SIZES]
    together, sound = (ManyNetworks(networks, STEP_SIZES, CLIP, one_by_one=False) for _ in range(2))
    x, y = draw(generator)
    sound.update(x, y, losses)
    broken = y.clone()
    broken[1] = torch.nan
    together.update(x, broken, losses)
    found, expected = together.outputs(x), sound.outputs(x)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-12, atol=1e-12)


def test_the_networks_given_stay_as_they_are(generator):
    networks = [Last(LSTM(2, 5, dtype=torch.float64, generator=generator)) for _ in STEP_SIZES]
    before = copy.deepcopy(networks[0].state_dict())
    ManyNetworks(networks, STEP_SIZES, CLIP, one_by_one=True).update(*draw(generator), losses)
    assert all(torch.equal(before[name], weight) for name, weight in networks[0].state_dict().items())
