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


def _subjects(first: str, last: str) -> list[str]:
    command = ["git", "log", "--no-merges", "--format=%s", f"{first}..{last}", "--"]
    try:
        result = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise DeployError("There is no git: install it.") from None
    except subprocess.TimeoutExpired:
        raise DeployError(f"git log has not ended after {_TIMEOUT:.0f} s: try again.") from None
    if result.returncode != 0:
        reason = " ".join(result.stderr.split())
        raise DeployError(
            f"git log failed ({reason}): run this in a clone with its whole history (fetch-depth: 0)."
        )
    return result.stdout.splitlines()


def _escape(subject: str) -> str:
    return html.escape(_MARKS.sub(r"\\\1", subject), quote=False)
