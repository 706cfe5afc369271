"""What a deployment brings."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Deploy
from tests.site import Page, Site, serve

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


def test_begins_at_the_last_release(repository: Repository, deploy: Deploy) -> None:
    released = repository.commit("In the last release")
    repository.git("tag", "release-2026-11-20-aaaaaaa")
    repository.git("tag", "v9")
    repository.commit("New")
    last = repository.commit("Newest")
    # A run that is repeated finds its own tag.
    repository.git("tag", "release-2026-11-21-bbbbbbb")
    result = deploy(*WHAT, "--to", last, deployment=None)
    assert result.code == 0, result.err
    assert f"Commits: `{released}` to `{last}`" in result.out
    assert "- Newest\n- New\n" in result.out


def test_begins_at_the_beginning_without_a_release(repository: Repository, deploy: Deploy) -> None:
    first = repository.commit("First")
    last = repository.commit("Second")
    result = deploy(*WHAT, "--to", last, deployment=None)
    assert result.code == 0, result.err
    assert f"Commits: `{first}` to `{last}`" in result.out


@pytest.fixture
def github() -> Iterator[Site]:
    with serve(Site()) as site:
        yield site


REFS, RELEASES = "POST /repos/acme/bulkhead/git/refs", "POST /repos/acme/bulkhead/releases"


def published(deploy: Deploy, github: Site, commit: str) -> tuple[int, str]:
    asked = (*WHAT, "--to", commit, "--publish", "acme/bulkhead")
    result = deploy(*asked, deployment=None, GITHUB_API_URL=github.url, GITHUB_TOKEN="ghs_secret")
    assert "ghs_secret" not in result.said
    return result.code, result.said


def test_becomes_a_release_of_the_repository(repository: Repository, deploy: Deploy, github: Site) -> None:
    repository.commit("First")
    last = repository.commit("Second")
    github.pages[REFS] = github.pages[RELEASES] = lambda _seen: Page(201, {})
    code, said = published(deploy, github, last)
    assert code == 0, said
    tag = f"release-2026-11-21-{last[:7]}"
    (ref,), (release,) = github.asked(REFS), github.asked(RELEASES)
    assert github.seen == [ref, release], "the tag first"
    assert json.loads(ref.body) == {"ref": f"refs/tags/{tag}", "sha": last}
    content = json.loads(release.body)
    assert content["tag_name"] == content["name"] == tag
    assert "- Second" in content["body"]


def test_a_release_that_is_there_is_enough(repository: Repository, deploy: Deploy, github: Site) -> None:
    last = repository.commit("First")
    tag = f"release-2026-11-21-{last[:7]}"
    github.pages[REFS] = github.pages[RELEASES] = lambda _seen: Page(422, {})
    assert published(deploy, github, last)[0] == 1
    github.pages[f"GET /repos/acme/bulkhead/git/ref/tags/{tag}"] = lambda _seen: Page(200, {})
    github.pages[f"GET /repos/acme/bulkhead/releases/tags/{tag}"] = lambda _seen: Page(200, {})
    assert published(deploy, github, last)[0] == 0


@pytest.mark.parametrize("status", [403, 404, 500])
def test_says_what_github_refuses(repository: Repository, deploy: Deploy, github: Site, status: int) -> None:
    last = repository.commit("First")
    github.pages[REFS] = lambda _seen: Page(status, {})
    code, said = published(deploy, github, last)
    assert code == 1
    assert f"GitHub answered {status} when asked to make git/ref/tags/release-" in said
    assert not github.asked(RELEASES)


def test_a_tag_takes_the_whole_name(repository: Repository, deploy: Deploy, github: Site) -> None:
    last = repository.commit("First")
    code, said = published(deploy, github, last[:10])
    assert code == 1
    assert "set --to to 40 digits" in said
    assert not github.seen
