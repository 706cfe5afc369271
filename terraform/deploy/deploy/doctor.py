"""Examining the databases of an environment: roles, grants, walls, versions and work that waits for a person.

Owns one task, of the newest revision that migrates: no machine outside the network has to reach the database.
Refuses to change anything; `migrate` does.
"""

from deploy import revision
from deploy.aws import Aws
from deploy.deployment import Deployment
from deploy.migrate import COMMAND
from deploy.task import Errand, Tasks


class Doctor:
    """Looks at one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, tasks: Tasks) -> None:
        self._aws = aws
        self._deployment = deployment
        self._tasks = tasks

    def examine(self, timeout: float) -> None:
        """Shows what is found, and raises when something is broken."""
        definition = revision.find(self._aws, COMMAND, self._deployment.migration.family)
        self._tasks.run(Errand("examination", ("doctor",)), definition, timeout)
