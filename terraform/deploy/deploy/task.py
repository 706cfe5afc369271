"""One task of the environment: the command that is run once, in the network of the migration.

Owns starting it, showing its log and telling how it ended. Refuses to stop one that takes too long: what the
product runs like this may be followed, or run again, at any time.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.aws import AWS_ERRORS, Aws, explain
from deploy.clock import Clock, attempts
from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.revision import Revision
from deploy.stop import Stopped
from deploy.task_log import TaskLog

# What the services run on, too.
_PLATFORM = "1.4.0"
# How long the last lines of a log may take after the task has stopped.
_LAST_LINES = 5.0
# The task ended by itself. Every other reason means that a person, or AWS, ended it.
_ENDED_BY_ITSELF = ("EssentialContainerExited", "")


@dataclass(frozen=True)
class Errand:
    """What a task does: what people call it, and the arguments of the product if not the container's own."""

    name: str
    arguments: Sequence[str] = ()


class Tasks:
    """Runs tasks of one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, console: Console, clock: Clock) -> None:
        self._aws = aws
        self._deployment = deployment
        self._console = console
        self._clock = clock

    def run(self, errand: Errand, definition: Revision, timeout: float) -> None:
        """Runs it to its end, or raises why that failed."""
        task = self._start(errand, definition)
        self._console.say(f"started {task}")
        ended = self._follow(errand, task, definition, timeout)
        _judge(errand, definition.container["name"], ended)

    def _start(self, errand: Errand, definition: Revision) -> str:
        migration = self._deployment.migration
        override = {"name": definition.container["name"], "command": list(errand.arguments)}
        answer = self._aws.ecs.run_task(
            cluster=self._deployment.cluster,
            taskDefinition=definition.arn,
            count=1,
            launchType="FARGATE",
            platformVersion=_PLATFORM,
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": migration.subnets,
                    "securityGroups": migration.security_groups,
                    "assignPublicIp": "DISABLED",
                }
            },
            overrides={"containerOverrides": [override] if errand.arguments else []},
            propagateTags="TASK_DEFINITION",
            startedBy="deploy",
            # A call that is repeated by the client starts no second task.
            clientToken=str(uuid.uuid4()),
        )
        if not answer["tasks"]:
            reasons = "; ".join(failure.get("reason", "") for failure in answer.get("failures", []))
            raise DeployError(
                f"The {errand.name} could not start: {reasons or 'ECS gives no reason'}. Nothing was done."
            )
        return str(answer["tasks"][0]["taskArn"])

    def _follow(self, errand: Errand, task: str, definition: Revision, timeout: float) -> dict[str, Any]:
        """The task after it has stopped."""
        group = self._deployment.migration.log_group
        stream = f"{definition.log_prefix}/{definition.container['name']}/{task.rsplit('/', 1)[-1]}"
        log = TaskLog(self._aws.logs, group, stream, self._console)
        how_to_look = (
            f"Look: aws ecs describe-tasks --cluster {self._deployment.cluster} --tasks {task}; aws logs"
            f" tail {group} --log-stream-names {stream} --follow"
        )
        try:
            ended = self._wait(task, log, timeout)
        except Stopped:
            raise DeployError(f"Stopped waiting; the {errand.name} goes on. {how_to_look}") from None
        except AWS_ERRORS as error:
            raise DeployError(
                f"Lost sight of the {errand.name}, which goes on. {explain(error)}. {how_to_look}"
            ) from None
        if ended is None:
            raise DeployError(
                f"Timed out: the {errand.name} still runs after {timeout / 60:g} min, and goes on."
                f" {how_to_look}"
            )
        return ended

    def _wait(self, task: str, log: TaskLog, timeout: float) -> dict[str, Any] | None:
        status = ""
        for _ in attempts(self._clock, timeout, first=2.0, longest=6.0):
            found = self._describe(task)
            log.show_new()
            if found.get("lastStatus", "") != status:
                status = found.get("lastStatus", "")
                self._console.say(f"task is {status}")
            if status == "STOPPED":
                self._clock.sleep(_LAST_LINES)
                log.show_new()
                return found
        return None

    def _describe(self, task: str) -> dict[str, Any]:
        """Empty while ECS does not know the task yet, which may last for seconds."""
        answer = self._aws.ecs.describe_tasks(cluster=self._deployment.cluster, tasks=[task])
        tasks: list[dict[str, Any]] = answer["tasks"]
        return tasks[0] if tasks else {}


def _judge(errand: Errand, container_name: str, task: dict[str, Any]) -> None:
    """Raises unless the task has done all its work."""
    containers = (each for each in task["containers"] if each["name"] == container_name)
    container: dict[str, Any] = next(containers, {})
    exit_code = container.get("exitCode")
    stop_code = task.get("stopCode", "")
    said = [text for text in (task.get("stoppedReason"), container.get("reason")) if text]
    reasons = "; ".join(said) or "ECS gives no reason"
    if stop_code == "TaskFailedToStart" or (exit_code is None and not task.get("startedAt")):
        raise DeployError(
            f"The {errand.name} could not start: {reasons}. Nothing was done: remove the cause and run it"
            " again."
        )
    if exit_code == 0 and stop_code in _ENDED_BY_ITSELF:
        return
    ending = "was ended from outside" if exit_code in (0, None) else f"failed with exit code {exit_code}"
    raise DeployError(
        f"The {errand.name} {ending}: {reasons}. Read its log above; what is done stays done, and it may be"
        " run again."
    )
