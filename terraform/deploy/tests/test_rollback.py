"""Back to what ran before."""

import json
from pathlib import Path

import pytest

from tests.conftest import (
    NEW,
    OLD,
    PARAMETER,
    REGISTRY,
    RELEASES,
    Account,
    Deploy,
    put_releases,
    register,
)
from tests.stage import Stage

WORKER, API = "bulkhead-test-worker", "bulkhead-test-api"
OTHER = f"{REGISTRY}@sha256:{'2' * 64}"
BAD = f"{REGISTRY}@sha256:{'3' * 64}"


def run_newest(account: Account, command: str, image: str) -> str:
    """Registers a revision and puts the service on it."""
    arn = register(account, command, image)
    account.client("ecs").update_service(cluster="bulkhead-test", service=command, taskDefinition=arn)
    return arn


def remember(account: Account, *releases: tuple[str, int]) -> None:
    """Releases, the oldest first: an image, and the number of the revision of each service that ran it."""
    content = [
        {
            "digest": image.rpartition("@")[2],
            "services": {"worker": f"{WORKER}:{number}", "api": f"{API}:{number}"},
            "at": "2026-11-20T12:00:00+00:00",
        }
        for image, number in releases
    ]
    put_releases(account, json.dumps(content))


def run_each(account: Account, *images: str) -> None:
    """One revision of each service after the other, from the second on; the last one runs."""
    for command in ("worker", "api"):
        for image in images:
            run_newest(account, command, image)


@pytest.mark.parametrize("how", [(), ("previous",)])
def test_goes_back_to_the_release_before(
    environment: Account, deploy: Deploy, stage: Stage, how: tuple[str, ...]
) -> None:
    run_each(environment, OTHER, BAD, NEW)
    remember(environment, (OLD, 1), (OTHER, 2), (NEW, 4))

    result = deploy("rollback", *how)

    assert result.code == 0, result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:2", "3 was never tried"
    assert environment.runs(stage, "api") == f"{API}:2"
    assert f"api: from {API}:4 to {API}:2" in result.out
    assert "2026-11-20T12:00:00+00:00" in result.out
    assert "Databases stay as they are" in result.out


def digests(account: Account) -> list[str]:
    """Of the releases that are known."""
    value = account.client("ssm").get_parameter(Name=RELEASES)["Parameter"]["Value"]
    return [f"{REGISTRY}@{release['digest']}" for release in json.loads(value)]


def test_each_one_goes_further_back_until_there_is_nothing(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, OTHER, NEW)
    remember(environment, (OLD, 1), (OTHER, 2), (NEW, 3))
    result = deploy("rollback")
    assert result.code == 0, result.err
    assert digests(environment) == [OLD, OTHER], "nobody comes back to what was left"
    assert f"No releases any more: {NEW.rpartition('@')[2]}" in result.out
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "api") == f"{API}:1"
    assert digests(environment) == [OLD]
    assert "There is no release to go back to" in deploy("rollback").err


def test_to_named_revisions_of_a_release_leaves_those_after_it(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, OTHER, NEW)
    remember(environment, (OLD, 1), (OTHER, 2), (NEW, 3))
    assert deploy("rollback", "--to", f"{API}:1").code == 0
    assert digests(environment) == [OLD, OTHER, NEW], "half of it is no release"
    assert deploy("rollback", "--to", f"{WORKER}:1").code == 0
    assert digests(environment) == [OLD]


def test_a_list_that_cannot_be_written_is_a_warning(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, NEW)
    remember(environment, (OLD, 1), (NEW, 2))
    stage.refusals["PutParameter"] = "AccessDeniedException"
    result = deploy("rollback")
    assert result.code == 0
    assert "warning: The list of releases stays as it is. AWS refused PutParameter" in result.err
    assert environment.runs(stage, "api") == f"{API}:1"


def test_without_waiting_everything_is_started(environment: Account, deploy: Deploy, stage: Stage) -> None:
    run_each(environment, NEW)
    remember(environment, (OLD, 1), (NEW, 2))
    stage.outcomes["api"] = [["IN_PROGRESS"]]
    result = deploy("rollback", "--no-wait")
    assert result.code == 0, result.err
    assert f"api is on its way to {API}:1. Look: aws ecs describe-services" in result.out
    assert environment.runs(stage, "worker") == f"{WORKER}:1"
    assert digests(environment) == [OLD, NEW], "nobody knows yet how it ends"


def test_from_what_was_never_tried_to_the_newest_release(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, OTHER, BAD)
    remember(environment, (OLD, 1), (OTHER, 2))
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "api") == f"{API}:2"
    assert environment.runs(stage, "worker") == f"{WORKER}:2"


def test_from_half_a_rollout_to_where_it_came_from(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, OTHER, NEW)
    environment.client("ecs").update_service(
        cluster="bulkhead-test", service="api", taskDefinition=f"{API}:2"
    )
    remember(environment, (OLD, 1), (OTHER, 2), (NEW, 3))
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "worker") == f"{WORKER}:2"
    assert environment.runs(stage, "api") == f"{API}:2"


