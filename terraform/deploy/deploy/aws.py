"""The clients of AWS and the words for its refusals.

Owns how long a call may take and how often it is repeated. Refuses to run without being told the region: the
wrong one would be an empty environment, or another company's.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from deploy.errors import DeployError

# Everything that a call of AWS raises when it fails.
AWS_ERRORS = (BotoCoreError, ClientError)


class Aws:
    """One region of one account. Clients are made when they are first used: each costs some 100 ms."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._session = boto3.Session(region_name=region)
        self._config = Config(
            connect_timeout=5,
            read_timeout=30,
            # Repeats what may be repeated with growing pauses: throttling, 5xx and lost connections.
            retries={"mode": "standard", "total_max_attempts": 6},
            user_agent_extra="bulkhead-deploy",
        )

    @cached_property
    def ecr(self) -> Any:
        return self._client("ecr")

    @cached_property
    def ecs(self) -> Any:
        return self._client("ecs")

    @cached_property
    def elasticache(self) -> Any:
        return self._client("elasticache")

    @cached_property
    def logs(self) -> Any:
        return self._client("logs")

    @cached_property
    def secrets(self) -> Any:
        return self._client("secretsmanager")

    @cached_property
    def ssm(self) -> Any:
        return self._client("ssm")

    def _client(self, service: str) -> Any:
        return self._session.client(service, config=self._config)


def connect(environ: Mapping[str, str]) -> Aws:
    """The region that AWS_REGION names."""
    region = environ.get("AWS_REGION", "")
    if not region:
        raise DeployError(
            "AWS_REGION is not set: set it to the region of the environment, such as eu-central-1."
        )
    return Aws(region)


def code(error: ClientError) -> str:
    """AWS's own name for a refusal."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def explain(error: Exception) -> str:
    """What AWS has to say, in one line."""
    if isinstance(error, ClientError):
        message = error.response.get("Error", {}).get("Message", "")
        return f"AWS refused {error.operation_name} ({code(error)}): {message}"
    if isinstance(error, NoCredentialsError):
        return (
            "There are no AWS credentials: let the workflow assume the deployment's role, or log in with the"
            " CLI."
        )
    if isinstance(error, ParamValidationError):
        # Its text repeats the values, and one of them may be a secret.
        return "A call of AWS was put together wrongly; this is a fault of the deployment program."
    return f"AWS could not be asked: {error}"
