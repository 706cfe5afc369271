"""What moto does not simulate, played between the deployment and moto.

Owns four things: rollouts of services that take their time or fail, tasks that end, ElastiCache users that
are modified, and calls that are refused. Refuses to answer anything that moto answers well: every call is
passed on and its answer is changed at most, so that names, revisions, secrets and log lines are moto's.
"""

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


@dataclass
class Call:
    """A call of AWS: its name, and what it asks for."""

    action: str
    content: Any


@dataclass
class Reply:
    """An answer of AWS."""

    status: int
    body: bytes
    media_type: str = "application/x-amz-json-1.1"

    def json(self) -> Json:
        content: Json = json.loads(self.body)
        return content


@dataclass
class Rollouts:
    """The deployments of one service. Moto has one for ever, which neither goes on nor ends.

    `outcomes` says for each coming update what the questions after it are told: any number of IN_PROGRESS,
    then COMPLETED or FAILED. The last word is repeated, so a lone IN_PROGRESS never ends.
    """

    revision: str
    outcomes: list[list[str]] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    made: int = 0
    # Whether ECS puts the last good revision back by itself.
    has_breaker: bool = True

    def __post_init__(self) -> None:
        self._begin(self.revision, ["COMPLETED"])
        self._advance()

    def update(self, revision: str) -> None:
        # Like ECS: what is wanted already starts nothing.
        if revision != self.primary["taskDefinition"]:
            self._begin(revision, self.outcomes.pop(0) if self.outcomes else ["IN_PROGRESS", "COMPLETED"])

    def describe(self, service: Json) -> None:
        """Puts the state into moto's answer, and goes on."""
        service["deployments"] = [dict(each) for each in self.deployments]
        service["taskDefinition"] = self.primary["taskDefinition"]
        service["events"] = self.events[::-1]

    def ask(self, service: Json) -> None:
        self._advance()
        self.describe(service)

    @property
    def primary(self) -> Json:
        return next(each for each in self.deployments if each["status"] == "PRIMARY")

    def _begin(self, revision: str, words: list[str]) -> None:
        self.made += 1
        for each in self.deployments:
            each["status"] = "ACTIVE"
        new = {
            "id": f"ecs-svc/{self.made}",
            "status": "PRIMARY",
            "taskDefinition": revision,
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": "in progress",
            "desiredCount": 2,
            "runningCount": 1,
        }
        self.deployments.insert(0, new)
        self._tell("has started 1 tasks.")
        self.words = list(words)

    def _advance(self) -> None:
        word = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        primary = self.primary
        if primary["rolloutState"] != "IN_PROGRESS":
            return
        if word == "COMPLETED":
            primary.update(rolloutState="COMPLETED", runningCount=2)
            self.deployments = [primary]
            self._tell("has reached a steady state.")
        elif word == "FAILED":
            self._break(primary)

    def _break(self, failed: Json) -> None:
        """The circuit breaker: the deployment has failed, and the one before is made anew."""
        good = next(
            each["taskDefinition"] for each in self.deployments if each["rolloutState"] == "COMPLETED"
        )
        failed.update(rolloutState="FAILED", rolloutStateReason="tasks failed to start.")
        self._tell("::error::deployment failed: tasks failed to start.")
        if self.has_breaker:
            self._begin(good, ["IN_PROGRESS", "COMPLETED"])

    def _tell(self, message: str) -> None:
        self.events.append(
            {"id": f"event-{self.made}-{len(self.events)}", "createdAt": 0, "message": message}
        )


