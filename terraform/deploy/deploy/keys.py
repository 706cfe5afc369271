"""The keys that sign access tokens, and the end of a change of the master key.

Owns one task, of the newest revision that migrates: no machine outside the network has to reach the database.
Refuses to make or to know a key; `bulkhead keys` does.
"""

from deploy import revision
from deploy.aws import Aws
from deploy.deployment import Deployment
from deploy.migrate import COMMAND
from deploy.task import Errand, Tasks


class Keys:
    """The keys of one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, tasks: Tasks) -> None:
        self._aws = aws
        self._deployment = deployment
        self._tasks = tasks

    def run(self, action: str, withdraw: str | None, timeout: float) -> None:
        """Lists or changes them, and raises when that failed."""
        definition = revision.find(self._aws, COMMAND, self._deployment.migration.family)
        # In one argument with its option: a key's name may begin with a hyphen.
        options = () if withdraw is None else (f"--withdraw={withdraw}",)
        self._tasks.run(Errand("task that looks after keys", ("keys", action, *options)), definition, timeout)
