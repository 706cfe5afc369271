"""What is shown, and how.

Owns standard output and standard error: progress goes to the one, warnings and errors to the other, each line
at once. Refuses to show a value that it was told to hide, and to pass on lines that GitHub would take for
commands of ours.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Console:
    """Shows progress to people, and to GitHub's log when it runs there."""

    def __init__(self, github: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._github = github
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._hidden: list[str] = []

    def hide(self, *values: str) -> None:
        """Shows these values as stars from here on, wherever they turn up: a refusal could repeat them."""
        self._hidden += [value for value in values if value]

    def say(self, text: str) -> None:
        """Tells what happens."""
        self._write(self._out, text)

    def quote(self, text: str) -> None:
        """Repeats what another program has said. Set off, so that GitHub obeys no command in it."""
        for line in text.splitlines() or [""]:
            self.say(f"  | {line.replace('##[', '## [')}")

    def warn(self, text: str) -> None:
        """Tells what is not as it should be and stops nothing."""
        self._annotate("warning", text)

    def fail(self, text: str) -> None:
        """Tells why it ends."""
        self._annotate("error", text)

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Puts what is said inside under a title."""
        self.say(f"::group::{title}" if self._github else f"{title}:")
        try:
            yield
        finally:
            if self._github:
                self.say("::endgroup::")

    def _annotate(self, kind: str, text: str) -> None:
        line = " ".join(text.split())
        if self._github:
            # GitHub reads %0A and the like as what they stand for.
            self._write(self._err, f"::{kind}::{line.replace('%', '%25')}")
        else:
            self._write(self._err, f"{kind}: {line}")

    def _write(self, stream: TextIO, text: str) -> None:
        for value in self._hidden:
            text = text.replace(value, "***")
        stream.write(f"{text}\n")
        stream.flush()