@dataclass
class Stage:
    """What is played for one test. The deployment talks to `url`; `moto` is behind it."""

    moto: str
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    # Refused once each: a code, after the call was not passed on.
    refusals: dict[str, str] = field(default_factory=dict)
    # How often a user is not active yet after a change.
    busy: int = 1
    passwords: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, list[list[str]]] = field(default_factory=dict)
    services: dict[str, Rollouts] = field(default_factory=dict)
    has_breaker: bool = True
    # What the questions for a task are told, one after the other; the last one is repeated.
    task: list[Json] = field(default_factory=list)
    # Called with the number of each question for a task, before it is answered.
    on_task: Callable[[int, str], None] = lambda _number, _task: None
    task_failures: list[Json] = field(default_factory=list)
    _asked: int = 0
    _busy_left: int = 0

    def named(self, action: str) -> list[Any]:
        """What all calls of this name asked for."""
        return [call.content for call in self.calls if call.action == action]

    def answer(self, call: Call, forward: Callable[[], Reply]) -> Reply:
        self.calls.append(call)
        if call.action in self.refusals:
            return _refused(self.refusals.pop(call.action), call)
        handler = getattr(self, f"_{_snake(call.action)}", None)
        return forward() if handler is None else handler(call.content, forward)

    # ECS: rollouts that take their time, fail and are taken back.

    def _describe_services(self, _request: Json, forward: Callable[[], Reply]) -> Reply:
        content = forward().json()
        for service in content["services"]:
            self._rollouts(service).ask(service)
        return _reply(content)

    def _update_service(self, request: Json, forward: Callable[[], Reply]) -> Reply:
        # Known before moto forgets what it was.
        before = self.services.get(request["service"])
        reply = forward()
        content = reply.json()
        if reply.status == 200 and before is not None:
            before.update(request["taskDefinition"])
            before.describe(content["service"])
        return _reply(content, reply.status)

    def _rollouts(self, service: Json) -> Rollouts:
        name = service["serviceName"]
        if name not in self.services:
            outcomes = self.outcomes.get(name, [])
            self.services[name] = Rollouts(service["taskDefinition"], outcomes, has_breaker=self.has_breaker)
        return self.services[name]

    # ECS: tasks that end, and how.

    def _run_task(self, _request: Json, forward: Callable[[], Reply]) -> Reply:
        if self.task_failures:
            return _reply({"tasks": [], "failures": self.task_failures})
        return forward()

    def _describe_tasks(self, request: Json, forward: Callable[[], Reply]) -> Reply:
        content = forward().json()
        self._asked += 1
        self.on_task(self._asked, request["tasks"][0])
        state = self.task[min(self._asked, len(self.task)) - 1]
        content["tasks"] = [{**task, **state} for task in content["tasks"]] if state else []
        return _reply(content)

    # ElastiCache: moto has users and cannot modify them.

    def _modify_user(self, request: dict[str, list[str]], _forward: Callable[[], Reply]) -> Reply:
        if self._busy_left:
            return _refused("InvalidUserState", Call("ModifyUser", request))
        user, kind = request["UserId"][0], request["AuthenticationMode.Type"][0]
        passwords = [value[0] for name, value in request.items() if ".Passwords." in name]
        assert kind == "password"
        assert passwords
        self.passwords[user] = passwords
        self._busy_left = self.busy
        result = f"<ModifyUserResult><UserId>{user}</UserId></ModifyUserResult>"
        body = f"<ModifyUserResponse>{result}</ModifyUserResponse>"
        return Reply(200, body.encode(), "text/xml")

    def _describe_users(self, _request: Json, forward: Callable[[], Reply]) -> Reply:
        reply = forward()
        if self._busy_left:
            self._busy_left -= 1
            reply.body = reply.body.replace(b"<Status>active</Status>", b"<Status>modifying</Status>")
        return reply


class StageServer(ThreadingHTTPServer):
    """Stands where AWS stands."""

    daemon_threads = True

    def __init__(self, stage: Stage) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stage = stage
        self.lock = threading.Lock()
        stage.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: StageServer
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait 40 ms for the first to be confirmed.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            reply = self.server.stage.answer(_call(self.headers, body), lambda: self._forward(body))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.media_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""

    def _forward(self, body: bytes) -> Reply:
        # Moto finds out which service is meant by the signature and by the target.
        kept = {
            name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
        }
        request = urllib.request.Request(
            f"{self.server.stage.moto}{self.path}", data=body, headers=kept, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Reply(response.status, response.read(), response.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read(), error.headers.get("Content-Type", ""))


def _call(headers: Any, body: bytes) -> Call:
    target = headers.get("X-Amz-Target")
    if target:
        return Call(target.rsplit(".", 1)[-1], json.loads(body or b"{}"))
    form = parse_qs(body.decode())
    return Call(form.get("Action", [urlsplit("").path])[0], form)


def _reply(content: Json, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode())


def _refused(code: str, call: Call) -> Reply:
    """Repeats what was sent, as a refusal of AWS may."""
    if isinstance(call.content, dict) and "Action" in call.content:
        said = json.dumps(call.content).replace("<", "")
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{said}</Message></Error></ErrorResponse>"
        return Reply(400, body.encode(), "text/xml")
    return _reply({"__type": code, "message": json.dumps(call.content)}, 400)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
