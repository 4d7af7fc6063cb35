"""From irregular times to a grid: nothing from the future, nothing lost."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binned_statistic

from helpers.series import collate, one_series


def test_cells_by_hand():
    times = torch.tensor([0.0, 0.5, 1.0, 1.1, 3.0], dtype=torch.float64)
    grid = one_series(times, torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]])).to_grid(1.0)
    assert grid.times.tolist() == [[0.0, 1.0, 2.0, 3.0]]
    assert grid.values[0, :, 0].tolist() == [1.0, 3.0, 8.0, 16.0]
    assert grid.mask.all()


def test_a_cell_without_observations_is_unobserved():
    grid = one_series(torch.tensor([0.0, 3.0]), torch.ones(2, 1)).to_grid(1.0)
    assert grid.mask[0, :, 0].tolist() == [True, False, False, True]


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_series_without_steps_has_an_empty_grid(make_batch, steps):
    empty = make_batch(0, steps=max(steps, 1))[-1]
    empty = dataclasses.replace(
        empty,
        times=empty.times[:, :steps],
        values=empty.values[:, :steps],
        mask=empty.mask[:, :steps],
    )
    grid = empty.to_grid(0.5)
    assert grid.lengths.tolist() == [0]
    assert grid.values.shape == (1, 0, 3)


def test_empty_and_other_series_share_a_grid(make_batch):
    batch = make_batch(0)
    alone, together = batch[:-1].to_grid(0.5), batch.to_grid(0.5)
    assert together.lengths.tolist() == [*alone.lengths.tolist(), 0]
    assert torch.equal(together.values[:-1], alone.values)


@pytest.mark.parametrize("step", [1e-300, 1e-12])
def test_a_step_too_small_for_any_grid_is_refused(step):
    with pytest.raises(ValueError, match=r"step must leave fewer than 2³¹ cells: 1e-\d+ does not, up to"):
        one_series(torch.arange(2.0), torch.ones(2, 1)).to_grid(step)


def test_means_agree_with_scipy(batch):
    step, start = 0.3, 0.0
    grid = batch.to_grid(step, start)
    for b, d in [(b, d) for b in range(len(batch)) for d in range(3)]:
        seen = batch.mask[b, :, d].cpu()
        if not seen.any():
            continue
        times, values = batch.times[b].cpu()[seen].double(), batch.values[b, :, d].cpu()[seen].double()
        edges = start + step * torch.arange(-1, grid.times.shape[1], dtype=torch.float64)
        # binned_statistic's bins are closed on the left: mirror time, so that they are closed on the right
        expected = binned_statistic(-times, values, bins=(-edges).flip(0)).statistic[::-1].copy()
        found = torch.where(grid.mask[b, :, d], grid.values[b, :, d], torch.nan).double().cpu()
        torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-6, atol=1e-6, equal_nan=True)


def test_no_cell_holds_its_future(make_batch):
    batch = make_batch(0, steps=10)
    step = 0.4
    grid = batch.to_grid(step)
    for cell, time in enumerate(grid.times[0].tolist()):
        later = (batch.times > time).unsqueeze(-1)
        changed = dataclasses.replace(batch, values=torch.where(later, 1e6, batch.values)).to_grid(step)
        assert torch.equal(changed.values[:, : cell + 1], grid.values[:, : cell + 1])


@given(
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3, width=32, allow_subnormal=False),
    st.integers(1, 40),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_data_on_the_grid_come_back_unchanged(step, start, length, dtype):
    # float32 resolves 1e3 to 6e-5, below the smallest step of 1e-3
    times = (start + step * torch.arange(length, dtype=torch.float64)).to(dtype)
    series = one_series(
        times, torch.randn(length, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)
    )
    grid = series.to_grid(step, start)
    assert torch.equal(grid.times, series.times)
    assert torch.equal(grid.values, series.values)
    assert torch.equal(grid.mask, series.mask)


def test_totals_are_kept(batch):
    """Every observation lies in exactly one cell: one-observation-per-cell grids keep all of them."""
    grid = batch.to_grid(1e-3)
    assert torch.equal(grid.mask.sum((1, 2)), batch.mask.sum((1, 2)))
    torch.testing.assert_close(grid.values.sum(), torch.where(batch.mask, batch.values, 0.0).sum())


def test_lengths_end_with_the_last_step(batch):
    last = torch.where(batch.valid, batch.times, -torch.inf).amax(1)
    expected = torch.where(batch.lengths > 0, (last / 0.3).ceil() + 1, 0)
    assert torch.equal(batch.to_grid(0.3).lengths, expected.long())


def test_a_series_does_not_depend_on_neighbours_or_padding(batch):
    together = batch.to_grid(0.3)
    for number in range(len(batch)):
        alone = collate([batch[number]]).to_grid(0.3)
        cells = int(alone.lengths)
        assert torch.equal(alone.values[0], together.values[number, :cells])
        assert torch.equal(alone.mask[0], together.mask[number, :cells])
        assert not together.mask[number, cells:].any()


def test_gradients_share_a_cell_s_mean(make_batch):
    batch = make_batch(1)
    values = batch.values.clone().requires_grad_()
    grid = dataclasses.replace(batch, values=values).to_grid(0.5)
    grid.values.sum().backward()
    assert not values.grad[~batch.mask].any()
    torch.testing.assert_close(values.grad.sum(), grid.mask.sum().double())


@pytest.mark.parametrize(
    ("step", "start", "message"),
    [
        (0.0, 0.0, "step must be positive and finite: got 0.0"),
        (-1.0, 0.0, "step must be positive and finite: got -1.0"),
        (math.nan, 0.0, "step must be positive and finite: got nan"),
        (math.inf, 0.0, "step must be positive and finite: got inf"),
        (1.0, math.nan, "start must be a finite number: got nan"),
        (1.0, 0.5, "times must not lie before start = 0.5: series 1 has times[0] = 0.25"),
    ],
)
def test_refuses_by_name_and_place(step, start, message):
    late = one_series(torch.tensor([0.5, 0.75]), torch.ones(2, 1))
    early = one_series(torch.tensor([0.25, 0.75]), torch.ones(2, 1))
    with pytest.raises(ValueError) as error:
        collate([late, early]).to_grid(step, start)
    assert str(error.value) == message
