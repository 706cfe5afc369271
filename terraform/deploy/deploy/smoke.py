"""Whether the environment works, seen from where its clients are.

Owns one walk through the load balancer as a user of a tenant that exists for this: ready, log in, one request
that is limited and metered, and a stranger who is turned away. Refuses to repeat what was answered: only a
lost connection or a 502, 503 or 504 is worth another try.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from urllib.parse import urlencode

from deploy.clock import Clock, attempts
from deploy.console import Console
from deploy.errors import DeployError
from deploy.web import Answer, Web, checked_url

_BUDGET = 60.0
_USAGE_TIMEOUT = 120.0
_CREDENTIALS = "SMOKE_CREDENTIALS"
_METER = "api_requests"


@dataclass(frozen=True)
class Credentials:
    """Who walks. A user that may read its tenant's usage, of a tenant that has no other use."""

    tenant: str
    email: str
    password: str = field(repr=False)


def parse_credentials(environ: Mapping[str, str]) -> Credentials:
    """Reads SMOKE_CREDENTIALS, and repeats nothing of it when it is wrong."""
    shape = '{"tenant": "...", "email": "...", "password": "..."}'
    text = environ.get(_CREDENTIALS, "")
    if not text:
        raise DeployError(
            f"{_CREDENTIALS} is not set: set it to {shape} of a user that may read its tenant's usage."
        )
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    match content:
        case {"tenant": str(tenant), "email": str(email), "password": str(password)} if (
            tenant and email and password
        ):
            return Credentials(tenant, email, password)
        case _:
            raise DeployError(f"{_CREDENTIALS} cannot be read: set it to {shape}.")


class Smoke:
    """One walk."""

    def __init__(self, url: str, credentials: Credentials, console: Console, clock: Clock) -> None:
        self._url = checked_url(url, "--url")
        self._credentials = credentials
        self._console = console
        self._clock = clock
        self._web = Web(clock, _BUDGET)
        # Whole hours are answered: the walk is in them even if one ends on the way and clocks differ.
        self._since = (clock.utc() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        console.hide(credentials.password)

    def run(self) -> None:
        """Takes every step, or raises which one failed."""
        self._console.say(f"through {self._url}")
        with self._step("GET /readyz is 200"):
            self._check_readiness()
        with self._step("POST /v1/auth/login is 200"):
            token = self._log_in()
        with self._step("GET /v1/usage is 200"):
            before = self._usage(token)
        with self._step("GET /v1/me is 200, limited and named"):
            self._check_request(token)
        with self._step("the request is in the usage"):
            self._wait_for_usage(token, before)
        with self._step("GET /v1/me without credentials is 401"):
            self._check_refusal()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        start = self._clock.now()
        yield
        self._console.say(f"{name}: {(self._clock.now() - start) * 1000:.0f} ms")

    def _check_readiness(self) -> None:
        _expect(self._get("/readyz"), 200, "GET /readyz")

    def _log_in(self) -> str:
        body = {
            "tenant": self._credentials.tenant,
            "email": self._credentials.email,
            "password": self._credentials.password,
        }
        answer = self._web.send("POST", f"{self._url}/v1/auth/login", {"Accept": "application/json"}, body)
        tokens = answer.json()
        # Before anything of the answer is shown.
        self._console.hide(str(tokens.get("access_token", "")), str(tokens.get("refresh_token", "")))
        _expect(answer, 200, "POST /v1/auth/login")
        token = tokens.get("access_token")
        if not isinstance(token, str) or not token:
            raise DeployError(
                "POST /v1/auth/login answered without an access token: what answers is not this product."
            )
        return token

    def _check_request(self, token: str) -> None:
        answer = self._get("/v1/me", token)
        _expect(answer, 200, "GET /v1/me")
        for header in ("RateLimit", "X-Request-Id"):
            if not answer.headers.get(header):
                raise DeployError(
                    f"GET /v1/me was answered without {header}: look at what stands in front of the API."
                )

    def _usage(self, token: str) -> Decimal:
        """How many requests of the tenant are counted, over the last hours."""
        query = urlencode({"meter": _METER, "window": "hour", "from": self._since})
        answer = self._get(f"/v1/usage?{query}", token)
        _expect(answer, 200, "GET /v1/usage")
        try:
            return sum((Decimal(bucket["quantity"]) for bucket in answer.json()["data"]), Decimal(0))
        except (KeyError, TypeError, InvalidOperation):
            raise DeployError(
                "GET /v1/usage was answered in another form: take the program of the image's revision."
            ) from None

    def _wait_for_usage(self, token: str, before: Decimal) -> None:
        """Asking is counted, too: all that was asked since has to be there, which the one request then is."""
        # The question for `before` and the request itself come first.
        asked, counted = 0, Decimal(0)
        for number in attempts(self._clock, _USAGE_TIMEOUT):
            asked = number + 1
            counted = self._usage(token) - before
            if counted >= asked:
                return
        raise DeployError(
            f"GET /v1/usage counts {counted} of {asked} requests after {_USAGE_TIMEOUT:.0f} s: look at the"
            " worker's log for aggregate_usage."
        )

    def _check_refusal(self) -> None:
        answer = self._get("/v1/me")
        _expect(answer, 401, "GET /v1/me without credentials")
        if answer.media_type != "application/problem+json" or answer.json().get("status") != 401:
            raise DeployError(
                f"GET /v1/me without credentials was answered as {answer.media_type}, not as a problem"
                " document: look at what stands in front of the API."
            )

    def _get(self, path: str, token: str = "") -> Answer:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._web.send("GET", f"{self._url}{path}", headers)


def _expect(answer: Answer, status: int, what: str) -> None:
    """Names the problem's code and the request's id, which lead to the log; nothing else of the answer."""
    if answer.status == status:
        return
    problem = answer.json().get("code", "no problem document")
    request = answer.headers.get("X-Request-Id", "unknown")
    raise DeployError(
        f"{what} was answered {answer.status} ({problem}), not {status}: look for request {request} in the"
        " log."
    )
