"""The command line as a process, and what it says when it is called wrongly."""

import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from deploy.console import Console
from tests.conftest import NEW, PARAMETER, REGION, Account, Deploy, FastClock
from tests.stage import Stage

PROJECT = Path(__file__).parent.parent


def process(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "AWS_ENDPOINT_URL": stage.url, "AWS_REGION": REGION}
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        cwd=PROJECT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_runs_as_a_process(vault: Account, stage: Stage) -> None:
    stage.busy = 0
    result = process(stage, "secrets", "--deployment", PARAMETER)
    assert result.returncode == 0, result.stderr
    value = vault.secret("master-key")
    assert value is not None
    assert value["key"] not in result.stdout + result.stderr

    failed = process(stage, "secrets", "--deployment", "/bulkhead-nowhere/deployment")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("secrets", "--nonsense"),
        ("nonsense",),
        ("migrate",),
        ("migrate", "--image", NEW, "--timeout", "0"),
        ("migrate", "--image", NEW, "--timeout", "nan"),
        ("migrate", "--image", NEW, "--timeout", "soon"),
        ("roll", "--image", NEW),
        ("rollback", "--state", "f", "--to", "a:1"),
        ("rollback", "latest"),
        ("note", "--from", "0123456"),
        ("note", "--to", "0123456", "--environment", "production"),
        ("secrets", "--rotate"),
    ],
)
def test_a_wrong_call_is_2(deploy: Deploy, stage: Stage, arguments: tuple[str, ...]) -> None:
    assert deploy(*arguments).code == 2
    assert not stage.calls


def test_says_what_to_install() -> None:
    """Without the installed packages there is no boto3."""
    command = [sys.executable, "-S", "-m", "deploy", "note"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "is missing: run python3 -m pip install --requirement requirements.txt" in result.stderr
    assert "Traceback" not in result.stderr


def test_errors_stay_on_one_line_for_github() -> None:
    out, err = StringIO(), StringIO()
    console = Console(github=True, out=out, err=err)
    console.fail("50 % of\nthem ::warning::")
    assert err.getvalue() == "::error::50 %25 of them ::warning::\n"


def test_other_words_cannot_command_github() -> None:
    out = StringIO()
    Console(github=True, out=out).quote("::add-path::/x\n  ::stop\r\n##[group]\n\x85::error::")
    lines = out.getvalue().splitlines()
    assert len(lines) >= 4
    assert all(line.startswith("  | ") for line in lines)
    assert "##[" not in out.getvalue()


def test_hides_nothing_empty() -> None:
    out = StringIO()
    console = Console(github=False, out=out)
    console.hide("", "secret")
    console.say("a secret word")
    assert out.getvalue() == "a *** word\n"


def test_a_signal_while_nothing_waits_is_one_line(
    vault: Account, deploy: Deploy, stage: Stage, clock: FastClock
) -> None:
    stage.busy = 100
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGTERM)
    result = deploy("secrets")
    assert result.code == 1
    assert result.err == "error: Stopped. Run the command again to have it done.\n"
