"""The newest request is served, on one thread, and the setting of threads is left as it was."""

import asyncio

import pytest
import torch

from helpers.explorers.engine.kernel import PAUSE, REST, LatestWins, one_thread


def test_without_an_event_loop_each_request_is_served_at_once():
    served = []
    latest = LatestWins(lambda: served.append(len(served)))
    latest.request()
    latest.request()
    assert served == [0, 1]


def test_requests_before_a_turn_share_it_and_the_newest_is_served():
    served = []

    async def drag():
        moves = []
        latest = LatestWins(lambda: served.append(moves[-1]))
        for move in range(1, 41):
            moves.append(move)
            latest.request()
        await asyncio.sleep(5 * PAUSE)
        moves.append(41)
        latest.request()
        await asyncio.sleep(5 * PAUSE)

    asyncio.run(drag())
    assert served == [40, 41]


def test_only_a_request_close_upon_another_waits():
    delays = []

    async def three_moves():
        latest = LatestWins(lambda: None)
        loop = asyncio.get_running_loop()
        later = loop.call_later
        loop.call_later = lambda delay, *turn: delays.append(delay) or later(delay, *turn)
        for rest in (0.0, 0.0, 2 * REST):
            await asyncio.sleep(rest)
            latest.request()
            while latest._waiting:
                await asyncio.sleep(0)

    asyncio.run(three_moves())
    assert [delay for delay in delays if delay < REST] == [0.0, PAUSE, 0.0]


def test_a_failing_turn_does_not_block_the_next():
    served, failures = [], []

    def serve():
        served.append(True)
        if len(served) == 1:
            raise ArithmeticError

    async def two_turns():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        latest = LatestWins(serve)
        latest.request()
        await asyncio.sleep(5 * PAUSE)
        latest.request()
        await asyncio.sleep(5 * PAUSE)

    asyncio.run(two_turns())
    assert len(served) == 2
    assert isinstance(failures[0]["exception"], ArithmeticError)


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
