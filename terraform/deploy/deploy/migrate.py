"""Migrating the databases before the code that needs it."""

from deploy import revision
from deploy.aws import Aws
from deploy.console import Console
from deploy.deployment import Deployment
from deploy.image import Image
from deploy.task import Errand, Tasks

# The container's name, and the command that it runs unless it is told another.
COMMAND = "migrate"


class Migration:
    """One run of the migration."""

    def __init__(self, aws: Aws, deployment: Deployment, tasks: Tasks, console: Console) -> None:
        self._aws = aws
        self._deployment = deployment
        self._tasks = tasks
        self._console = console

    def run(self, image: Image, timeout: float) -> None:
        """Migrates with this image, or raises why that failed."""
        self._deployment.accept(image)
        definition = revision.register(self._aws, self._deployment.migration.family, COMMAND, image)
        self._console.say(f"registered {definition}")
        self._tasks.run(Errand("migration"), definition, timeout)
        self._console.say("migrated")
