"""Whether somebody has to approve a deployment before it starts.

Owns asking GitHub for the protection of the workflow's environment. Refuses to go on when an environment that
has to be approved is not protected: GitHub makes a missing environment up, without any protection, when a job
names it.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from deploy.clock import Clock
from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.web import Answer, Web, checked_url

_BUDGET = 30.0
_REPOSITORY = re.compile(r"[A-Za-z0-9-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+")


def check(
    deployment: Deployment,
    environment: str,
    repository: str,
    environ: Mapping[str, str],
    console: Console,
    clock: Clock,
) -> None:
    """Refuses when a person has to approve and GitHub would let the job pass without one."""
    if not deployment.approval_required:
        console.say(f"{deployment.name} needs no approval.")
        return
    answer = _ask(environment, repository, environ, console, clock)
    reviewers = _reviewers(answer.json())
    if reviewers == 0:
        raise DeployError(
            f"Nobody has to approve deployments to the environment {environment} of {repository}, and"
            f" {deployment.name} requires it: add reviewers (Settings, Environments, {environment}, Required"
            " reviewers)."
        )
    console.say(f"{deployment.name} needs approval; {environment} has required reviewers: {reviewers}.")


def _ask(
    environment: str, repository: str, environ: Mapping[str, str], console: Console, clock: Clock
) -> Answer:
    if _REPOSITORY.fullmatch(repository) is None:
        raise DeployError(f"{repository!r} is no repository: set --repository to OWNER/NAME.")
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise DeployError(
            "GITHUB_TOKEN is not set: give the step the job's token, which needs actions: read."
        )
    console.hide(token)
    api = checked_url(environ.get("GITHUB_API_URL") or "https://api.github.com", "GITHUB_API_URL")
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "User-Agent": "bulkhead-deploy",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    url = f"{api}/repos/{repository}/environments/{quote(environment, safe='')}"
    answer = Web(clock, _BUDGET).send("GET", url, headers)
    if answer.status == 404:
        raise DeployError(
            f"{repository} has no environment {environment}, or the token may not see it: make it (Settings,"
            " Environments) with required reviewers, and give the job actions: read."
        )
    if answer.status != 200:
        raise DeployError(
            f"GitHub answered {answer.status} when asked for the environment {environment} of {repository}:"
            " see that the job has actions: read, then run it again."
        )
    return answer


def _reviewers(environment: dict[str, Any]) -> int:
    """How many people and teams may approve."""
    rules = environment.get("protection_rules")
    if not isinstance(rules, list):
        return 0
    required = [rule for rule in rules if rule.get("type") == "required_reviewers"]
    return sum(len(rule.get("reviewers") or []) for rule in required)
