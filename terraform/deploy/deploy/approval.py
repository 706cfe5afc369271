"""Whether an environment of GitHub is protected, before a deployment to it starts.

Owns asking GitHub for the protection of the workflow's environment. Refuses to go on when any branch may use
the environment, whose secrets it would be given, or when no person has to approve where one should: GitHub
makes a missing environment up, without any protection, when a job names it.
"""

from typing import Any
from urllib.parse import quote

from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.github import GitHub

# What makes a name a pattern (Ruby's File.fnmatch).
_WILDCARDS = frozenset("*?[]{}!\\")


def check(deployment: Deployment, environment: str, github: GitHub, console: Console) -> None:
    """Refuses when GitHub would let the job pass from any branch, or without the approval that it needs."""
    protection = _ask(environment, "", github)
    console.say(f"{environment} may be used by {_branches(protection, environment, github)}.")
    if not deployment.approval_required:
        console.say(f"{deployment.name} needs no approval.")
        return
    reviewers = _reviewers(protection)
    if reviewers == 0:
        raise DeployError(
            f"Nobody has to approve deployments to the environment {environment} of {github.repository}, and"
            f" {deployment.name} requires it: add reviewers (Settings, Environments, {environment}, Required"
            " reviewers)."
        )
    console.say(f"{deployment.name} needs approval; {environment} has required reviewers: {reviewers}.")


def _ask(environment: str, what: str, github: GitHub) -> dict[str, Any]:
    answer = github.send("GET", f"environments/{quote(environment, safe='')}{what}")
    if answer.status == 404:
        raise DeployError(
            f"{github.repository} has no environment {environment}, or the token may not see it: make it"
            " (Settings, Environments) with its deployment branches and, where somebody has to approve, with"
            " required reviewers, and give the job actions: read."
        )
    if answer.status != 200:
        raise DeployError(
            f"GitHub answered {answer.status} when asked for the environment {environment} of"
            f" {github.repository}: see that the job has actions: read, then run it again."
        )
    return answer.json()


def _branches(protection: dict[str, Any], environment: str, github: GitHub) -> str:
    """Which branches may use the environment, in words; an error when any may.

    "Protected branches only" is no bound: GitHub lets all branches pass while no branch of the repository is
    protected by a rule, and rules are changed without a look at the environment.
    """
    policy = protection.get("deployment_branch_policy")
    names: list[str] = []
    if isinstance(policy, dict) and policy.get("custom_branch_policies") is True:
        listed = _ask(environment, "/deployment-branch-policies?per_page=100", github)
        names = _names(listed)
    if not names or not all(_is_one_branch(name) for name in names):
        raise DeployError(
            f"Any branch that somebody pushes may use the environment {environment} of {github.repository}"
            " and its secrets: name the branches that deploy, without wildcards (Settings, Environments,"
            f" {environment}, Deployment branches and tags)."
        )
    return ", ".join(sorted(names))


def _names(listed: dict[str, Any]) -> list[str]:
    """Each branch as it stands, and what is none as a pattern."""
    policies = listed.get("branch_policies")
    if not isinstance(policies, list) or listed.get("total_count") != len(policies):
        return []
    kinds = [(policy.get("type"), policy.get("name")) for policy in policies if isinstance(policy, dict)]
    return [name if kind == "branch" and isinstance(name, str) else "*" for kind, name in kinds]


def _is_one_branch(name: str) -> bool:
    return bool(name) and not _WILDCARDS.intersection(name)


def _reviewers(protection: dict[str, Any]) -> int:
    """How many people and teams may approve."""
    rules = protection.get("protection_rules")
    if not isinstance(rules, list):
        return 0
    required = [rule for rule in rules if rule.get("type") == "required_reviewers"]
    return sum(len(rule.get("reviewers") or []) for rule in required)
