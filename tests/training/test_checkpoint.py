"""A run that was interrupted goes on as if it had not been."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from copy import deepcopy

import pytest
import torch
from torch import nn

from helpers.training import fit

X = torch.linspace(-1, 1, 24).reshape(8, 3)
Y = X.sum(1, keepdim=True)


def network(width=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(0.4), nn.Linear(width, 1))


def squared_error(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def shuffled(generator):
    return [(X[i], Y[i]) for i in torch.randperm(8, generator=generator).split(2)]


def train(epochs, checkpoint=None, loss=squared_error, seed=1, model=None, **options):
    model = model or network()
    generator = torch.Generator().manual_seed(seed)
    settings = {"validation": [(X, Y)], "learning_rate": 0.05, "progress": False} | options
    history = fit(
        model, loss, shuffled, epochs=epochs, checkpoint=checkpoint, generator=generator, **settings
    )
    return history, model.state_dict(), generator.get_state()


def assert_same(first, second):
    assert first[0] == second[0]
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])
    assert torch.equal(first[2], second[2])


def test_resuming_is_bit_identical(tmp_path):
    train(4, tmp_path / "run.pt")
    resumed = train(10, tmp_path / "run.pt", seed=99)
    assert_same(resumed, train(10))


def test_a_resumed_run_without_validation_is_bit_identical(tmp_path):
    train(3, tmp_path / "run.pt", validation=None)
    assert_same(train(5, tmp_path / "run.pt", validation=None), train(5, validation=None))


def test_an_exception_in_the_middle_of_an_epoch_loses_that_epoch_only(tmp_path):
    steps = iter(range(1000))

    def fails_in_epoch_3(model, batch):
        if model.training and next(steps) == 10:
            raise RuntimeError("power cut")
        return squared_error(model, batch)

    with pytest.raises(RuntimeError, match="power cut"):
        train(6, tmp_path / "run.pt", loss=fails_in_epoch_3)
    assert_same(train(6, tmp_path / "run.pt"), train(6))


def test_a_killed_process_resumes_bit_identically(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_checkpoint import squared_error, train
        steps = iter(range(1000))
        def killed(model, batch):
            if model.training and next(steps) == 10:
                os.kill(os.getpid(), signal.SIGKILL)
            return squared_error(model, batch)
        train(6, {str(tmp_path / "run.pt")!r}, loss=killed)
    """)
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert_same(train(6, tmp_path / "run.pt"), train(6))


def test_a_finished_run_is_given_back(tmp_path):
    def untouchable(model, batch):
        raise AssertionError("nothing is left to train")

    first = train(5, tmp_path / "run.pt")
    assert_same(train(5, tmp_path / "run.pt", loss=untouchable), first)


def test_an_interrupted_write_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    train(2, path)
    before = path.read_bytes()

    def half_written(content, partial):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half_written)
        with pytest.raises(OSError, match="disk full"):
            train(4, path)
    assert path.read_bytes() == before
    assert_same(train(4, path), train(4))


def cut(content):
    return content[: len(content) // 2]


def flip_a_bit_of_a_weight(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weight = archive.read(next(name for name in archive.namelist() if name.endswith("data/0")))
    at = content.index(weight)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [cut, flip_a_bit_of_a_weight, lambda _: b"", lambda _: b"no zip" * 9],
    ids=["cut", "a bit flipped", "empty", "no zip"],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "run.pt"
    train(2, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=r"checkpoint .*run\.pt cannot be read \(.*\): delete it to start afresh"
    ):
        train(4, path)


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    train(3, path)
    with pytest.raises(ValueError, match="has 3 epochs already, epochs asks for 2"):
        train(2, path)
    with pytest.raises(ValueError, match="was written with validation batches"):
        train(4, path, validation=None)
    other = network(width=5)
    before = deepcopy(other.state_dict())
    with pytest.raises(
        ValueError, match="(?s)belongs to another model, optimiser or device: .*size mismatch"
    ):
        train(4, path, model=other)
    assert all(torch.equal(before[name], other.state_dict()[name]) for name in before)
    train(1, tmp_path / "bare.pt", validation=None)
    with pytest.raises(ValueError, match="was written without validation batches"):
        train(4, tmp_path / "bare.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="weights.pt was not written by this version of fit"):
        train(4, tmp_path / "weights.pt")
