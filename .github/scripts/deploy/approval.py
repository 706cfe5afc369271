"""Whether somebody has to approve a deployment before it starts.

Owns asking GitHub for the protection of the workflow's environment. Refuses to go on when an environment that
has to be approved is not protected: GitHub makes a missing environment up, without any protection, when a job
names it.
"""

from typing import Any
from urllib.parse import quote

from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.github import GitHub
from deploy.web import Answer


def check(deployment: Deployment, environment: str, github: GitHub, console: Console) -> None:
    """Refuses when a person has to approve and GitHub would let the job pass without one."""
    reviewers = _reviewers(_ask(environment, github).json())
    if reviewers == 0:
        raise DeployError(
            f"Nobody has to approve deployments to the environment {environment} of {github.repository}, and"
            f" {deployment.name} requires it: add reviewers (Settings, Environments, {environment}, Required"
            " reviewers)."
        )
    console.say(f"{deployment.name} needs approval; {environment} has required reviewers: {reviewers}.")


def _ask(environment: str, github: GitHub) -> Answer:
    answer = github.send("GET", f"environments/{quote(environment, safe='')}")
    if answer.status == 404:
        raise DeployError(
            f"{github.repository} has no environment {environment}, or the token may not see it: make it"
            " (Settings, Environments) with required reviewers, and give the job actions: read."
        )
    if answer.status != 200:
        raise DeployError(
            f"GitHub answered {answer.status} when asked for the environment {environment} of"
            f" {github.repository}: see that the job has actions: read, then run it again."
        )
    return answer


def _reviewers(environment: dict[str, Any]) -> int:
    """How many people and teams may approve."""
    rules = environment.get("protection_rules")
    if not isinstance(rules, list):
        return 0
    required = [rule for rule in rules if rule.get("type") == "required_reviewers"]
    return sum(len(rule.get("reviewers") or []) for rule in required)
