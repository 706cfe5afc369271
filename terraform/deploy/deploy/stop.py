"""Being asked to stop (SIGTERM, SIGINT: a workflow that is cancelled, Ctrl-C).

Owns the signals while a command runs. A command that waits catches `Stopped` and says how to look after what
it has started. Refuses to undo anything: there are seconds left, and half of an undoing is worse than none.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The runner has asked this process to stop. No `Exception`, so that no handler of errors swallows it."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


@contextmanager
def stoppable() -> Iterator[None]:
    """Makes the signals raise `Stopped` inside the block, and gives them back after it."""
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
