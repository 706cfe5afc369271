"""What a deployment brings."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Deploy

DIGEST = f"sha256:{'1' * 64}"
WHAT = ("note", "--environment", "production", "--digest", DIGEST)


class Repository:
    """A repository with commits in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        who = [
            "-c",
            "user.name=Ada Lovelace",
            "-c",
            "user.email=ada@example.com",
            "-c",
            "commit.gpgsign=false",
        ]
        return subprocess.run(
            ["git", *who, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, subject: str) -> str:
        self.git("commit", "--quiet", "--allow-empty", "-m", subject, "-m", "A body that is left out.")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path)


def test_lists_the_subjects_in_between(repository: Repository, deploy: Deploy) -> None:
    first = repository.commit("Not in the note")
    repository.commit("Cache keys by tenant (#12)")
    last = repository.commit("Read <id> from the `path`")
    repository.commit("Later")

    result = deploy(*WHAT, "--from", first, "--to", last[:10], deployment=None)

    assert result.code == 0, result.err
    assert result.out == (
        "## production\n\n"
        f"Image: `{DIGEST}`\n\n"
        f"Commits: `{first}` to `{last[:10]}`\n\n"
        "- Read &lt;id&gt; from the \\`path\\`\n"
        "- Cache keys by tenant (#12)\n"
    )


def test_says_that_nothing_is_in_between(repository: Repository, deploy: Deploy) -> None:
    only = repository.commit("Only")
    result = deploy(*WHAT, "--from", only, "--to", only, deployment=None)
    assert result.code == 0
    assert "No commits in between." in result.out


def test_refuses_what_git_does_not_know(repository: Repository, deploy: Deploy) -> None:
    only = repository.commit("Only")
    result = deploy(*WHAT, "--from", "0123456789", "--to", only, deployment=None)
    assert result.code == 1
    assert "fetch-depth: 0" in result.err
    assert result.out == ""


@pytest.mark.parametrize("commit", ["", "HEAD", "--output=x", "012345", "main"])
def test_refuses_what_is_no_commit(repository: Repository, deploy: Deploy, commit: str) -> None:
    only = repository.commit("Only")
    result = deploy(*WHAT, f"--from={commit}", "--to", only, deployment=None)
    assert result.code == 1
    assert "set --from to" in result.err


@pytest.mark.parametrize("digest", ["", "latest", "sha256:12", "1" * 64])
def test_refuses_what_is_no_digest(repository: Repository, deploy: Deploy, digest: str) -> None:
    only = repository.commit("Only")
    what = ("note", "--environment", "production", f"--digest={digest}", "--from", only, "--to", only)
    result = deploy(*what, deployment=None)
    assert result.code == 1
    assert "set --digest to" in result.err
