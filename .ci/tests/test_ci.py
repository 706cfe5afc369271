"""The parts of `.ci/run`: workflows run each of them, and none twice."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / ".ci/run"
TIMED = ROOT / ".ci/timed"

# Parts that a workflow runs by the program that is behind them, because it wants more of it.
BEHIND = {"deploy": ".ci/check-deploy --strict", "dependencies": "cargo deny check"}


def parts() -> list[str]:
    """Every part that `.ci/run` has, in the order in which it runs all of them."""
    found = re.search(r"parts=\(([a-z ]+)\)$", RUN.read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


def steps() -> list[str]:
    """The commands of all workflows, a line each."""
    texts = (path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))
    return [line.strip() for text in texts for line in text.splitlines() if not line.strip().startswith("#")]


def test_workflows_run_each_part_once() -> None:
    ran: Counter[str] = Counter()
    for line in steps():
        _, called, words = line.partition("run: .ci/run")
        if called:
            assert words.split(), "a workflow names the parts that it runs"
            ran.update(words.split())
        ran.update(part for part, command in BEHIND.items() if line == f"- run: {command}")
    assert dict(ran) == dict.fromkeys(parts(), 1)
    # By their targets they would run unseen by the lines above.
    assert [line for line in steps() if re.search(r"\bmake (check|test)", line)] == []


def test_the_tests_come_last() -> None:
    assert parts()[-1] == "test"


def test_what_is_no_part_is_refused() -> None:
    said = subprocess.run([RUN, "check", "chekc"], capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert said.stdout == ""
    assert "usage: run [check | dependencies | deploy | bench | shop | test]" in said.stderr


@pytest.mark.parametrize("status", [0, 7])
def test_a_timed_command_keeps_its_status(status: int) -> None:
    said = subprocess.run(
        [TIMED, "sh", "-c", f"echo done; exit {status}"], capture_output=True, text=True, check=False
    )
    assert said.returncode == status
    assert re.fullmatch(r"done\ntook 0 min \d+ s: sh -c .*\n", said.stdout)
