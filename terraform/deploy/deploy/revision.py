"""Revisions of task definitions.

Owns what a deployment changes of a task: the image of one container, copied onto the newest revision of the
family, so that every other change comes from Terraform. Refuses to change or to remove a revision: the older
ones are the way back.
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deploy.aws import Aws, code
from deploy.errors import DeployError
from deploy.image import Image


@dataclass(frozen=True)
class Revision:
    """One revision: its ARN, and what runs in the container that has the command's name."""

    arn: str
    family: str
    number: int
    container: dict[str, Any]
    # Whether a service may still be put on it: a person may have taken it out of use.
    is_active: bool

    @property
    def image(self) -> str:
        return str(self.container["image"])

    @property
    def digest(self) -> str:
        """Of the image."""
        return self.image.rpartition("@")[2]

    @property
    def log_prefix(self) -> str:
        """What the names of its log streams begin with."""
        options = self.container.get("logConfiguration", {}).get("options", {})
        return str(options.get("awslogs-stream-prefix", self.container["name"]))

    def __str__(self) -> str:
        return f"{self.family}:{self.number}"


def short(arn: str) -> str:
    """FAMILY:NUMBER, which is what people read."""
    return arn.rsplit("/", 1)[-1]


def find(aws: Aws, command: str, name: str) -> Revision:
    """A revision by its ARN or FAMILY:NUMBER, or the newest one by its family alone."""
    return _revision(_describe(aws, name)["taskDefinition"], command)


def register(aws: Aws, family: str, command: str, image: Image) -> Revision:
    """A new revision: the newest one, with this image."""
    answer = _describe(aws, family)
    definition = answer["taskDefinition"]
    _container(definition, command)["image"] = str(image)
    # An answer tells more than may be sent back, such as the revision's number.
    known = aws.ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape.members
    request = {key: value for key, value in definition.items() if key in known}
    if answer.get("tags"):
        request["tags"] = answer["tags"]
    return _revision(aws.ecs.register_task_definition(**request)["taskDefinition"], command)


def _describe(aws: Aws, name: str) -> Any:
    try:
        return aws.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    except ClientError as error:
        # What ECS calls a family or a revision that it does not know.
        if code(error) != "ClientException":
            raise
        raise DeployError(
            f"There is no task definition {short(name)}: apply Terraform first, or name a revision that"
            " exists."
        ) from None


def _revision(definition: dict[str, Any], command: str) -> Revision:
    return Revision(
        arn=definition["taskDefinitionArn"],
        family=definition["family"],
        number=int(definition["revision"]),
        container=_container(definition, command),
        is_active=definition["status"] == "ACTIVE",
    )


def _container(definition: Any, command: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = definition["containerDefinitions"]
    for container in containers:
        if container["name"] == command:
            return container
    raise DeployError(
        f"{short(definition['taskDefinitionArn'])} has no container named {command}: apply Terraform of the"
        " same revision as this program."
    )
