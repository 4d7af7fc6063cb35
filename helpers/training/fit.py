"""The one training loop."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helpers.arguments import check_generator, check_path, check_positive_number, check_whole_number, kind
from helpers.progress import ProgressBar
from helpers.training import checkpoint as checkpoints
from helpers.training.global_state import flush_denormals, fork_random_streams, restore_modes
from helpers.training.history import History, describe, reason_to_stop, summarise
from helpers.training.run import Batches, Run


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batches: Batches,
    *,
    epochs: int,
    optimiser: torch.optim.Optimizer | None = None,
    learning_rate: float | None = None,
    validation: Batches | None = None,
    patience: int | None = None,
    clip: float | None = None,
    checkpoint: str | os.PathLike | None = None,
    flush_denormal: bool = False,
    progress: bool = True,
    generator: torch.Generator | None = None,
) -> History:
    """Train a model by gradient descent on the loss of one batch after another.

    ::

        θ ← θ - η · step(∇ loss(model_θ, batch)),   one step per batch, every batch once per epoch

    However the run ends, by an error or an interruption too, the model leaves with the weights of its lowest
    validation loss (without validation: with the latest), and in the training or evaluation mode it came in.
    During the run it is in training mode for steps, in evaluation mode for validation.

    The same generator state gives the same result: layers such as dropout draw from a stream of their own
    that is seeded by `generator`, and PyTorch's global stream is left as it was.

    Parameters
    ----------
    model : nn.Module
        Trained in place.
    loss : function (model, batch) -> Tensor, scalar
        What to minimise; batches weigh the same in an epoch's mean.
    batches : iterable, or function (generator) -> iterable
        Passed over once per epoch; a function is called at the start of each, to shuffle by `generator`.
    epochs : int
        The most passes to make.
    optimiser : torch.optim.Optimizer, optional
        Left out, Adam on all of the model's parameters.
    learning_rate : float, optional
        Of that Adam; 1e-3 where left out. An optimiser of your own brings its own.
    validation : as `batches`, optional
        What the weights are judged by after each epoch, with the same loss and without gradients.
    patience : int, optional
        Stop after this many epochs without a lower validation loss.
    clip : float, optional
        Shrink the whole gradient to this norm where it is larger.
    checkpoint : path, optional
        Written after each epoch. If the file is there at the start, the run goes on from it, with exactly the
        numbers of a run that was never interrupted; delete it to start afresh. A batch source with a random
        state of its own (a DataLoader with its own generator) is not part of it.
    flush_denormal : bool
        Let the CPU round denormal numbers to zero during the run; on this thread, as PyTorch offers it.
    progress : bool
        Show a bar, and at the end one line that sums up.
    generator : torch.Generator, optional
        For shuffling and noise; left out, one seeded by a single draw from PyTorch's global stream.

    Raises
    ------
    ValueError
        If an argument does not make sense; if there are no batches; if the loss is no scalar or no gradient
        flows from it; if the checkpoint is damaged or belongs to another model.
    FloatingPointError
        If a loss or gradient is not finite, before that step is taken: saying in which epoch and batch, and
        which parameters and gradients are affected.
    """
    _check_kinds(model, loss, batches, validation, optimiser, checkpoint, generator)
    _check_numbers(epochs, learning_rate, patience, clip)
    _check_combinations(validation, patience, optimiser, learning_rate)
    path = _checkpoint_path(checkpoint)
    optimiser = optimiser or torch.optim.Adam(_trainable_parameters(model), lr=learning_rate or 1e-3)
    run = Run(model, loss, optimiser, generator or _generator_from_global_stream(), clip)
    with fork_random_streams(model, run.generator), restore_modes(model), flush_denormals(flush_denormal):
        if path is not None and path.exists():
            checkpoints.resume(path, run, epochs, validated=validation is not None)
        try:
            with ProgressBar(epochs, "epoch", done=len(run.epochs), shown=progress) as bar:
                while not (reason := reason_to_stop(run.epochs, epochs, patience)):
                    bar.advance(str(run.train_epoch(batches, validation)))
                    if path is not None:
                        checkpoints.save(path, run)
                history = summarise(run.epochs, reason)
                bar.finish(describe(history))
            return history
        finally:
            run.restore_best()


def _check_kinds(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batches: Batches,
    validation: Batches | None,
    optimiser: torch.optim.Optimizer | None,
    checkpoint: str | os.PathLike | None,
    generator: torch.Generator | None,
) -> None:
    """Refuse anything that is not of the kind that its name promises."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module: got {kind(model)}")
    if not callable(loss):
        raise ValueError(f"loss must be a function of model and batch: got {kind(loss)}")
    for name, source in {"batches": batches, "validation": [] if validation is None else validation}.items():
        if not (callable(source) or hasattr(source, "__iter__") or hasattr(source, "__getitem__")):
            raise ValueError(f"{name} must be an iterable or a function of a generator: got {kind(source)}")
    if not (optimiser is None or isinstance(optimiser, torch.optim.Optimizer)):
        raise ValueError(f"optimiser must be a torch.optim.Optimizer: got {kind(optimiser)}")
    if checkpoint is not None:
        check_path("checkpoint", checkpoint)
    if generator is not None:
        check_generator("generator", generator)


def _check_numbers(
    epochs: int, learning_rate: float | None, patience: int | None, clip: float | None
) -> None:
    check_whole_number("epochs", epochs)
    if patience is not None:
        check_whole_number("patience", patience)
    for name, number in {"learning_rate": learning_rate, "clip": clip}.items():
        if number is not None:
            check_positive_number(name, number)


def _check_combinations(
    validation: Batches | None,
    patience: int | None,
    optimiser: torch.optim.Optimizer | None,
    learning_rate: float | None,
) -> None:
    if patience is not None and validation is None:
        raise ValueError(f"patience={patience} needs validation batches to judge by: got validation=None")
    if optimiser is not None and learning_rate is not None:
        raise ValueError(
            f"learning_rate={learning_rate} is for the default Adam: set it in your own optimiser"
        )


def _checkpoint_path(checkpoint: str | os.PathLike | None) -> Path | None:
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    if not path.parent.is_dir():
        raise ValueError(f"checkpoint must lie in a folder that exists: got {path}")
    return path


def _trainable_parameters(model: nn.Module) -> list[Tensor]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model has no parameters to train")
    return parameters


def _generator_from_global_stream() -> torch.Generator:
    return torch.Generator().manual_seed(int(torch.randint(2**63 - 1, ())))
