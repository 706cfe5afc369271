"""Adding an operator: a person who runs the platform, and makes its tenants.

Owns one task, of the newest revision that migrates. Refuses to know the password: the task is given it as a
secret, and a person who may read the secret logs in with it.
"""

from deploy import revision
from deploy.aws import Aws
from deploy.console import Console
from deploy.deployment import Deployment, PasswordRecipe
from deploy.errors import DeployError
from deploy.migrate import COMMAND
from deploy.task import Errand, Tasks


class Operators:
    """The operators of one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, tasks: Tasks, console: Console) -> None:
        self._aws = aws
        self._deployment = deployment
        self._tasks = tasks
        self._console = console

    def add(self, email: str, role: str, timeout: float) -> None:
        """Adds one, or raises why that failed."""
        secret = self._secret()
        definition = revision.find(self._aws, COMMAND, self._deployment.migration.family)
        # Behind `--`, nothing that the address begins with is an option.
        arguments = ("operator", "create", "--role", role, "--", email)
        self._tasks.run(Errand("task that adds the operator", arguments), definition, timeout)
        self._console.say(f"{email} is an operator. The password, for somebody who may read it:")
        self._console.say(
            f"aws secretsmanager get-secret-value --secret-id {secret} --query SecretString --output text"
        )

    def _secret(self) -> str:
        for name, recipe in self._deployment.secrets.items():
            if isinstance(recipe, PasswordRecipe):
                return name
        raise DeployError(
            f"{self._deployment.name} has no secret for an operator's password: apply Terraform of the same"
            " revision as this program."
        )
