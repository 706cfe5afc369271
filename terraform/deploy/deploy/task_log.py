"""The log of a task, as it comes.

Owns reading one stream of CloudWatch to its end. Refuses to be a reason for failure: a log that cannot be
read is said once, and the task is followed without it.
"""

from typing import Any

from botocore.exceptions import ClientError

from deploy.aws import AWS_ERRORS, code, explain
from deploy.console import Console


class TaskLog:
    """One stream, and how far it has been read."""

    def __init__(self, logs: Any, group: str, stream: str, console: Console) -> None:
        self._logs = logs
        self._group = group
        self._stream = stream
        self._console = console
        self._token: str | None = None
        self._is_readable = True

    def show_new(self) -> None:
        """Shows the lines that have come since the last time."""
        if not self._is_readable:
            return
        try:
            while self._show_page():
                pass
        except AWS_ERRORS as error:
            # The stream is made with its first line.
            if isinstance(error, ClientError) and code(error) == "ResourceNotFoundException":
                return
            self._is_readable = False
            self._console.warn(f"The log of the task cannot be shown. {explain(error)}")

    def _show_page(self) -> bool:
        """Whether there may be more: at the end of a stream the token stays the same."""
        position = {} if self._token is None else {"nextToken": self._token}
        answer = self._logs.get_log_events(
            logGroupName=self._group, logStreamName=self._stream, startFromHead=True, **position
        )
        for event in answer["events"]:
            self._console.quote(event["message"])
        before, self._token = self._token, answer["nextForwardToken"]
        return self._token != before
