"""What a run shows while it goes on, and what it leaves behind."""

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import torch
from helpers.training import fit

def loss(model, batch):
    return model(batch).square().mean()

def train(**options):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, loss, [torch.ones(1, 1)], epochs=3, optimiser=sgd, **options)
"""
SUMMARY = "3 epochs, stopped because all 3 epochs are done. Kept epoch 3: training loss 0.4096"


@pytest.fixture(scope="module")
def outputs():
    """Stored outputs of cells that train: shown, with validation, hidden, and failing."""
    failing = (
        "try:\n    train(validation=[torch.tensor([[torch.nan]])])\nexcept FloatingPointError:\n    pass"
    )
    sources = [SETUP, "train()", "train(validation=[torch.ones(1, 1)])", "train(progress=False)", failing]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return [cell.outputs for cell in notebook.cells[1:]]


def test_a_stored_notebook_keeps_one_plain_line(outputs):
    (shown,) = outputs[0]
    assert shown.output_type == "display_data"
    assert shown.data == {"text/plain": SUMMARY}


def test_the_line_tells_the_validation_loss(outputs):
    assert outputs[1][0].data["text/plain"].endswith("training loss 0.4096, validation loss 0.2621")


def test_no_progress_leaves_nothing(outputs):
    assert outputs[2] == []


def test_a_run_that_fails_leaves_no_stderr_and_no_widget(outputs):
    assert [set(output.get("data", {})) for output in outputs[3]] == [{"text/plain"}]


def test_in_a_terminal_the_bar_is_on_stderr_and_the_summary_on_stdout(capsys):
    names = {}
    exec(SETUP, names)
    names["train"]()
    out, err = capsys.readouterr()
    assert out == SUMMARY + "\n"
    assert "0/3" in err and err.endswith("\r")


def test_silence_in_a_terminal(capsys):
    names = {}
    exec(SETUP, names)
    names["train"](progress=False)
    assert capsys.readouterr() == ("", "")
