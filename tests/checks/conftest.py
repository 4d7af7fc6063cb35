"""What tests of all exercises share."""

import pytest


@pytest.fixture
def assert_says():
    """A function that asserts that a verdict's text, wherever its lines break, holds each of the messages."""

    def assert_all(verdict, *messages):
        text = " ".join(str(verdict).split())
        assert [message for message in messages if message not in text] == []

    return assert_all
