"""Which checks a change needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from plan import CHECKS, changed_since, needed

PLAN = Path(__file__).parents[1] / "plan.py"


def wanted(*paths: str) -> set[str]:
    return {name for name, is_needed in needed(list(paths)).items() if is_needed}


@pytest.mark.parametrize(
    ("path", "checks"),
    [
        ("crates/db/src/engine/pool.rs", {"rust", "image"}),
        ("crates/db/Cargo.toml", {"rust", "image", "dependencies"}),
        ("crates/telemetry/src/metrics/jobs.rs", {"rust", "image"}),
        ("openapi/v1.json", {"rust", "openapi"}),
        ("Cargo.lock", {"rust", "image", "dependencies"}),
        (".deny.toml", {"dependencies"}),
        (".osv.toml", {"dependencies"}),
        ("terraform/modules/edge/main.tf", {"deploy"}),
        ("terraform/modules/cache/main.tf", {"deploy", "rust"}),
        ("terraform/observability/alerts.yml", {"deploy", "rust"}),
        ("terraform/rds-global-bundle.pem", {"deploy", "image"}),
        ("terraform/deploy/deploy/roll.py", {"deploy"}),
        (".ci/plan.py", {"deploy", "rust"}),
        (".github/dependabot.yml", {"deploy"}),
        ("Dockerfile", {"deploy", "image", "rust"}),
        ("README.md", {"rust"}),
        ("crates-of-apples/README.md", set()),
    ],
)
def test_a_path_needs_its_checks(path: str, checks: set[str]) -> None:
    assert wanted(path) == checks


def test_a_workflow_needs_everything() -> None:
    assert wanted(".github/workflows/ci.yml") == set(CHECKS)


def test_nothing_to_compare_with_needs_everything() -> None:
    assert changed_since("") is None
    assert changed_since("0" * 40) is None
    assert changed_since("--output=/etc/passwd") is None
    assert changed_since("1" * 40) is None
    assert all(needed(None).values())


def test_it_prints_outputs() -> None:
    said = subprocess.run([sys.executable, str(PLAN), ""], capture_output=True, text=True, check=True)
    assert sorted(said.stdout.split()) == sorted(f"{name}=true" for name in CHECKS)
