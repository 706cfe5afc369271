"""Whatever runs with a credential is pinned by hash, and credentials belong to environments."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "terraform/deploy"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
LISTS = sorted(
    path.with_suffix("") for folder in (DEPLOY, ROOT / ".ci") for path in folder.glob("requirements*.in")
)


def pinned(packages: Path) -> dict[str, str]:
    """The packages that are installed, and what of each."""
    found: dict[str, str] = {}
    text = packages.with_suffix(".txt").read_text()
    # A package is one line that goes on over its hashes.
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9.-]+)==(\S+)( ; .+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line)
        assert match is not None, f"{packages}.txt: not pinned by hash: {line[:80]}"
        found[match[1]] = match[2]
    return found


def wanted(packages: Path) -> dict[str, str]:
    """The packages that are asked for; with those of lists that are included."""
    found: dict[str, str] = {}
    for line in packages.with_suffix(".in").read_text().splitlines():
        if line.startswith("-r "):
            found |= wanted(packages.with_name(line.removeprefix("-r ")).with_suffix(""))
        elif line and not line.startswith("#"):
            package, version = line.split("==")
            found[package.partition("[")[0]] = version
    return found


def test_there_is_a_list_for_each_purpose() -> None:
    assert [str(packages.relative_to(ROOT)) for packages in LISTS] == [
        ".ci/requirements",
        "terraform/deploy/requirements",
        "terraform/deploy/requirements-test",
    ]


@pytest.mark.parametrize("packages", LISTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_is_installed_by_its_hash(packages: Path) -> None:
    installed = pinned(packages)
    for package, version in wanted(packages).items():
        assert installed.get(package) == version, (
            f"compile {packages}.in again: the head of the .txt says how"
        )


def test_what_deploys_is_tested_as_it_is() -> None:
    tested = pinned(DEPLOY / "requirements-test")
    deployed = pinned(DEPLOY / "requirements")
    assert {package: tested.get(package) for package in deployed} == deployed


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_install_by_hash_alone(workflow: Path) -> None:
    for line in workflow.read_text().splitlines():
        if "pip install" in line:
            # A package that is built would fetch what it is built with, and that is pinned by nobody.
            assert "--require-hashes --only-binary :all:" in line, line


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_no_secrets_of_the_repository(workflow: Path) -> None:
    text = workflow.read_text()
    assert set(re.findall(r"secrets\.(\w+)", text)) <= {"SMOKE_CREDENTIALS"}
    assert "secrets: inherit" not in text
    # Where it is used there has to be an environment, or it would be the repository's.
    used = "SMOKE_CREDENTIALS: ${{ secrets.SMOKE_CREDENTIALS }}" in text
    passed_on = "uses: ./.github/workflows/deploy-environment.yml" in text
    assert not used or passed_on or "environment: ${{ inputs.environment }}" in text


def test_base_images_are_named_by_digest() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 2
    for image in images:
        assert re.fullmatch(r"[a-z0-9./:-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}", image), image


@pytest.mark.parametrize(
    ("environment", "branches"), [("staging", ["develop", "main"]), ("production", ["main"])]
)
def test_aws_lets_those_branches_deploy_that_do(environment: str, branches: list[str]) -> None:
    settings = (ROOT / f"terraform/environments/{environment}/main.tf").read_text()
    listed = ", ".join(f'"{branch}"' for branch in branches)
    assert f"deploy_branches   = [{listed}]" in settings
    deploy = (ROOT / ".github/workflows/deploy.yml").read_text()
    assert "branches: [develop, main]" in deploy
    assert "needs.staging.result == 'success' && github.ref == 'refs/heads/main'" in deploy
