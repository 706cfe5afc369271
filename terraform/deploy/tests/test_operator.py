"""Adding an operator: one task of the newest revision that migrates."""

import pytest

from tests.conftest import NAME, Account, Deploy, put_parameter
from tests.stage import Stage
from tests.task import RUNNING, stopped

ADDRESS = "first@operators.example"


@pytest.fixture
def ready(vault: Account, family: Account) -> Account:
    """The environment, with a task that could add an operator and a secret for the password."""
    assert vault is family
    return family


def test_runs_the_newest_revision_with_other_arguments(ready: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [RUNNING, stopped(0)]

    result = deploy("operator", "--email", ADDRESS, "--role", "billing")

    assert result.code == 0, result.err
    (request,) = stage.named("RunTask")
    assert request["taskDefinition"] == ready.revision("migrate")["taskDefinitionArn"]
    (override,) = request["overrides"]["containerOverrides"]
    assert override == {
        "name": "migrate",
        "command": ["operator", "create", "--role", "billing", "--", ADDRESS],
    }
    assert not stage.named("RegisterTaskDefinition"), "it is the image that runs, whichever that is"
    assert f"--secret-id {NAME}/operator" in result.out


def test_neither_reads_nor_shows_the_password(ready: Account, deploy: Deploy, stage: Stage) -> None:
    assert deploy("secrets").code == 0
    stage.task = [stopped(0)]
    result = deploy("operator", "--email", ADDRESS)
    value = ready.secret("operator")
    assert value is not None
    assert len(value["password"]) == 40
    assert value["password"] not in result.said
    assert not stage.named("GetSecretValue")


def test_a_refusal_of_the_product_is_a_failure(ready: Account, deploy: Deploy, stage: Stage) -> None:
    stage.task = [stopped(1)]
    result = deploy("operator", "--email", "nobody")
    assert result.code == 1
    assert "The task that adds the operator failed with exit code 1" in result.err


def test_refuses_an_environment_without_a_password(family: Account, deploy: Deploy, stage: Stage) -> None:
    put_parameter(family, secrets={f"{NAME}/master-key": {"kind": "key", "bytes": 32}})
    result = deploy("operator", "--email", ADDRESS)
    assert result.code == 1
    assert "has no secret for an operator's password" in result.err
    assert not stage.named("RunTask")
