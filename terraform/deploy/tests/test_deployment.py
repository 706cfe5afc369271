"""Where everything is, and being told wrongly."""

import json
from typing import Any

import pytest

from deploy.deployment import parse
from deploy.errors import DeployError
from tests.conftest import NEW, PARAMETER, Account, Deploy, parameter, put_parameter
from tests.stage import Stage


def test_reads_what_terraform_writes() -> None:
    deployment = parse(PARAMETER, json.dumps(parameter()))
    assert [service.command for service in deployment.services] == ["worker", "api"]
    assert deployment.migration.subnets == ["subnet-0"]
    assert len(deployment.secrets) == 5


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"cluster": ""}, "cluster"),
        ({"approval_required": "yes"}, "approval_required"),
        ({"services": []}, "services"),
        ({"services": {"api": {"service": "api"}}}, "services.api.family"),
        ({"migrate": {"family": "f", "subnets": []}}, "migrate.subnets"),
        ({"secrets": {"s": {"kind": "key", "bytes": 0}}}, "secrets.s.bytes"),
        ({"secrets": {"s": {"kind": "key", "bytes": True}}}, "secrets.s.bytes"),
    ],
)
def test_names_what_is_missing(changes: dict[str, Any], lacks: str) -> None:
    with pytest.raises(DeployError, match=f"lacks {lacks}, which is"):
        parse(PARAMETER, json.dumps(parameter(**changes)))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_refuses_a_value_that_is_no_object(text: str) -> None:
    with pytest.raises(DeployError, match="lacks its content"):
        parse(PARAMETER, text)


@pytest.mark.parametrize(
    "command",
    [
        ("secrets",),
        ("check-approval", "--environment", "production", "--repository", "o/r"),
        ("migrate", "--image", NEW),
        ("roll", "--image", NEW, "--state", "never-written.json"),
        ("rollback",),
    ],
)
def test_an_unknown_environment_is_a_sentence(
    account: Account, deploy: Deploy, command: tuple[str, ...]
) -> None:
    put_parameter(account)
    result = deploy(*command, deployment="/bulkhead-nowhere/deployment")
    assert result.code == 1
    assert result.err.startswith(
        "error: There is no parameter /bulkhead-nowhere/deployment in eu-central-1: set --dep"
    )
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["", "bulkhead-test", "/bulkhead-test", "/Bulkhead/deployment", "/a/b/deployment"]
)
def test_refuses_a_name_that_is_no_environment(deploy: Deploy, stage: Stage, name: str) -> None:
    result = deploy("secrets", deployment=name)
    assert result.code == 1
    assert "is no environment: set --deployment" in result.err
    assert not stage.calls


def test_says_that_the_region_is_missing(deploy: Deploy) -> None:
    result = deploy("secrets", AWS_REGION="")
    assert result.code == 1
    assert "set it to the region" in result.err


def test_a_refusal_of_aws_is_one_line(vault: Account, deploy: Deploy, stage: Stage) -> None:
    stage.refusals["GetParameter"] = "AccessDeniedException"
    result = deploy("secrets")
    assert result.code == 1
    assert result.err.startswith("error: AWS refused GetParameter (AccessDeniedException)")
    assert len(result.err.splitlines()) == 1


def test_says_that_credentials_are_missing(
    vault: Account, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = deploy("secrets")
    assert result.code == 1
    assert "There are no AWS credentials" in result.err
