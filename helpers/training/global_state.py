"""Global state that a training run uses and gives back as it was: random streams, modes, denormals."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def fork_random_streams(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let layers such as dropout draw from streams seeded by `generator`, then restore the global ones."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    devices = cuda_devices(model)
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def get_random_states(model: nn.Module) -> list[Tensor]:
    """State of the streams that the model's layers draw from: the CPU's, then each CUDA device's."""
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, cuda_devices(model))]


def set_random_states(model: nn.Module, states: list[Tensor]) -> None:
    """Set the streams to the states that `get_random_states` gave."""
    torch.set_rng_state(states[0])
    for device, state in zip(cuda_devices(model), states[1:], strict=True):
        torch.cuda.set_rng_state(state, device)


def cuda_devices(model: nn.Module) -> list[torch.device]:
    """CUDA devices that hold the model's parameters."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return sorted(devices, key=lambda device: device.index)


@contextmanager
def restore_modes(model: nn.Module) -> Iterator[None]:
    """At the end, return every part of the model to the training or evaluation mode it came in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def flush_denormals(flush: bool) -> Iterator[None]:
    """Let this thread's CPU arithmetic round denormal numbers to 0, then do as before.

    Raises
    ------
    ValueError
        If this CPU cannot.
    """
    before = flushes_denormals()
    if flush and not torch.set_flush_denormal(True):
        raise ValueError("flush_denormal=True: this CPU cannot flush denormal numbers to zero")
    try:
        yield
    finally:
        if flush:
            torch.set_flush_denormal(before)


def flushes_denormals() -> bool:
    """Whether half the smallest normal number is 0 here; PyTorch does not tell otherwise."""
    smallest_normal = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64)
    return bool(smallest_normal / 2 == 0)
