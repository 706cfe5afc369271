"""A release of the repository: a tag on the commit that was deployed, with the note of what it brought.

Owns the tag's name. Refuses to move one, and minds nothing that is there already: a run may be repeated.
"""

from deploy.clock import Clock
from deploy.console import Console
from deploy.errors import DeployError
from deploy.github import GitHub

# GitHub's answer to what exists, or cannot be.
_EXISTS = 422


def publish(commit: str, note: str, github: GitHub, console: Console, clock: Clock) -> None:
    """Makes the release of a commit, which has its whole name."""
    if len(commit) != 40:
        raise DeployError(f"{commit} is shortened, and a tag takes the whole name: set --to to 40 digits.")
    tag = f"release-{clock.utc():%Y-%m-%d}-{commit[:7]}"
    # The tag first: a release that makes its own is refused where workflows have changed.
    _make(github, "git/refs", {"ref": f"refs/tags/{tag}", "sha": commit}, f"git/ref/tags/{tag}")
    _make(github, "releases", {"tag_name": tag, "name": tag, "body": note}, f"releases/tags/{tag}")
    console.say(f"released {tag}")


def _make(github: GitHub, where: str, what: dict[str, str], name: str) -> None:
    answer = github.send("POST", where, what)
    if answer.status == 201 or (answer.status == _EXISTS and github.send("GET", name).status == 200):
        return
    raise DeployError(
        f"GitHub answered {answer.status} when asked to make {name} of {github.repository}: see that the job"
        " has contents: write, then run it again."
    )
