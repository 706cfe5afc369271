"""Putting one service on a revision and waiting until it is there.

Owns the change, the wait and the words of ECS on the way. Refuses to decide what to do about a failure:
`roll` and `rollback` do.
"""

from dataclasses import dataclass
from typing import Any

from deploy.aws import AWS_ERRORS, Aws, explain
from deploy.clock import Clock, attempts
from deploy.console import Console
from deploy.deployment import Service
from deploy.errors import DeployError
from deploy.revision import short


@dataclass(frozen=True)
class Outcome:
    """What became of several changes."""

    done: list[str]
    failures: list[str]


class Rollouts:
    """Changes services of one cluster."""

    def __init__(self, aws: Aws, cluster: str, timeout: float, console: Console, clock: Clock) -> None:
        self._aws = aws
        self._cluster = cluster
        self._timeout = timeout
        self._console = console
        self._clock = clock

    def current(self, service: Service) -> str:
        """The revision that the service was last seen to run well: the one to come back to."""
        found = self._describe(service)
        completed = [each for each in found["deployments"] if each.get("rolloutState") == "COMPLETED"]
        # The first is the one that is wanted now; an older one still runs while that has not succeeded.
        return str(completed[0]["taskDefinition"] if completed else found["taskDefinition"])

    def wanted(self, service: Service) -> str:
        """The revision that the service is meant to run, whether or not it does."""
        return str(_primary(self._describe(service))["taskDefinition"])

    def put(self, service: Service, revision: str) -> None:
        """Puts the service on the revision, or raises why it is not there."""
        with self._console.group(f"{service.command} to {short(revision)}"):
            try:
                events = _Events(self._describe(service), self._console)
                self._wait(service, self._update(service, revision), events)
            except AWS_ERRORS as error:
                raise DeployError(f"{service.command}: {explain(error)}") from None
            self._console.say(f"{service.command} runs {short(revision)}")

    def start(self, service: Service, revision: str) -> None:
        """Has ECS put the service on the revision, and leaves it to that."""
        try:
            self._update(service, revision)
        except AWS_ERRORS as error:
            raise DeployError(f"{service.command}: {explain(error)}") from None
        self._console.say(
            f"{service.command} is on its way to {short(revision)}. {self.how_to_look(service)}"
        )

    def put_each(self, services: list[Service], revisions: dict[str, str], waits: bool = True) -> Outcome:
        """Puts each service on its revision, whatever becomes of the others; or has ECS do it."""
        outcome = Outcome([], [])
        for service in services:
            revision = revisions[service.command]
            try:
                if waits:
                    self.put(service, revision)
                else:
                    self.start(service, revision)
                outcome.done.append(f"{service.command} to {short(revision)}")
            except DeployError as failure:
                self._console.say(str(failure))
                outcome.failures.append(str(failure))
        return outcome

    def how_to_look(self, service: Service) -> str:
        """For a person who wants to know how it goes on."""
        return f"Look: aws ecs describe-services --cluster {self._cluster} --services {service.name}"

    def _update(self, service: Service, revision: str) -> str:
        """Asks for the change, and tells the deployment that makes it."""
        answer = self._aws.ecs.update_service(
            cluster=self._cluster, service=service.name, taskDefinition=revision
        )
        return str(_primary(answer["service"])["id"])

    def _wait(self, service: Service, deployment_id: str, events: "_Events") -> None:
        progress, is_known = "", False
        for _ in attempts(self._clock, self._timeout, first=2.0, longest=10.0):
            found = self._describe(service)
            events.show_new(found)
            deployment = _deployment(found, deployment_id)
            is_known = is_known or bool(deployment)
            if not is_known:
                # ECS answers from a copy that may be seconds old.
                continue
            state = deployment.get("rolloutState")
            if state == "COMPLETED":
                return
            if state == "FAILED" or deployment.get("status") != "PRIMARY":
                raise DeployError(f"{service.command}: {_why(found, deployment)}")
            progress = f"{deployment['runningCount']} of {deployment['desiredCount']} tasks run"
        raise DeployError(
            f"{service.command}: not done after {self._timeout / 60:g} min ({progress})."
            f" {self.how_to_look(service)}"
        )

    def _describe(self, service: Service) -> dict[str, Any]:
        answer = self._aws.ecs.describe_services(cluster=self._cluster, services=[service.name])
        services: list[dict[str, Any]] = answer["services"]
        active = [each for each in services if each["status"] == "ACTIVE"]
        if not active:
            raise DeployError(
                f"There is no service {service.name} in the cluster {self._cluster}: apply Terraform first."
            )
        return active[0]


class _Events:
    """What ECS says of a service, each sentence once, and nothing of what it said before."""

    def __init__(self, service: dict[str, Any], console: Console) -> None:
        self._console = console
        self._seen = {event["id"] for event in service["events"]}

    def show_new(self, service: dict[str, Any]) -> None:
        # The newest comes first.
        for event in reversed(service["events"]):
            if event["id"] not in self._seen:
                self._seen.add(event["id"])
                self._console.quote(event["message"])


def _primary(service: dict[str, Any]) -> dict[str, Any]:
    """The deployment that is wanted."""
    return next(each for each in service["deployments"] if each["status"] == "PRIMARY")


def _deployment(service: dict[str, Any], deployment_id: str) -> dict[str, Any]:
    """Empty once it has been replaced and its tasks are gone."""
    return next((each for each in service["deployments"] if each["id"] == deployment_id), {})


def _why(service: dict[str, Any], deployment: dict[str, Any]) -> str:
    reason = deployment.get("rolloutStateReason", "ECS gives no reason")
    if deployment.get("rolloutState") == "FAILED":
        return f"the rollout failed: {reason}"
    instead = short(_primary(service)["taskDefinition"])
    return f"the rollout was replaced by one of {instead}, by the circuit breaker or by somebody else"
