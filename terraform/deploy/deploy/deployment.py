"""Where everything of an environment is: the parameter `/NAME/deployment`, which Terraform writes.

Owns its shape and the order of the services. Refuses a parameter that lacks something, and says what, before
anything is changed.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deploy.aws import Aws, code
from deploy.errors import DeployError
from deploy.image import Image

_NAME = re.compile(r"/(?P<name>[a-z][a-z0-9-]{2,30})/deployment")


@dataclass(frozen=True)
class KeyRecipe:
    """A secret that is so many random bytes."""

    size: int


@dataclass(frozen=True)
class PasswordRecipe:
    """A secret that a person logs in with."""


@dataclass(frozen=True)
class PostgresRecipe:
    """A secret that lets a role log in to PostgreSQL."""

    user: str
    host: str
    port: int
    database: str


@dataclass(frozen=True)
class RedisRecipe:
    """A secret that lets a user log in to both uses of the cache."""

    user: str
    cache_host: str
    cache_port: int
    queue_host: str
    queue_port: int


Recipe = KeyRecipe | PasswordRecipe | PostgresRecipe | RedisRecipe


@dataclass(frozen=True)
class Service:
    """A command that stays up. Its container has the command's name."""

    command: str
    name: str
    family: str


@dataclass(frozen=True)
class Migration:
    """The command that is run once for each deployment, and where."""

    family: str
    subnets: list[str]
    security_groups: list[str]
    log_group: str


@dataclass(frozen=True)
class Deployment:
    """An environment."""

    parameter: str
    name: str
    approval_required: bool
    url: str
    registry: str
    cluster: str
    services: list[Service]
    migration: Migration
    releases: str
    secrets: dict[str, Recipe]

    @property
    def repository(self) -> str:
        """The registry's name inside the account."""
        return self.registry.partition("/")[2]

    def accept(self, image: Image) -> None:
        """Refuses an image of another registry: the tasks may fetch from their own alone."""
        if image.repository != self.registry:
            raise DeployError(
                f"The image is in {image.repository}, and {self.name} runs images of {self.registry}: push"
                " it there."
            )


def environment_name(parameter: str) -> str:
    """The NAME in `/NAME/deployment`."""
    match = _NAME.fullmatch(parameter)
    if match is None:
        raise DeployError(
            f"{parameter!r} is no environment: set --deployment to the parameter that Terraform's output"
            " deployment_parameter names, such as /bulkhead-production/deployment."
        )
    return match["name"]


def load(aws: Aws, parameter: str) -> Deployment:
    """Asks AWS where everything is."""
    environment_name(parameter)
    try:
        answer = aws.ssm.get_parameter(Name=parameter)
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
        raise DeployError(
            f"There is no parameter {parameter} in {aws.region}: set --deployment and AWS_REGION to an"
            " environment that exists, or apply its Terraform first."
        ) from None
    return parse(parameter, answer["Parameter"]["Value"])


def parse(parameter: str, text: str) -> Deployment:
    """Reads the parameter's value."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    fields = _Fields(parameter, "", content)
    secrets = fields.section("secrets")
    return Deployment(
        parameter=parameter,
        name=fields.text("name"),
        approval_required=fields.flag("approval_required"),
        url=fields.text("url"),
        registry=fields.text("registry"),
        cluster=fields.text("cluster"),
        services=_services(fields.section("services")),
        migration=_migration(fields.section("migrate")),
        releases=fields.text("releases"),
        secrets={name: _recipe(secrets.section(name)) for name in secrets.names()},
    )


def _services(fields: "_Fields") -> list[Service]:
    """In the order in which they are rolled: the API last, for older workers do not know its new jobs."""
    commands = sorted(fields.names(), key=lambda command: (command == "api", command))
    sections = [(command, fields.section(command)) for command in commands]
    return [
        Service(command, section.text("service"), section.text("family")) for command, section in sections
    ]


def _migration(fields: "_Fields") -> Migration:
    return Migration(
        family=fields.text("family"),
        subnets=fields.texts("subnets"),
        security_groups=fields.texts("security_groups"),
        log_group=fields.text("log_group"),
    )


def _recipe(fields: "_Fields") -> Recipe:
    match fields.text("kind"):
        case "key":
            return KeyRecipe(fields.number("bytes"))
        case "password":
            return PasswordRecipe()
        case "postgres":
            return PostgresRecipe(
                fields.text("user"), fields.text("host"), fields.number("port"), fields.text("database")
            )
        case "redis":
            return RedisRecipe(
                fields.text("user"),
                fields.text("cache_host"),
                fields.number("cache_port"),
                fields.text("queue_host"),
                fields.number("queue_port"),
            )
        case other:
            raise fields.refusal("kind", f"which is key, password, postgres or redis, and not {other!r}")


class _Fields:
    """An object of the parameter, with words for what it lacks."""

    def __init__(self, parameter: str, path: str, content: Any) -> None:
        self._parameter = parameter
        self._path = path
        if not isinstance(content, dict):
            raise self.refusal("", "which is an object")
        self._content: dict[str, Any] = content

    def names(self) -> list[str]:
        return list(self._content)

    def section(self, key: str) -> "_Fields":
        return _Fields(self._parameter, f"{self._path}{key}.", self._content.get(key))

    def text(self, key: str) -> str:
        value = self._content.get(key)
        if not isinstance(value, str) or not value:
            raise self.refusal(key, "which is a text that is not empty")
        return value

    def texts(self, key: str) -> list[str]:
        values = self._content.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise self.refusal(key, "which is a list of texts that is not empty")
        return list(values)

    def number(self, key: str) -> int:
        value = self._content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refusal(key, "which is a whole number above 0")
        return value

    def flag(self, key: str) -> bool:
        value = self._content.get(key)
        if not isinstance(value, bool):
            raise self.refusal(key, "which is true or false")
        return value

    def refusal(self, key: str, wanted: str) -> DeployError:
        what = f"{self._path}{key}".rstrip(".") or "its content"
        return DeployError(
            f"The parameter {self._parameter} lacks {what}, {wanted}: apply Terraform of the same revision"
            " as this program."
        )
