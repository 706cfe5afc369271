"""Time, and how to wait for something.

Owns every pause of the deployment, so that nothing waits without an end and nothing asks faster and faster.
Refuses to decide what it means when the time is up: the caller says that.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What passes the time. Tests bring one that does not really wait."""

    def now(self) -> float:
        """Seconds that only ever grow."""

    def sleep(self, seconds: float) -> None:
        """Waits."""

    def utc(self) -> datetime:
        """The time of day."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def utc(self) -> datetime:
        return datetime.now(UTC)


def attempts(clock: Clock, timeout: float, first: float = 1.0, longest: float = 8.0) -> Iterator[int]:
    """Counts tries, with growing pauses between them. The last try is made when the time is up."""
    end = clock.now() + timeout
    pause = first
    number = 1
    while True:
        yield number
        left = end - clock.now()
        if left <= 0:
            return
        clock.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)
        number += 1
