"""The file that remembers which revisions ran before a roll.

Owns its shape. Refuses to overwrite one: it may be the only way back from a roll that went wrong.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.deployment import Deployment
from deploy.errors import DeployError


@dataclass(frozen=True)
class State:
    """The revision of each command's service."""

    parameter: str
    revisions: dict[str, str]


def write(path: Path, state: State) -> None:
    """Writes a file that was not there before."""
    content = {"deployment": state.parameter, "services": state.revisions}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
    except FileExistsError:
        raise DeployError(
            f"{path} exists: it is the way back of an earlier roll. Move it away, or set --state to another"
            " file."
        ) from None
    except OSError as error:
        raise DeployError(
            f"{path} cannot be written ({error.strerror}): set --state to a file that can be."
        ) from None


def read(path: Path, deployment: Deployment) -> dict[str, str]:
    """The revisions of this environment's services."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeployError(
            f"{path} cannot be read ({error.strerror}): set --state to the file that `roll` wrote."
        ) from None
    except ValueError:
        content = None
    state = _parse(content)
    if state is None:
        raise DeployError(f"{path} is no state of a roll: set --state to the file that `roll` wrote.")
    if state.parameter != deployment.parameter:
        raise DeployError(
            f"{path} belongs to {state.parameter}, not to {deployment.parameter}: set --deployment to that."
        )
    return state.revisions


def _parse(content: object) -> State | None:
    match content:
        case {"deployment": str(parameter), "services": dict(revisions)} if all(
            isinstance(revision, str) for revision in revisions.values()
        ):
            return State(parameter, revisions)
        case _:
            return None
