"""A simulated environment, and the deployment run in it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest

from deploy.cli import main
from tests.stage import Stage, StageServer

REGION = "eu-central-1"
NAME = "bulkhead-test"
PARAMETER = f"/{NAME}/deployment"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/bulkhead-test"
OLD = f"{REGISTRY}@sha256:{'0' * 64}"
NEW = f"{REGISTRY}@sha256:{'1' * 64}"
RELEASES = f"/{NAME}/releases"
LOG_GROUP = f"/bulkhead/{NAME}/migrate"
FAMILIES = {"worker": f"{NAME}-worker", "api": f"{NAME}-api", "migrate": f"{NAME}-migrate"}


class FastClock:
    """Time that passes only when somebody waits, and then at once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds
        self.on_sleep()

    def utc(self) -> datetime:
        return datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@dataclass
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Account:
    """Clients that talk to moto itself, to prepare and to look."""

    url: str
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(service, region_name=REGION, endpoint_url=self.url)
        return self.clients[service]

    def secret(self, name: str) -> dict[str, str] | None:
        """The value of a secret of the environment."""
        secrets = self.client("secretsmanager")
        if not secrets.describe_secret(SecretId=f"{NAME}/{name}").get("VersionIdsToStages"):
            return None
        value: dict[str, str] = json.loads(
            secrets.get_secret_value(SecretId=f"{NAME}/{name}")["SecretString"]
        )
        return value

    def revision(self, command: str, number: int | None = None) -> dict[str, Any]:
        """A task definition, the newest one if no number is given."""
        name = FAMILIES[command] + (f":{number}" if number else "")
        answer: dict[str, dict[str, Any]] = self.client("ecs").describe_task_definition(taskDefinition=name)
        return answer["taskDefinition"]

    def runs(self, stage: Stage, command: str) -> str:
        """FAMILY:NUMBER that a service is meant to run."""
        return str(stage.services[command].primary["taskDefinition"]).rsplit("/", 1)[-1]


@pytest.fixture(scope="session", autouse=True)
def _credentials() -> Iterator[None]:
    """Nothing of the machine's own AWS or GitHub reaches a test."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith(("AWS_", "GITHUB_", "BOTO_"))]:
        patch.delenv(name)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        patch.delenv(name, raising=False)
        patch.delenv(name.upper(), raising=False)
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    # Reading the descriptions of AWS takes 100 ms for each client: once for all tests is enough.
    patch.setattr(botocore.session, "create_loader", cache(botocore.loaders.create_loader))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def moto(_credentials: None) -> Iterator[str]:
    """One moto server for all tests; each resets it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/moto-api/data.json", server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    pytest.fail("moto has not started")


@pytest.fixture(scope="session")
def _account(moto: str) -> Account:
    return Account(moto)


