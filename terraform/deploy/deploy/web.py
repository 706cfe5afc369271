"""HTTP with the standard library.

Owns time limits, repetition and what counts as an answer: every status is one, and only a lost connection or
a 502, 503 or 504 is worth another try. Refuses redirects, which would carry credentials elsewhere, and plain
HTTP to other hosts.
"""

import json
import ssl
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPErrorProcessor, OpenerDirector, Request, build_opener

from deploy.clock import Clock, attempts
from deploy.errors import DeployError

_REPEATED = (502, 503, 504)
_LOST = (URLError, TimeoutError, ConnectionError, HTTPException)
_TIMEOUT = 10.0
# No answer that is asked for here is longer.
_MOST_BYTES = 1_000_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Answer:
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        return self.headers.get_content_type()

    def json(self) -> dict[str, Any]:
        """The body as an object; an empty one if it is something else."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


class _EveryStatusIsAnAnswer(HTTPErrorProcessor):
    """Follows no redirect and raises nothing."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:  # noqa: ARG002
        return response

    https_response = http_response


def checked_url(url: str, where: str) -> str:
    """An address without the slash at its end. `where` says what to set when it is none."""
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.hostname:
        raise DeployError(
            f"{url!r} is no address that credentials may be sent to: set {where} to one with https://."
        )
    return url.rstrip("/")


class Web:
    """Sends requests and repeats what may succeed the next time, for so many seconds each."""

    def __init__(self, clock: Clock, budget: float) -> None:
        self._clock = clock
        self._budget = budget
        self._opener: OpenerDirector = build_opener(_EveryStatusIsAnAnswer)

    def send(
        self, method: str, url: str, headers: dict[str, str], body: dict[str, str] | None = None
    ) -> Answer:
        """The first answer that is not worth another try, or the last one of all."""
        request = Request(url, method=method, headers=headers)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        last: Answer | str = ""
        for _ in attempts(self._clock, self._budget):
            last = self._try(request)
            if isinstance(last, Answer) and last.status not in _REPEATED:
                return last
        if isinstance(last, Answer):
            return last
        path = urlsplit(url).path or "/"
        raise DeployError(
            f"{method} {path} of {urlsplit(url).netloc} had no answer in {self._budget:.0f} s: {last}."
        )

    def _try(self, request: Request) -> Answer | str:
        """An answer, or why there was none."""
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                return Answer(response.status, response.headers, response.read(_MOST_BYTES))
        except _LOST as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise DeployError(
                    f"The certificate of {request.host} is not good ({reason.verify_message}): this is not"
                    " the host that was meant, or its certificate has run out."
                ) from None
            return str(reason) or type(error).__name__
