"""Values of secrets: made once, made whole, never shown."""

import base64
import json
import re

from tests.conftest import NAME, PARAMETER, Account, Deploy, put_parameter
from tests.stage import Stage

ALL = ("database-tenant", "master-key", "operator", "redis-api", "redis-worker")


def values(account: Account) -> list[str]:
    """Everything that must not be shown: the values, and the passwords in them."""
    found = [value for name in ALL for value in (account.secret(name) or {}).values()]
    return found + [password for value in found for password in re.findall(r":([^:@/]{16,})@", value)]


def test_makes_a_value_of_each_kind(vault: Account, deploy: Deploy, stage: Stage) -> None:
    assert deploy("secrets").code == 0

    key = vault.secret("master-key")
    assert key is not None
    assert len(base64.b64decode(key["key"], validate=True)) == 32
    url = vault.secret("database-tenant")
    assert url is not None
    assert re.fullmatch(r"postgres://bulkhead_tenant:[A-Za-z0-9]{40}@db\.internal:5432/bulkhead", url["url"])
    for user in ("api", "worker"):
        (password,) = stage.passwords[f"{NAME}-{user}"]
        assert re.fullmatch("[A-Za-z0-9]{40}", password)
        assert vault.secret(f"redis-{user}") == {
            "cache_url": f"rediss://{NAME}-{user}:{password}@cache.internal:6379/0",
            "queue_url": f"rediss://{NAME}-{user}:{password}@queue.internal:6380/0",
        }
    assert len(set(values(vault))) == len(values(vault)) - 2, "only cache and queue share a password"


def test_a_second_run_changes_nothing(vault: Account, deploy: Deploy, stage: Stage) -> None:
    assert deploy("secrets").code == 0
    before = [vault.secret(name) for name in ALL]
    stage.calls.clear()

    assert deploy("secrets").code == 0

    assert [vault.secret(name) for name in ALL] == before
    assert not stage.named("PutSecretValue")
    assert not stage.named("ModifyUser")


def test_never_reads_a_value(vault: Account, deploy: Deploy, stage: Stage) -> None:
    assert deploy("secrets").code == 0
    assert deploy("secrets").code == 0
    assert not stage.named("GetSecretValue")


def test_a_crash_between_elasticache_and_the_secret_is_repaired(
    vault: Account, deploy: Deploy, stage: Stage
) -> None:
    put_parameter(vault, secrets={f"{NAME}/redis-api": _redis_recipe()})
    stage.refusals["PutSecretValue"] = "AccessDeniedException"

    crashed = deploy("secrets")

    assert crashed.code == 1
    assert "run this command again" in crashed.err
    lost = stage.passwords[f"{NAME}-api"]
    assert vault.secret("redis-api") is None

    assert deploy("secrets").code == 0
    stored = vault.secret("redis-api")
    assert stored is not None
    assert stage.passwords[f"{NAME}-api"] != lost
    assert stage.passwords[f"{NAME}-api"][0] in stored["cache_url"]


def test_shows_no_value_even_when_a_refusal_repeats_it(vault: Account, deploy: Deploy, stage: Stage) -> None:
    said = ""
    for action in ("PutSecretValue", "ModifyUser"):
        stage.refusals[action] = "AccessDeniedException"
        result = deploy("secrets", GITHUB_ACTIONS="true")
        assert result.code == 1
        assert "***" in result.err, "the refusal repeats what was sent"
        said += result.said
    said += deploy("secrets").said
    said += deploy("secrets", "--rotate", "database-tenant").said

    sent = [password for passwords in stage.passwords.values() for password in passwords]
    sent += [call["SecretString"] for call in stage.named("PutSecretValue")]
    assert len(sent) >= 7
    for value in values(vault) + sent:
        assert value not in said


def test_shows_no_key_when_a_refusal_repeats_it(vault: Account, deploy: Deploy, stage: Stage) -> None:
    put_parameter(vault, secrets={f"{NAME}/master-key": {"kind": "key", "bytes": 32}})
    stage.refusals["PutSecretValue"] = "AccessDeniedException"
    result = deploy("secrets")
    (sent,) = stage.named("PutSecretValue")
    assert result.code == 1
    assert "***" in result.err
    assert json.loads(sent["SecretString"])["key"] not in result.said


