"""How many threads an explorer's model may use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread, and afterwards as many as before.

    A model that follows a slider is many small operations, in which several threads mostly wait for each
    other: on two busy cores the gain explorer of chapter 04 took 136 ms of processor time with two threads,
    and 37 ms with one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
