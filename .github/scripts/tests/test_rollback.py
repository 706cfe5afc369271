"""Back to what ran before."""

import json
from pathlib import Path

import pytest

from tests.conftest import NEW, OLD, PARAMETER, REGISTRY, Account, Deploy, register
from tests.stage import Stage

WORKER, API = "bulkhead-test-worker", "bulkhead-test-api"
OTHER = f"{REGISTRY}@sha256:{'2' * 64}"


def run_newest(account: Account, command: str, image: str) -> str:
    """Registers a revision and puts the service on it."""
    arn = register(account, command, image)
    account.client("ecs").update_service(cluster="bulkhead-test", service=command, taskDefinition=arn)
    return arn


@pytest.mark.parametrize("how", [(), ("previous",)])
def test_goes_back_to_the_newest_earlier_revision_with_another_image(
    environment: Account, deploy: Deploy, stage: Stage, how: tuple[str, ...]
) -> None:
    for command in ("worker", "api"):
        register(environment, command, OTHER)  # 2
        register(environment, command, NEW, cpu="1024")  # 3: the image that runs, with other settings
        run_newest(environment, command, NEW)  # 4
        register(environment, command, OLD)  # 5: newer than what runs

    result = deploy("rollback", *how)

    assert result.code == 0, result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:2"
    assert environment.runs(stage, "api") == f"{API}:2"
    assert f"api: from {API}:4 to {API}:2, which runs {OTHER}" in result.out
    assert "Databases stay as they are" in result.out


def test_the_api_goes_first(environment: Account, deploy: Deploy, stage: Stage) -> None:
    for command in ("worker", "api"):
        run_newest(environment, command, NEW)
    assert deploy("rollback").code == 0
    assert [request["service"] for request in stage.named("UpdateService")] == ["api", "worker"]


def test_counts_revisions_as_numbers(environment: Account, deploy: Deploy, stage: Stage) -> None:
    for command in ("worker", "api"):
        for _ in range(8):
            register(environment, command, OLD)  # 2 to 9
        register(environment, command, OTHER)  # 10
        run_newest(environment, command, NEW)  # 11
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "api") == f"{API}:10"


def test_passes_over_what_was_deregistered(environment: Account, deploy: Deploy, stage: Stage) -> None:
    for command in ("worker", "api"):
        bad = register(environment, command, OTHER)  # 2
        run_newest(environment, command, NEW)  # 3
        environment.client("ecs").deregister_task_definition(taskDefinition=bad)
    assert deploy("rollback").code == 0
    assert environment.runs(stage, "api") == f"{API}:1"


def test_changes_nothing_when_one_service_has_nothing_to_go_back_to(
    environment: Account, deploy: Deploy, stage: Stage
) -> None:
    run_newest(environment, "api", NEW)
    result = deploy("rollback")
    assert result.code == 1
    assert f"worker runs {WORKER}:1, and no earlier revision" in result.err
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
    for command in ("worker", "api"):
        run_newest(environment, command, NEW)
    stage.outcomes["api"] = [["FAILED"]]
    result = deploy("rollback")
    assert result.code == 1
    assert f"Put back: worker to {WORKER}:1. Not put back: api: the rollout failed" in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"
