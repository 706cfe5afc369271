"""Looking after keys: one task of the newest revision that migrates."""

import pytest

from tests.conftest import Account, Deploy
from tests.stage import Stage
from tests.task import RUNNING, stopped


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (("list",), ["keys", "list"]),
        (("rotate",), ["keys", "rotate"]),
        (("rotate", "--withdraw=-kid"), ["keys", "rotate", "--withdraw=-kid"]),
        (("drop-masters",), ["keys", "drop-masters"]),
    ],
)
def test_runs_the_newest_revision(
    family: Account, deploy: Deploy, stage: Stage, given: tuple[str, ...], command: list[str]
) -> None:
    stage.task = [RUNNING, stopped(0)]
    result = deploy("keys", *given)
    assert result.code == 0, result.err
    (request,) = stage.named("RunTask")
    assert request["taskDefinition"] == family.revision("migrate")["taskDefinitionArn"]
    assert request["overrides"]["containerOverrides"] == [{"name": "migrate", "command": command}]


def test_what_fails_is_a_failure(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [stopped(1)]
    result = deploy("keys", "rotate")
    assert result.code == 1
    assert "The task that looks after keys failed with exit code 1" in result.err


def test_only_a_rotation_withdraws(family: Account, deploy: Deploy, stage: Stage) -> None:
    refused = deploy("keys", "list", "--withdraw=kid")
    assert refused.code == 1
    assert "--withdraw goes with rotate" in refused.err
    assert not stage.named("RunTask")
