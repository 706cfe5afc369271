"""Examining the databases: one task of the newest revision that migrates."""

from tests.conftest import Account, Deploy
from tests.stage import Stage
from tests.task import RUNNING, stopped


def test_runs_the_newest_revision_as_a_doctor(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [RUNNING, stopped(0)]
    result = deploy("doctor")
    assert result.code == 0, result.err
    (request,) = stage.named("RunTask")
    assert request["taskDefinition"] == family.revision("migrate")["taskDefinitionArn"]
    assert request["overrides"]["containerOverrides"] == [{"name": "migrate", "command": ["doctor"]}]
    assert not stage.named("RegisterTaskDefinition")


def test_what_is_broken_is_a_failure(family: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [stopped(1)]
    result = deploy("doctor")
    assert result.code == 1
    assert "The examination failed with exit code 1" in result.err
