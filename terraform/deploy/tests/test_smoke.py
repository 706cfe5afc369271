"""The walk of a client, through a server that behaves, and through ones that do not."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from tests.conftest import Deploy, FastClock
from tests.site import Page, Seen, Site, serve

PASSWORD = "correct horse battery staple"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.payload.signature"
REFRESH = "bh_rt_secret"
CREDENTIALS = json.dumps({"tenant": "smoke", "email": "smoke@example.com", "password": PASSWORD})
LIMITED = {"RateLimit": '"tenant";r=98;t=1', "X-Request-Id": "req_1"}


class Product:
    """Answers as the API does. Usage is counted `lag` questions late."""

    def __init__(self, lag: int = 0) -> None:
        self.counted = 40
        self.log = [self.counted] * lag

    def login(self, seen: Seen) -> Page:
        sent = json.loads(seen.body)
        if sent != json.loads(CREDENTIALS):
            return Page(401, {"code": "login-failed", "status": 401})
        return Page(200, {"access_token": TOKEN, "token_type": "Bearer", "refresh_token": REFRESH})

    def me(self, seen: Seen) -> Page:
        if not self._is_known(seen):
            problem = {"Content-Type": "application/problem+json; charset=utf-8", "X-Request-Id": "req_2"}
            return Page(401, {"status": 401, "code": "missing-credentials"}, problem)
        self._count()
        return Page(200, {"subject": "usr_1"}, LIMITED)

    def usage(self, seen: Seen) -> Page:
        assert self._is_known(seen)
        query = parse_qs(seen.query, strict_parsing=True)
        assert query["meter"] == ["api_requests"]
        assert query["from"] == ["2026-11-21T11:30:00Z"]
        self.log.append(self.counted)
        shown = self.log.pop(0)
        self._count()
        # In two hours, as after the turn of one.
        buckets = [
            {"meter": "api_requests", "quantity": "10"},
            {"meter": "api_requests", "quantity": str(shown - 10)},
        ]
        return Page(200, {"window": "hour", "data": buckets}, LIMITED)

    def _is_known(self, seen: Seen) -> bool:
        return seen.headers.get("authorization") == f"Bearer {TOKEN}"

    def _count(self) -> None:
        self.counted += 1


def pages(site: Site, product: Product) -> None:
    site.pages = {
        "GET /readyz": lambda _seen: Page(200, {"status": "ready"}),
        "POST /v1/auth/login": product.login,
        "GET /v1/me": product.me,
        "GET /v1/usage": product.usage,
    }


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site()) as site:
        pages(site, Product())
        yield site


def test_walks_through_a_product_that_works(deploy: Deploy, site: Site) -> None:
    result = deploy("smoke", "--url", f"{site.url}/", SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 0, result.err
    steps = [line for line in result.out.splitlines() if line.endswith(" ms")]
    assert len(steps) == 6
    for secret in (PASSWORD, TOKEN, REFRESH):
        assert secret not in result.said


def test_waits_until_the_request_is_counted(deploy: Deploy, site: Site, clock: FastClock) -> None:
    # Asking is counted as well; each answer is what was counted before the last two questions.
    product = Product()
    delayed = {"shown": [40, 40, 41]}

    def usage(seen: Seen) -> Page:
        page = product.usage(seen)
        if delayed["shown"]:
            page.content["data"] = [{"meter": "api_requests", "quantity": str(delayed["shown"].pop(0))}]
        return page

    pages(site, product)
    site.pages["GET /v1/usage"] = usage
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 0, result.err
    # One before the request, two that were too early, and the one that had everything.
    assert len(site.asked("GET /v1/usage")) == 4
    assert clock.seconds > 0


def test_a_request_that_is_never_counted_fails(deploy: Deploy, site: Site, clock: FastClock) -> None:
    nothing = Page(200, {"window": "hour", "data": []}, LIMITED)
    site.pages["GET /v1/usage"] = lambda _seen: nothing
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "GET /v1/usage counts 0 of" in result.err
    assert 120 <= clock.seconds < 135


def test_a_request_that_is_lost_among_the_questions_is_noticed(deploy: Deploy, site: Site) -> None:
    """The questions alone are counted, and the request is not."""
    product = Product()
    pages(site, product)
    site.pages["GET /v1/me"] = lambda seen: (
        Page(200, {}, LIMITED) if product._is_known(seen) else product.me(seen)
    )
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "GET /v1/usage counts" in result.err


@pytest.mark.parametrize("header", ["RateLimit", "X-Request-Id"])
def test_misses_a_header(deploy: Deploy, site: Site, header: str) -> None:
    rest = {name: value for name, value in LIMITED.items() if name != header}
    site.pages["GET /v1/me"] = lambda _seen: Page(200, {}, rest)
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert f"GET /v1/me was answered without {header}" in result.err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Page(200, {}, LIMITED), "was answered 200"),
        (Page(401, {"status": 401}, {"Content-Type": "text/html"}), "as text/html"),
        (
            Page(401, ["no problem"], {"Content-Type": "application/problem+json"}),
            "not as a problem document",
        ),
    ],
)
def test_a_stranger_has_to_be_turned_away_properly(
    deploy: Deploy, site: Site, answer: Page, said: str
) -> None:
    known = site.pages["GET /v1/me"]
    site.pages["GET /v1/me"] = lambda seen: known(seen) if "authorization" in seen.headers else answer
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert said in result.err


def test_repeats_what_the_load_balancer_could_not_deliver(deploy: Deploy, site: Site) -> None:
    statuses = [0, 502, 503, 504]
    ready = site.pages["GET /readyz"]
    site.pages["GET /readyz"] = lambda seen: Page(statuses.pop(0), {}) if statuses else ready(seen)
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 0, result.err
    assert len(site.asked("GET /readyz")) == 5


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 301])
def test_repeats_nothing_else(deploy: Deploy, site: Site, status: int) -> None:
    problem = {"code": "some-code", "detail": "an answer that nobody should see"}
    site.pages["POST /v1/auth/login"] = lambda _seen: Page(status, problem, {"Location": f"{site.url}/v1/me"})
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert f"was answered {status} (some-code), not 200" in result.err
    assert len(site.asked("POST /v1/auth/login")) == 1
    assert not site.asked("GET /v1/me")
    assert "nobody should see" not in result.said


def test_gives_up_after_the_budget(deploy: Deploy, site: Site, clock: FastClock) -> None:
    site.pages["GET /readyz"] = lambda _seen: Page(503, {"status": "draining"})
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "GET /readyz was answered 503" in result.err
    assert 60 <= clock.seconds < 70


def test_says_that_nobody_answers(deploy: Deploy, clock: FastClock) -> None:
    result = deploy("smoke", "--url", "http://127.0.0.1:1", SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "GET /readyz of 127.0.0.1:1 had no answer in 60 s: " in result.err
    assert 60 <= clock.seconds < 70


@pytest.mark.parametrize("secret", [TOKEN, REFRESH])
def test_hides_a_token_that_an_answer_repeats(deploy: Deploy, site: Site, secret: str) -> None:
    site.pages["GET /v1/me"] = lambda _seen: Page(500, {"code": f"failed with {secret}"})
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "failed with ***" in result.err


def test_hides_a_secret_that_an_answer_repeats(deploy: Deploy, site: Site) -> None:
    site.pages["POST /v1/auth/login"] = lambda _seen: Page(500, {"code": f"failed with {PASSWORD}"})
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "failed with ***" in result.err


@pytest.mark.parametrize(
    "credentials", ["", "{", "[]", json.dumps({"tenant": "t", "email": "e", "password": ""})]
)
def test_refuses_credentials_that_are_none(deploy: Deploy, site: Site, credentials: str) -> None:
    result = deploy("smoke", "--url", site.url, SMOKE_CREDENTIALS=credentials)
    assert result.code == 1
    assert 'set it to {"tenant"' in result.err
    assert not site.seen


@pytest.mark.parametrize(
    "url", ["http://api.example.com", "api.example.com", "ftp://api.example.com", "https://"]
)
def test_sends_credentials_over_tls_alone(deploy: Deploy, url: str) -> None:
    result = deploy("smoke", "--url", url, SMOKE_CREDENTIALS=CREDENTIALS)
    assert result.code == 1
    assert "set --url to one with https://" in result.err
