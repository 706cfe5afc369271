"""Every service on the new image, or none of them."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import NEW, OLD, PARAMETER, Account, Deploy, FastClock, register
from tests.stage import Stage

WORKER, API = "bulkhead-test-worker", "bulkhead-test-api"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def updates(stage: Stage) -> list[str]:
    """The changes of services, in order."""
    return [request["taskDefinition"].rsplit("/", 1)[-1] for request in stage.named("UpdateService")]


def test_rolls_the_worker_and_then_the_api(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    result = deploy("roll", "--image", NEW, "--state", str(state))

    assert result.code == 0, result.err
    assert updates(stage) == [f"{WORKER}:2", f"{API}:2"]
    for command in ("worker", "api"):
        assert environment.revision(command)["containerDefinitions"][1]["image"] == NEW
        assert stage.services[command].primary["rolloutState"] == "COMPLETED"
    assert result.out.count("  | has started 1 tasks.") == 2, "new events alone, each once"
    assert result.out.count("  | has reached a steady state.") == 2


def test_does_not_start_the_api_before_the_worker_is_done(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.outcomes["worker"] = [["IN_PROGRESS"] * 3 + ["COMPLETED"]]
    assert deploy("roll", "--image", NEW, "--state", str(state)).code == 0
    actions = [
        (call.action, call.content.get("service") or call.content["services"][0])
        for call in stage.calls
        if call.action in ("UpdateService", "DescribeServices")
    ]
    first, second = (number for number, (action, _) in enumerate(actions) if action == "UpdateService")
    asked = [service for action, service in actions[first:second] if action == "DescribeServices"]
    assert asked.count("worker") == 4


def test_writes_the_way_back_before_the_first_change(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.refusals["UpdateService"] = "AccessDeniedException"
    assert deploy("roll", "--image", NEW, "--state", str(state)).code == 1
    content = json.loads(state.read_text())
    assert content["deployment"] == PARAMETER
    assert {command: arn.rsplit("/", 1)[-1] for command, arn in content["services"].items()} == {
        "worker": f"{WORKER}:1",
        "api": f"{API}:1",
    }


def test_changes_nothing_when_the_way_back_cannot_be_written(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    state.write_text("an earlier one")
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert "is the way back of an earlier roll" in result.err
    assert state.read_text() == "an earlier one"

    nowhere = deploy("roll", "--image", NEW, "--state", str(state.parent / "missing" / "state.json"))
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err
    assert not updates(stage)


def test_a_failing_api_takes_the_worker_back_too(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.outcomes["api"] = [["IN_PROGRESS", "FAILED"]]

    result = deploy("roll", "--image", NEW, "--state", str(state))

    assert result.code == 1
    assert updates(stage) == [f"{WORKER}:2", f"{API}:2", f"{API}:1", f"{WORKER}:1"]
    for command, family in (("worker", WORKER), ("api", API)):
        assert environment.runs(stage, command) == f"{family}:1"
        assert stage.services[command].primary["rolloutState"] == "COMPLETED", "waited for that, too"
    assert "api: the rollout failed: tasks failed to start." in result.err
    assert f"Put back: api to {API}:1, worker to {WORKER}:1." in result.err
    # What ECS says is set off, so that GitHub does not obey it.
    assert "  | ::error::deployment failed" in result.out


def test_a_failure_is_noticed_without_the_circuit_breaker(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.has_breaker = False
    stage.outcomes["worker"] = [["FAILED"]]
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert "worker: the rollout failed: tasks failed to start." in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"


def test_a_failing_worker_leaves_the_api_alone(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.outcomes["worker"] = [["FAILED"]]
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert updates(stage) == [f"{WORKER}:2", f"{WORKER}:1"]
    assert environment.runs(stage, "api") == f"{API}:1"


def test_a_rollout_that_does_not_end_is_taken_back(
    environment: Account, deploy: Deploy, stage: Stage, state: Path, clock: FastClock
) -> None:
    stage.outcomes["worker"] = [["IN_PROGRESS"]]
    result = deploy("roll", "--image", NEW, "--state", str(state), "--timeout", "3")
    assert result.code == 1
    assert "worker: not done after 3 min (1 of 2 tasks run)" in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"
    assert 180 <= clock.seconds < 240


def test_a_rollout_that_somebody_replaces_has_failed(
    environment: Account, deploy: Deploy, stage: Stage, state: Path, clock: FastClock
) -> None:
    stage.outcomes["worker"] = [["IN_PROGRESS"]]
    other = register(environment, "worker", OLD)

    def replace_once() -> None:
        clock.on_sleep = lambda: None
        stage.services["worker"].update(other)

    clock.on_sleep = replace_once
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert f"the rollout was replaced by one of {WORKER}:2" in result.err


def test_says_when_going_back_fails(environment: Account, deploy: Deploy, stage: Stage, state: Path) -> None:
    stage.outcomes["worker"] = [["COMPLETED"], ["IN_PROGRESS"]]
    stage.outcomes["api"] = [["FAILED"]]
    result = deploy("roll", "--image", NEW, "--state", str(state), "--timeout", "1")
    assert result.code == 1
    assert f"Put back: api to {API}:1." in result.err
    assert "Not put back: worker: not done after 1 min" in result.err
    assert "Run `rollback` with the state file" in result.err
    assert environment.runs(stage, "api") == f"{API}:1"


def test_takes_back_what_was_changed_when_aws_refuses(
    environment: Account, deploy: Deploy, stage: Stage, state: Path, clock: FastClock
) -> None:
    def refuse_once() -> None:
        clock.on_sleep = lambda: None
        stage.refusals["DescribeServices"] = "AccessDeniedException"

    clock.on_sleep = refuse_once
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert "worker: AWS refused DescribeServices (AccessDeniedException)" in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:1"


def test_comes_back_to_what_ran_well_and_not_to_a_roll_that_hangs(
    environment: Account, deploy: Deploy, stage: Stage, state: Path, clock: FastClock
) -> None:
    stage.outcomes["worker"] = [["IN_PROGRESS"], ["FAILED"]]
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert deploy("roll", "--image", NEW, "--state", str(state)).code == 1
    assert environment.runs(stage, "worker") == f"{WORKER}:2"
    clock.on_sleep = lambda: None

    assert deploy("roll", "--image", NEW, "--state", f"{state}.2").code == 1
    assert environment.runs(stage, "worker") == f"{WORKER}:1"


def test_a_signal_stops_the_waiting_and_says_how_to_go_back(
    environment: Account, deploy: Deploy, stage: Stage, state: Path, clock: FastClock
) -> None:
    stage.outcomes["worker"] = [["IN_PROGRESS"]]
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGTERM)
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert "Stopped waiting" in result.err
    assert f"rollback --state {state}" in result.err
    assert environment.runs(stage, "worker") == f"{WORKER}:2", "nothing is undone in the last seconds"


def test_rolls_the_same_image_again(environment: Account, deploy: Deploy, stage: Stage, state: Path) -> None:
    """New values of secrets are read by new tasks alone."""
    assert deploy("roll", "--image", NEW, "--state", str(state)).code == 0
    assert deploy("roll", "--image", NEW, "--state", f"{state}.2").code == 0
    assert environment.runs(stage, "api") == f"{API}:3"


def test_refuses_a_service_that_is_not_there(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    environment.client("ecs").delete_service(cluster="bulkhead-test", service="api", force=True)
    result = deploy("roll", "--image", NEW, "--state", str(state))
    assert result.code == 1
    assert "There is no service api in the cluster bulkhead-test" in result.err
    assert not updates(stage)


def test_groups_what_it_says_for_github(
    environment: Account, deploy: Deploy, stage: Stage, state: Path
) -> None:
    stage.outcomes["api"] = [["FAILED"]]
    result = deploy("roll", "--image", NEW, "--state", str(state), GITHUB_ACTIONS="true")
    assert result.out.count("::group::") == result.out.count("::endgroup::") == 4
    assert f"::group::worker to {WORKER}:2" in result.out
    assert result.err.startswith("::error::api: the rollout failed")
