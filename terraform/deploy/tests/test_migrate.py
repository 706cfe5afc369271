"""One task, from its registration to its end."""

import os
import signal
import time

import pytest

from tests.conftest import LOG_GROUP, NEW, OLD, Account, Deploy, FastClock, register
from tests.stage import Stage
from tests.task import PENDING, RUNNING, stopped


def write_log(account: Account, task: str, *lines: str) -> None:
    logs = account.client("logs")
    stream = f"migrate/migrate/{task.rsplit('/', 1)[-1]}"
    found = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=stream)["logStreams"]
    if not found:
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)


def test_swaps_the_image_and_nothing_else(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [stopped(0)]
    before = family.revision("migrate")

    assert deploy("migrate", "--image", NEW).code == 0

    after = family.revision("migrate")
    assert after["revision"] == before["revision"] + 1
    expected = {
        **before,
        "containerDefinitions": [
            before["containerDefinitions"][0],
            {**before["containerDefinitions"][1], "image": NEW},
        ],
    }
    own = ("revision", "taskDefinitionArn", "registeredAt")
    assert {key: value for key, value in after.items() if key not in own} == {
        key: value for key, value in expected.items() if key not in own
    }
    (request,) = stage.named("RegisterTaskDefinition")
    assert request["tags"] == [{"key": "Name", "value": "bulkhead-test-migrate"}]


def test_copies_the_newest_revision(family: Account, deploy: Deploy, stage: Stage) -> None:
    register(family, "migrate", OLD, cpu="1024", memory="2048")
    stage.task = [stopped(0)]
    assert deploy("migrate", "--image", NEW).code == 0
    assert family.revision("migrate")["cpu"] == "1024"


def test_runs_where_it_is_told_and_streams_the_log(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [{}, PENDING, RUNNING, RUNNING, stopped(0)]

    def write(number: int, task: str) -> None:
        if number in (3, 4, 5):
            write_log(family, task, f"line {number}", "::set-output name=x::y")

    stage.on_task = write

    result = deploy("migrate", "--image", NEW)

    assert result.code == 0, result.err
    (request,) = stage.named("RunTask")
    assert request["launchType"] == "FARGATE"
    assert request["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    assert request["networkConfiguration"]["awsvpcConfiguration"]["subnets"][0].startswith("subnet-")
    assert request["taskDefinition"].endswith(":2")
    lines = result.out.splitlines()
    shown = [line for line in lines if line.startswith("  | line")]
    assert shown == ["  | line 3", "  | line 4", "  | line 5"], "each once, in order"
    assert lines.index("  | line 3") < lines.index("task is STOPPED"), "as they come, not at the end"
    assert not [line for line in lines if line.lstrip().startswith("::set-output")]


def test_shows_the_lines_that_come_after_the_end(
    family: Account, deploy: Deploy, stage: Stage, clock: FastClock
) -> None:
    stage.task = [stopped(1)]
    tasks: list[str] = []
    stage.on_task = lambda _number, task: tasks.append(task)
    clock.on_sleep = lambda: write_log(family, tasks[0], "the last words")
    result = deploy("migrate", "--image", NEW)
    assert "  | the last words" in result.out


def test_a_failure_tells_the_exit_code_and_the_reasons(family: Account, deploy: Deploy, stage: Stage) -> None:
    killed = stopped(137)
    killed["containers"][1]["reason"] = "OutOfMemoryError: container killed"
    stage.task = [RUNNING, killed]

    result = deploy("migrate", "--image", NEW)

    assert result.code == 1
    assert "failed with exit code 137" in result.err
    assert "Essential container in task exited; OutOfMemoryError: container killed" in result.err


def test_a_task_that_could_not_start_is_told_apart(family: Account, deploy: Deploy, stage: Stage) -> None:
    end = stopped(None, stopCode="TaskFailedToStart", stoppedReason="CannotPullContainerError: not found")
    del end["startedAt"]
    stage.task = [PENDING, end]
    result = deploy("migrate", "--image", NEW)
    assert result.code == 1
    assert "could not start: CannotPullContainerError: not found" in result.err
    assert "Nothing was done" in result.err


def test_a_task_without_a_place_could_not_start(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task_failures = [{"reason": "Capacity is unavailable at this time"}]
    result = deploy("migrate", "--image", NEW)
    assert result.code == 1
    assert "could not start: Capacity is unavailable at this time" in result.err


@pytest.mark.parametrize("exit_code", [0, None])
def test_a_task_that_was_ended_from_outside_has_failed(
    family: Account, deploy: Deploy, stage: Stage, exit_code: int | None
) -> None:
    stage.task = [stopped(exit_code, stopCode="UserInitiated", stoppedReason="Task stopped by user")]
    result = deploy("migrate", "--image", NEW)
    assert result.code == 1
    assert "was ended from outside: Task stopped by user" in result.err


def test_a_task_that_takes_too_long_goes_on(
    family: Account, deploy: Deploy, stage: Stage, clock: FastClock
) -> None:
    stage.task = [RUNNING]
    result = deploy("migrate", "--image", NEW, "--timeout", "2")
    assert result.code == 1
    assert "Timed out: the migration still runs after 2 min" in result.err
    assert "aws logs tail /bulkhead/bulkhead-test/migrate" in result.err
    assert 120 <= clock.seconds < 130
    assert not stage.named("StopTask")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_waiting_and_not_the_task(
    family: Account, deploy: Deploy, stage: Stage, clock: FastClock, number: signal.Signals
) -> None:
    stage.task = [RUNNING]
    before = signal.getsignal(number)
    clock.on_sleep = lambda: os.kill(os.getpid(), number)

    result = deploy("migrate", "--image", NEW)

    assert result.code == 1
    assert "Stopped waiting; the migration goes on. Look: aws ecs describe-tasks" in result.err
    assert not stage.named("StopTask")
    assert signal.getsignal(number) == before


def test_goes_on_without_a_log_that_cannot_be_read(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [RUNNING, stopped(0)]
    stage.refusals["GetLogEvents"] = "AccessDeniedException"
    result = deploy("migrate", "--image", NEW)
    assert result.code == 0
    assert result.err.count("cannot be shown") == 1


def test_losing_sight_of_the_task_says_how_to_look(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [RUNNING]
    stage.refusals["DescribeTasks"] = "ExpiredTokenException"
    result = deploy("migrate", "--image", NEW)
    assert result.code == 1
    assert "Lost sight of the migration" in result.err
    assert "aws ecs describe-tasks" in result.err


REGISTRY = NEW.split("@")[0]


@pytest.mark.parametrize(
    "image",
    [
        "",
        f"{REGISTRY}:latest",
        REGISTRY,
        f"{REGISTRY}@",
        f"{REGISTRY}@sha256:",
        f"{REGISTRY}@sha256:12",
        f"@{'1' * 64}",
    ],
)
@pytest.mark.parametrize("command", [("migrate",), ("roll", "--state", "never-written.json")])
def test_refuses_an_image_without_a_digest(
    deploy: Deploy, stage: Stage, image: str, command: tuple[str, ...]
) -> None:
    result = deploy(*command, "--image", image)
    assert result.code == 1
    assert "names no image by its digest: set --image" in result.err
    assert not stage.calls


def test_refuses_an_image_of_another_registry(family: Account, deploy: Deploy, stage: Stage) -> None:
    result = deploy("migrate", "--image", f"ghcr.io/other/bulkhead@sha256:{'1' * 64}")
    assert result.code == 1
    assert "push it there" in result.err
    assert not stage.named("RegisterTaskDefinition")


def test_refuses_a_family_without_the_container(family: Account, deploy: Deploy, stage: Stage) -> None:
    register(family, "migrate", OLD, containerDefinitions=[{"name": "other", "image": OLD}])
    result = deploy("migrate", "--image", NEW)
    assert result.code == 1
    assert "bulkhead-test-migrate:2 has no container named migrate" in result.err
    assert not stage.named("RunTask")
