"""Reading a stream to its end."""

from io import StringIO
from typing import Any

from deploy.console import Console
from deploy.task_log import TaskLog


class Logs:
    """A stream of several pages, which moto makes only of 10,000 lines and more."""

    def __init__(self, *pages: list[str]) -> None:
        self.pages = pages

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        number = int(request.get("nextToken", 0))
        lines = self.pages[number] if number < len(self.pages) else []
        # At the end the token stays what it was.
        following = str(min(number + 1, len(self.pages)))
        return {"events": [{"message": line} for line in lines], "nextForwardToken": following}


def test_reads_all_pages_at_once_and_each_line_once() -> None:
    out = StringIO()
    log = TaskLog(Logs(["one"], [], ["two", "three"]), "group", "stream", Console(github=False, out=out))
    log.show_new()
    assert out.getvalue() == "  | one\n  | two\n  | three\n"
    log.show_new()
    assert out.getvalue() == "  | one\n  | two\n  | three\n"