def test_the_api_goes_first(environment: Account, deploy: Deploy, stage: Stage) -> None:
    run_each(environment, NEW)
    remember(environment, (OLD, 1), (NEW, 2))
    assert deploy("rollback").code == 0
    assert [request["service"] for request in stage.named("UpdateService")] == ["api", "worker"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_passes_over_what_was_taken_out_of_use(
    environment: Account, deploy: Deploy, stage: Stage, is_deleted: bool
) -> None:
    run_each(environment, OTHER, NEW)
    remember(environment, (OLD, 1), (OTHER, 2), (NEW, 3))
    environment.client("ecs").deregister_task_definition(taskDefinition=f"{API}:2")
    if is_deleted:
        environment.client("ecs").delete_task_definitions(taskDefinitions=[f"{API}:2"])
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "api") == f"{API}:1"
    assert environment.runs(stage, "worker") == f"{WORKER}:1", "both, or neither"


@pytest.mark.parametrize(
    ("image", "services"),
    [
        (OLD, {"api": f"{API}:1"}),
        (OLD, {"worker": f"{API}:1", "api": f"{API}:1"}),
        (OTHER, {"worker": f"{WORKER}:1", "api": f"{API}:1"}),
    ],
)
def test_passes_over_a_release_that_is_not_whole(
    environment: Account, deploy: Deploy, stage: Stage, image: str, services: dict[str, str]
) -> None:
    run_each(environment, NEW)
    half = {"digest": image.rpartition("@")[2], "services": services, "at": "2026-11-20"}
    put_releases(environment, json.dumps([half]))
    result = deploy("rollback")
    assert result.code == 1
    assert "There is no release to go back to" in result.err


@pytest.mark.parametrize("known", [[], [(NEW, 2)]])
def test_changes_nothing_when_there_is_nothing_to_go_back_to(
    environment: Account, deploy: Deploy, stage: Stage, known: list[tuple[str, int]]
) -> None:
    run_each(environment, NEW)
    remember(environment, *known)
    result = deploy("rollback")
    assert result.code == 1
    assert (
        f"There is no release to go back to before what runs (worker {WORKER}:2, api {API}:2)" in result.err
    )
    assert not stage.named("UpdateService")


@pytest.mark.parametrize(
    "value", ["{}", "7", "[1]", '[{"digest": "sha256:1", "services": {}, "at": ""}]', "nil"]
)
def test_a_list_that_cannot_be_read_is_a_sentence(
    environment: Account, deploy: Deploy, stage: Stage, value: str
) -> None:
    put_releases(environment, value)
    result = deploy("rollback")
    assert result.code == 1
    assert f"The parameter {RELEASES} holds no list of releases" in result.err
    assert not stage.named("UpdateService")


def test_goes_back_to_what_a_roll_wrote_down(
    environment: Account, deploy: Deploy, stage: Stage, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    assert deploy("roll", "--image", NEW, "--state", str(state)).code == 0
    for command in ("worker", "api"):
        register(environment, command, OTHER)
    result = deploy("rollback", "--state", str(state))
    assert result.code == 0, result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"
    assert environment.runs(stage, "api") == f"{API}:1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "is no state of a roll"),
        ("[]", "is no state of a roll"),
        (json.dumps({"deployment": PARAMETER, "services": {"api": 1}}), "is no state of a roll"),
        (json.dumps({"deployment": PARAMETER, "services": {}}), "There is no revision to go back to"),
        (
            json.dumps({"deployment": "/bulkhead-other/deployment", "services": {"api": f"{API}:1"}}),
            "belongs to /bulkhead-other/deployment",
        ),
    ],
)
def test_refuses_a_state_that_is_none(
    environment: Account, deploy: Deploy, stage: Stage, tmp_path: Path, content: str | None, said: str
) -> None:
    state = tmp_path / "state.json"
    if content is not None:
        state.write_text(content)
    result = deploy("rollback", "--state", str(state))
    assert result.code == 1
    assert said in result.err
    assert not stage.named("UpdateService")


def test_goes_to_named_revisions_and_leaves_other_services(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    for command in ("worker", "api"):
        register(environment, command, OTHER)
        run_newest(environment, command, NEW)
    result = deploy("rollback", "--to", f"{API}:1")
    assert result.code == 0, result.err
    assert environment.runs(stage, "api") == f"{API}:1"
    assert [request["service"] for request in stage.named("UpdateService")] == ["api"]


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        ([f"{API}:99"], f"There is no task definition {API}:99"),
        ([API], "write FAMILY:NUMBER"),
        ([f"{API}:newest"], "write FAMILY:NUMBER"),
        (["bulkhead-test-migrate:1"], "No service of bulkhead-test runs bulkhead-test-migrate"),
        ([f"{API}:1", f"{API}:1"], "api is to go back to two revisions"),
        ([f"{WORKER}:1", f"{API}:99"], f"There is no task definition {API}:99"),
    ],
)
def test_refuses_revisions_that_are_none(
    environment: Account, deploy: Deploy, stage: Stage, revisions: list[str], said: str
) -> None:
    result = deploy("rollback", "--to", *revisions)
    assert result.code == 1
    assert said in result.err
    assert not stage.named("UpdateService")


def test_a_rollback_that_fails_says_so_and_still_does_the_rest(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_each(environment, NEW)
    remember(environment, (OLD, 1), (NEW, 2))
    stage.outcomes["api"] = [["FAILED"]]
    result = deploy("rollback")
    assert result.code == 1
    assert f"Put back: worker to {WORKER}:1. Not put back: api: the rollout failed" in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"
