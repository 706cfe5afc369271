"""GitHub's API, for one repository.

Owns its address, the token and the headers. Refuses to judge answers: the caller knows what they mean.
"""

import re
from collections.abc import Mapping

from deploy.clock import Clock
from deploy.console import Console
from deploy.errors import DeployError
from deploy.web import Answer, Web, checked_url

_BUDGET = 30.0
_REPOSITORY = re.compile(r"[A-Za-z0-9-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+")


class GitHub:
    """One repository, as the token of a workflow's job may see and change it."""

    def __init__(self, repository: str, environ: Mapping[str, str], console: Console, clock: Clock) -> None:
        if _REPOSITORY.fullmatch(repository) is None:
            raise DeployError(f"{repository!r} is no repository: set --repository to OWNER/NAME.")
        token = environ.get("GITHUB_TOKEN", "")
        if not token:
            raise DeployError("GITHUB_TOKEN is not set: give the step the job's token (github.token).")
        console.hide(token)
        api = checked_url(environ.get("GITHUB_API_URL") or "https://api.github.com", "GITHUB_API_URL")
        self.repository = repository
        self._url = f"{api}/repos/{repository}"
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "User-Agent": "bulkhead-deploy",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._web = Web(clock, _BUDGET)

    def send(self, method: str, path: str, body: dict[str, str] | None = None) -> Answer:
        """Asks for something of the repository. What is lost is repeated, and may have been done already."""
        return self._web.send(method, f"{self._url}/{path}", self._headers, body)