def test_waits_until_the_user_is_active(vault: Account, deploy: Deploy, stage: Stage) -> None:
    stage.busy = 3
    assert deploy("secrets").code == 0
    # Before and after each of the two changes.
    assert len(stage.named("DescribeUsers")) == 2 * (1 + 3 + 1)


def test_a_user_that_never_gets_active_is_an_error(vault: Account, deploy: Deploy, stage: Stage) -> None:
    stage.busy = 10_000
    result = deploy("secrets")
    assert result.code == 1
    assert f"{NAME}-api is still modifying after 300 s" in result.err
    assert vault.secret("redis-api") is None


def test_rotates_one_secret_and_says_what_is_next(vault: Account, deploy: Deploy) -> None:
    assert deploy("secrets").code == 0
    before = {name: vault.secret(name) for name in ALL}

    result = deploy("secrets", "--rotate", "database-tenant")

    assert result.code == 0
    assert "`migrate`" in result.out
    assert "`roll`" in result.out
    changed = [name for name in ALL if vault.secret(name) != before[name]]
    assert changed == ["database-tenant"]


def test_rotates_redis_at_both_ends(vault: Account, deploy: Deploy, stage: Stage) -> None:
    assert deploy("secrets").code == 0
    before = stage.passwords[f"{NAME}-worker"]

    assert deploy("secrets", "--rotate", f"{NAME}/redis-worker").code == 0

    stored = vault.secret("redis-worker")
    assert stored is not None
    assert stage.passwords[f"{NAME}-worker"] != before
    assert stage.passwords[f"{NAME}-worker"][0] in stored["queue_url"]


def test_a_master_key_is_not_rotated_by_the_way(vault: Account, deploy: Deploy) -> None:
    assert deploy("secrets").code == 0
    before = vault.secret("master-key")

    refused = deploy("secrets", "--rotate", "master-key")
    assert refused.code == 1
    assert "--dangerously-invalidate-keys" in refused.err
    assert vault.secret("master-key") == before

    assert deploy("secrets", "--rotate", "master-key", "--dangerously-invalidate-keys").code == 0
    assert vault.secret("master-key") != before


def test_refuses_a_secret_that_is_not_there(vault: Account, deploy: Deploy) -> None:
    unknown = deploy("secrets", "--rotate", "redis-migrate")
    assert unknown.code == 1
    assert f"{NAME}/redis-api" in unknown.err

    put_parameter(vault, secrets={f"{NAME}/other": {"kind": "key", "bytes": 32}})
    missing = deploy("secrets")
    assert missing.code == 1
    assert f"There is no secret {NAME}/other: apply Terraform first." in missing.err


def test_refuses_a_secret_that_is_being_deleted(vault: Account, deploy: Deploy) -> None:
    vault.client("secretsmanager").delete_secret(SecretId=f"{NAME}/master-key")
    result = deploy("secrets")
    assert result.code == 1
    assert "restore it first" in result.err


def test_refuses_a_user_that_is_not_there(vault: Account, deploy: Deploy) -> None:
    vault.client("elasticache").delete_user(UserId=f"{NAME}-api")
    result = deploy("secrets")
    assert result.code == 1
    assert f"There is no ElastiCache user {NAME}-api" in result.err


def _redis_recipe() -> dict[str, object]:
    return {
        "kind": "redis",
        "user": f"{NAME}-api",
        "cache_host": "cache.internal",
        "cache_port": 6379,
        "queue_host": "queue.internal",
        "queue_port": 6380,
    }


def test_refuses_a_recipe_that_it_does_not_know(vault: Account, deploy: Deploy) -> None:
    put_parameter(vault, secrets={f"{NAME}/master-key": {"kind": "poem"}})
    result = deploy("secrets")
    assert result.code == 1
    assert PARAMETER in result.err
    assert "poem" in result.err
