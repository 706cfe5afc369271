"""Only the branches that deploy may, and somebody has to approve, or nothing starts."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Account, Deploy, FastClock, Result, put_parameter
from tests.site import Page, Site, serve

KEY = "GET /repos/acme/bulkhead/environments/production"
BRANCHES = f"{KEY}/deployment-branch-policies"
TOKEN = "ghs_secret"
REVIEWERS = {"type": "required_reviewers", "reviewers": [{"type": "User"}, {"type": "Team"}]}
PROTECTED = {"protected_branches": True, "custom_branch_policies": False}
NAMED = {"protected_branches": False, "custom_branch_policies": True}


@pytest.fixture
def github(account: Account) -> Iterator[Site]:
    put_parameter(account)
    with serve(Site()) as site:
        site.pages[BRANCHES] = lambda _seen: policies({"name": "main", "type": "branch"})
        yield site


def check(
    deploy: Deploy,
    github: Site,
    environment: str = "production",
    repository: str = "acme/bulkhead",
    **environ: str,
) -> Result:
    where = ("--environment", environment, "--repository", repository)
    return deploy(
        "check-approval", *where, **{"GITHUB_API_URL": github.url, "GITHUB_TOKEN": TOKEN, **environ}
    )


def rules(*rules: Any, branches: Any = NAMED) -> Page:
    return Page(
        200,
        {"name": "production", "protection_rules": list(rules), "deployment_branch_policy": branches},
    )


def policies(*policies: Any, total: int | None = None) -> Page:
    count = len(policies) if total is None else total
    return Page(200, {"total_count": count, "branch_policies": list(policies)})


def test_passes_when_somebody_has_to_approve(deploy: Deploy, github: Site) -> None:
    github.pages[KEY] = lambda _seen: rules({"type": "wait_timer", "wait_timer": 5}, REVIEWERS)
    result = check(deploy, github)
    assert result.code == 0, result.err
    assert "has required reviewers: 2" in result.out
    assert [seen.headers["authorization"] for seen in github.seen] == [f"Bearer {TOKEN}"] * 2
    assert TOKEN not in result.said


@pytest.mark.parametrize(
    "page",
    [
        rules(),
        rules({"type": "wait_timer", "wait_timer": 5}, {"type": "branch_policy"}),
        rules({"type": "required_reviewers", "reviewers": []}),
        rules({"type": "required_reviewers"}),
        Page(200, {"name": "production", "deployment_branch_policy": NAMED}),
    ],
)
def test_refuses_when_nobody_has_to(deploy: Deploy, github: Site, page: Page) -> None:
    github.pages[KEY] = lambda _seen: page
    result = check(deploy, github)
    assert result.code == 1
    assert "Nobody has to approve deployments to the environment production of acme/bulkhead" in result.err


def test_refuses_an_environment_that_is_not_there(deploy: Deploy, github: Site) -> None:
    result = check(deploy, github, "no/where")
    assert result.code == 1
    assert "acme/bulkhead has no environment no/where" in result.err
    assert github.seen[0].path.endswith("/environments/no%2Fwhere")


@pytest.mark.parametrize("status", [301, 401, 403, 500])
def test_refuses_when_github_does_not_say(deploy: Deploy, github: Site, status: int) -> None:
    told = {"protection_rules": [REVIEWERS], "deployment_branch_policy": NAMED}
    github.pages[KEY] = lambda _seen: Page(status, told)
    result = check(deploy, github)
    assert result.code == 1
    assert f"GitHub answered {status}" in result.err


def test_asks_again_when_github_is_away(deploy: Deploy, github: Site) -> None:
    statuses = [503, 0]
    github.pages[KEY] = lambda _seen: Page(statuses.pop(0)) if statuses else rules(REVIEWERS)
    assert check(deploy, github).code == 0
    assert len(github.asked(KEY)) == 3


def test_refuses_when_github_stays_away(deploy: Deploy, github: Site, clock: FastClock) -> None:
    github.pages[KEY] = lambda _seen: Page(0)
    result = check(deploy, github)
    assert result.code == 1
    assert "had no answer in 30 s" in result.err
    assert 30 <= clock.seconds < 40


def test_asks_for_no_reviewers_where_no_approval_is_required(
    account: Account, deploy: Deploy, github: Site
) -> None:
    put_parameter(account, approval_required=False)
    github.pages[KEY] = lambda _seen: rules()
    result = check(deploy, github)
    assert result.code == 0, result.err
    assert "production may be used by main" in result.out
    assert "needs no approval" in result.out


@pytest.mark.parametrize("approval_required", [True, False])
def test_passes_when_branches_are_named(
    account: Account, deploy: Deploy, github: Site, approval_required: bool
) -> None:
    put_parameter(account, approval_required=approval_required)
    github.pages[KEY] = lambda _seen: rules(REVIEWERS)
    github.pages[BRANCHES] = lambda _seen: policies(
        {"name": "main", "type": "branch"}, {"name": "develop", "type": "branch"}
    )
    result = check(deploy, github)
    assert result.code == 0, result.err
    assert "production may be used by develop, main" in result.out
    assert [seen.query for seen in github.asked(BRANCHES)] == ["per_page=100"]


@pytest.mark.parametrize("approval_required", [True, False])
@pytest.mark.parametrize(
    ("branches", "named"),
    [
        (None, policies({"name": "main", "type": "branch"})),
        ({}, policies({"name": "main", "type": "branch"})),
        ("main", policies({"name": "main", "type": "branch"})),
        ({"protected_branches": False, "custom_branch_policies": False}, policies()),
        # All branches may, while none is protected by a rule.
        (PROTECTED, policies({"name": "main", "type": "branch"})),
        (NAMED, policies()),
        (NAMED, policies({"name": "*", "type": "branch"})),
        (NAMED, policies({"name": "main", "type": "branch"}, {"name": "release/*", "type": "branch"})),
        (NAMED, policies({"name": "m[a]in", "type": "branch"})),
        (NAMED, policies({"name": "", "type": "branch"})),
        (NAMED, policies({"name": None, "type": "branch"})),
        (NAMED, policies({"name": "v1", "type": "tag"})),
        # There are more than were told.
        (NAMED, policies({"name": "main", "type": "branch"}, total=101)),
        (NAMED, Page(200, {"branch_policies": "main"})),
    ],
)
def test_refuses_when_any_branch_may_deploy(
    account: Account, deploy: Deploy, github: Site, branches: Any, named: Page, approval_required: bool
) -> None:
    put_parameter(account, approval_required=approval_required)
    github.pages[KEY] = lambda _seen: rules(REVIEWERS, branches=branches)
    github.pages[BRANCHES] = lambda _seen: named
    result = check(deploy, github)
    assert result.code == 1
    assert "Any branch that somebody pushes may use the environment production of acme/bulkhead" in result.err


def test_refuses_when_github_does_not_say_which_branches(deploy: Deploy, github: Site) -> None:
    github.pages[KEY] = lambda _seen: rules(REVIEWERS)
    github.pages[BRANCHES] = lambda _seen: Page(403, {})
    result = check(deploy, github)
    assert result.code == 1
    assert "GitHub answered 403" in result.err


def test_refuses_an_answer_that_is_no_environment(deploy: Deploy, github: Site) -> None:
    github.pages[KEY] = lambda _seen: Page(200, ["something else"])
    assert check(deploy, github).code == 1


def test_refuses_without_a_token(deploy: Deploy, github: Site) -> None:
    result = check(deploy, github, GITHUB_TOKEN="")
    assert result.code == 1
    assert "GITHUB_TOKEN is not set" in result.err
    assert not github.seen


@pytest.mark.parametrize("repository", ["", "bulkhead", "a/b/c", "../x", "a/b?c"])
def test_refuses_a_repository_that_is_none(deploy: Deploy, github: Site, repository: str) -> None:
    result = check(deploy, github, repository=repository)
    assert result.code == 1
    assert "set --repository to OWNER/NAME" in result.err
    assert not github.seen
