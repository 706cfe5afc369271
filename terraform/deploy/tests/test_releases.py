"""What counts as a release."""

import json
from typing import Any

import pytest

from deploy.releases import KEPT, Release, before
from tests.conftest import NEW, REGISTRY, RELEASES, Account, Deploy, put_releases, register
from tests.registry import digest, make_repository, manifest, put, tags
from tests.stage import Stage

API = "bulkhead-test-api"


def run(account: Account, stage: Stage, image: str, *commands: str) -> None:
    # What it has played for these services so far is over.
    stage.services.clear()
    for command in commands or ("worker", "api"):
        arn = register(account, command, image)
        account.client("ecs").update_service(cluster="bulkhead-test", service=command, taskDefinition=arn)


def known(account: Account) -> list[dict[str, Any]]:
    answer = account.client("ssm").get_parameter(Name=RELEASES)
    releases: list[dict[str, Any]] = json.loads(answer["Parameter"]["Value"])
    return releases


@pytest.fixture
def image(environment: Account, stage: Stage) -> str:
    """An image that is pushed and runs."""
    make_repository(environment)
    pushed = put(environment, manifest("good"), "sha-0123456-good")
    run(environment, stage, f"{REGISTRY}@{pushed}")
    return f"{REGISTRY}@{pushed}"


def test_remembers_what_every_service_runs(environment: Account, deploy: Deploy, image: str) -> None:
    result = deploy("release", "--image", image)

    assert result.code == 0, result.err
    of = image.partition("@")[2]
    assert known(environment) == [
        {
            "digest": of,
            "services": {"worker": "bulkhead-test-worker:2", "api": f"{API}:2"},
            "at": "2026-11-21T12:30:00+00:00",
        }
    ]
    assert tags(environment, of) == {"sha-0123456-good", f"release-{of[7:19]}"}


def test_a_release_that_is_repeated_is_one(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    assert deploy("release", "--image", image).code == 0
    run(environment, stage, image)
    result = deploy("release", "--image", image)
    assert result.code == 0, result.err
    (only,) = known(environment)
    assert only["services"]["api"] == f"{API}:3"


def test_an_older_release_that_comes_back_is_the_newest(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    other = f"{REGISTRY}@{put(environment, manifest('other'), 'sha-0123456-other')}"
    for each in (image, other, image):
        run(environment, stage, each)
        assert deploy("release", "--image", each).code == 0
    assert [f"{REGISTRY}@{release['digest']}" for release in known(environment)] == [other, image]


def test_forgets_the_oldest_and_stays_small(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    for number in range(KEPT + 2):
        pushed = put(environment, manifest(f"{number}"), f"sha-0123456-{number}")
        run(environment, stage, f"{REGISTRY}@{pushed}")
        assert deploy("release", "--image", f"{REGISTRY}@{pushed}").code == 0
    releases = known(environment)
    assert len(releases) == KEPT
    assert releases[-1]["digest"] == digest(manifest(f"{KEPT + 1}"))
    # The longest name that Terraform takes has twice the letters; a parameter holds 8 kB.
    assert len(json.dumps(releases)) < 4000


def test_refuses_what_one_service_does_not_run(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    run(environment, stage, NEW, "worker")
    result = deploy("release", "--image", image)
    assert result.code == 1
    assert f"worker runs {NEW}, not {image}" in result.err
    assert known(environment) == []


def test_refuses_an_image_that_is_not_there(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    run(environment, stage, NEW)
    result = deploy("release", "--image", NEW)
    assert result.code == 1
    assert "push it first" in result.err
    assert known(environment) == []


def test_refuses_to_write_over_what_it_cannot_read(
    environment: Account, deploy: Deploy, stage: Stage, image: str
) -> None:
    put_releases(environment, "gone")
    result = deploy("release", "--image", image)
    assert result.code == 1
    assert "holds no list of releases" in result.err
    assert not stage.named("PutParameter")


def releases(letters: str) -> list[Release]:
    return [Release(letter, {}, "") for letter in letters]


@pytest.mark.parametrize(
    ("known", "running", "best"),
    [
        ("", "a", ""),
        ("a", "a", ""),
        ("ab", "b", "a"),
        ("abc", "b", "a"),
        ("abc", "x", "cba"),
        # Half of a rollout, which became no release, or did.
        ("ab", "bx", "ba"),
        ("abc", "bc", "ba"),
        ("ab", "xy", "ba"),
    ],
)
def test_what_may_be_gone_back_to(known: str, running: str, best: str) -> None:
    assert "".join(each.digest for each in before(releases(known), set(running))) == best
