"""What a deployment brought, for people: Markdown on standard output.

Owns its form. Refuses to say who did it, and to interpret subjects: they are shown as they were written.
"""

import html
import re
import subprocess

from deploy.errors import DeployError
from deploy.image import parse_commit, parse_digest

_TIMEOUT = 30.0
# What would otherwise be read as Markdown. Not `#`: a number behind it should become a link.
_MARKS = re.compile(r"([\\`*_\[\]|~])")


def write(environment: str, digest: str, first: str, last: str) -> str:
    """The note on everything after the commit `first`, up to and with `last`."""
    subjects = _subjects(parse_commit(first, "--from"), parse_commit(last, "--to"))
    changes = [f"- {_escape(subject)}" for subject in subjects] or ["No commits in between."]
    lines = [
        f"## {_escape(environment)}",
        "",
        f"Image: `{parse_digest(digest)}`",
        "",
        f"Commits: `{first}` to `{last}`",
        "",
        *changes,
        "",
    ]
    return "\n".join(lines)


def before(commit: str) -> str:
    """The last release before a commit, or the first commit of all when there is none."""
    commit = parse_commit(commit, "--to")
    tags = _git(
        "tag", "--list", "release-*", "--merged", commit, "--no-contains", commit, "--sort=-creatordate"
    )
    if tags:
        return _git("rev-parse", f"{tags[0]}^{{commit}}")[0]
    return _git("rev-list", "--max-parents=0", commit)[-1]


def _subjects(first: str, last: str) -> list[str]:
    return _git("log", "--no-merges", "--format=%s", f"{first}..{last}", "--")


def _git(*arguments: str) -> list[str]:
    """What git says, by lines."""
    command = ["git", *arguments]
    name = f"git {arguments[0]}"
    try:
        result = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise DeployError("There is no git: install it.") from None
    except subprocess.TimeoutExpired:
        raise DeployError(f"{name} has not ended after {_TIMEOUT:.0f} s: try again.") from None
    if result.returncode != 0:
        reason = " ".join(result.stderr.split())
        raise DeployError(
            f"{name} failed ({reason}): run this in a clone with its whole history (fetch-depth: 0)."
        )
    return result.stdout.splitlines()


def _escape(subject: str) -> str:
    return html.escape(_MARKS.sub(r"\\\1", subject), quote=False)