@pytest.fixture
def account(_account: Account) -> Account:
    """An account with nothing in it."""
    reset = urllib.request.Request(f"{_account.url}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=20).close()
    return _account


@pytest.fixture
def stage(moto: str) -> Iterator[Stage]:
    """What stands between the deployment and moto."""
    stage = Stage(moto)
    with StageServer(stage) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield stage
        server.shutdown()
        thread.join()


@pytest.fixture
def clock() -> FastClock:
    return FastClock()


Deploy = Callable[..., Result]


@pytest.fixture
def deploy(
    stage: Stage, clock: FastClock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Deploy:
    """Runs one command in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stage.url)

    def run(*arguments: str, deployment: str | None = PARAMETER, **environ: str) -> Result:
        capsys.readouterr()
        where = [] if deployment is None else ["--deployment", deployment]
        command = [arguments[0], *where, *arguments[1:]]
        try:
            code = main(command, {"AWS_REGION": REGION, **environ}, clock)
        except SystemExit as usage:
            code = int(usage.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def parameter(**changes: Any) -> dict[str, Any]:
    """What Terraform writes."""
    redis = {
        "kind": "redis",
        "cache_host": "cache.internal",
        "cache_port": 6379,
        "queue_host": "queue.internal",
        "queue_port": 6380,
    }
    content = {
        "name": NAME,
        "approval_required": True,
        "url": "https://api.example.com",
        "registry": REGISTRY,
        "cluster": NAME,
        # As Terraform sorts them.
        "services": {
            command: {"service": command, "family": FAMILIES[command]} for command in ("api", "worker")
        },
        "migrate": {
            "family": FAMILIES["migrate"],
            "subnets": ["subnet-0"],
            "security_groups": ["sg-0"],
            "log_group": LOG_GROUP,
        },
        "releases": RELEASES,
        "secrets": {
            f"{NAME}/database-tenant": {
                "kind": "postgres",
                "user": "bulkhead_tenant",
                "host": "db.internal",
                "port": 5432,
                "database": "bulkhead",
            },
            f"{NAME}/master-key": {"kind": "key", "bytes": 32},
            f"{NAME}/operator": {"kind": "password"},
            f"{NAME}/redis-api": {**redis, "user": f"{NAME}-api"},
            f"{NAME}/redis-worker": {**redis, "user": f"{NAME}-worker"},
        },
    }
    return {**content, **changes}


def put_parameter(account: Account, **changes: Any) -> None:
    value = json.dumps(parameter(**changes))
    account.client("ssm").put_parameter(Name=PARAMETER, Value=value, Type="String", Overwrite=True)


def register(account: Account, command: str, image: str, **changes: Any) -> str:
    """A revision as Terraform registers it, with a second container beside the command."""
    log = {"awslogs-group": LOG_GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": command}
    definition = {
        "family": FAMILIES[command],
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512",
        "memory": "1024",
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "tags": [{"key": "Name", "value": FAMILIES[command]}],
        "containerDefinitions": [
            {"name": "collector", "image": "collector:1", "essential": False, "memory": 64},
            {
                "name": command,
                "image": image,
                "command": [command],
                "essential": True,
                # Moto wants it of every container, even on Fargate.
                "memory": 448,
                "readonlyRootFilesystem": True,
                "environment": [{"name": "BULKHEAD_ENVIRONMENT", "value": "test"}],
                "logConfiguration": {"logDriver": "awslogs", "options": log},
            },
        ],
        **changes,
    }
    answer = account.client("ecs").register_task_definition(**definition)
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def put_releases(account: Account, value: str) -> None:
    account.client("ssm").put_parameter(
        Name=RELEASES, Value=value, Type="String", Tier="Advanced", Overwrite=True
    )


@pytest.fixture
def environment(account: Account) -> Account:
    """What `terraform apply` leaves: services that run the old image, and no release."""
    put_parameter(account)
    put_releases(account, "[]")
    account.client("ecs").create_cluster(clusterName=NAME)
    for command in ("worker", "api"):
        revision = register(account, command, OLD)
        account.client("ecs").create_service(
            cluster=NAME, serviceName=command, taskDefinition=revision, desiredCount=2, launchType="FARGATE"
        )
    return account


@pytest.fixture
def vault(account: Account) -> Account:
    """What `terraform apply` leaves: secrets without a value, and users of the cache that cannot log in."""
    put_parameter(account)
    for name in parameter()["secrets"]:
        account.client("secretsmanager").create_secret(Name=name)
    for user in ("api", "worker"):
        account.client("elasticache").create_user(
            UserId=f"{NAME}-{user}",
            UserName=f"{NAME}-{user}",
            Engine="redis",
            AccessString="on ~* +@all",
            NoPasswordRequired=True,
        )
    return account


@pytest.fixture
def family(environment: Account) -> Account:
    """The environment, with the task and a network to run it in."""
    ec2 = environment.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    # Without names for its hosts moto cannot place a task.
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="migrate", Description="-", VpcId=vpc)["GroupId"]
    where = {"subnets": [subnet], "security_groups": [group], "log_group": LOG_GROUP}
    put_parameter(environment, migrate={"family": "bulkhead-test-migrate", **where})
    register(environment, "migrate", OLD)
    environment.client("logs").create_log_group(logGroupName=LOG_GROUP)
    return environment
