"""The command line.

Owns the arguments, and what a failure looks like: one line and exit code 1; a wrong call is 2. Refuses to do
anything itself.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy import approval, note
from deploy.aws import AWS_ERRORS, Aws, connect, explain
from deploy.clock import Clock, SystemClock
from deploy.console import Console
from deploy.deployment import Deployment, load
from deploy.doctor import Doctor
from deploy.errors import DeployError
from deploy.github import GitHub
from deploy.image import parse_image
from deploy.keys import Keys
from deploy.migrate import Migration
from deploy.operator import Operators
from deploy.publish import publish
from deploy.push import Push
from deploy.releases import Releases
from deploy.roll import Roll
from deploy.rollback import Rollback
from deploy.rollout import Rollouts
from deploy.secret import Secrets
from deploy.smoke import Smoke, parse_credentials
from deploy.stop import Stopped, stoppable
from deploy.task import Tasks

# The credentials of a workflow are good for less.
_MOST_MINUTES = 360


@dataclass(frozen=True)
class Tools:
    """What every command is given."""

    environ: Mapping[str, str]
    console: Console
    clock: Clock

    def find(self, parameter: str) -> tuple[Aws, Deployment]:
        """The environment, and the means to change it."""
        aws = connect(self.environ)
        return aws, load(aws, parameter)


Command = Callable[[argparse.Namespace, Tools], None]


def main(arguments: Sequence[str], environ: Mapping[str, str], clock: Clock | None = None) -> int:
    """Runs one command and tells the exit code."""
    parsed = _parser().parse_args(arguments)
    console = Console(github=environ.get("GITHUB_ACTIONS") == "true")
    command: Command = parsed.run
    try:
        with stoppable():
            command(parsed, Tools(environ, console, clock or SystemClock()))
    except DeployError as error:
        console.fail(str(error))
    except AWS_ERRORS as error:
        console.fail(explain(error))
    except Stopped:
        console.fail("Stopped. Run the command again to have it done.")
    else:
        return 0
    return 1


def _secrets(parsed: argparse.Namespace, tools: Tools) -> None:
    aws, deployment = tools.find(parsed.deployment)
    secrets = Secrets(aws, deployment, tools.console, tools.clock)
    if parsed.rotate is None:
        secrets.fill()
    else:
        secrets.rotate(parsed.rotate, parsed.dangerously_invalidate_keys)


def _check_approval(parsed: argparse.Namespace, tools: Tools) -> None:
    _, deployment = tools.find(parsed.deployment)
    github = GitHub(parsed.repository, tools.environ, tools.console, tools.clock)
    approval.check(deployment, parsed.environment, github, tools.console)


def _push(parsed: argparse.Namespace, tools: Tools) -> None:
    aws, deployment = tools.find(parsed.deployment)
    image = Push(aws, deployment, tools.console).run(parsed.archive, parsed.digest, parsed.commit)
    if parsed.output is not None:
        with parsed.output.open("a", encoding="utf-8") as file:
            file.write(f"repository={image.repository}\nimage={image}\n")


def _migrate(parsed: argparse.Namespace, tools: Tools) -> None:
    image = parse_image(parsed.image)
    aws, deployment = tools.find(parsed.deployment)
    tasks = Tasks(aws, deployment, tools.console, tools.clock)
    Migration(aws, deployment, tasks, tools.console).run(image, parsed.timeout * 60)


def _operator(parsed: argparse.Namespace, tools: Tools) -> None:
    aws, deployment = tools.find(parsed.deployment)
    tasks = Tasks(aws, deployment, tools.console, tools.clock)
    Operators(aws, deployment, tasks, tools.console).add(parsed.email, parsed.role, parsed.timeout * 60)


def _doctor(parsed: argparse.Namespace, tools: Tools) -> None:
    aws, deployment = tools.find(parsed.deployment)
    tasks = Tasks(aws, deployment, tools.console, tools.clock)
    Doctor(aws, deployment, tasks).examine(parsed.timeout * 60)


def _keys(parsed: argparse.Namespace, tools: Tools) -> None:
    if parsed.withdraw is not None and parsed.action != "rotate":
        raise DeployError("--withdraw goes with rotate: say `keys rotate --withdraw=KID`.")
    aws, deployment = tools.find(parsed.deployment)
    tasks = Tasks(aws, deployment, tools.console, tools.clock)
    Keys(aws, deployment, tasks).run(parsed.action, parsed.withdraw, parsed.timeout * 60)


def _roll(parsed: argparse.Namespace, tools: Tools) -> None:
    image = parse_image(parsed.image)
    aws, deployment = tools.find(parsed.deployment)
    rollouts = Rollouts(aws, deployment.cluster, parsed.timeout * 60, tools.console, tools.clock)
    Roll(aws, deployment, rollouts, tools.console).run(image, parsed.state)


def _rollback(parsed: argparse.Namespace, tools: Tools) -> None:
    aws, deployment = tools.find(parsed.deployment)
    rollouts = Rollouts(aws, deployment.cluster, parsed.timeout * 60, tools.console, tools.clock)
    known = Releases(aws, deployment, rollouts, tools.console, tools.clock)
    rollback = Rollback(aws, deployment, rollouts, known, tools.console, waits=not parsed.no_wait)
    if parsed.state is not None:
        rollback.to_state(parsed.state)
    elif parsed.to is not None:
        rollback.to_revisions(parsed.to)
    else:
        rollback.to_previous()


def _release(parsed: argparse.Namespace, tools: Tools) -> None:
    image = parse_image(parsed.image)
    aws, deployment = tools.find(parsed.deployment)
    # It only looks: there is nothing to wait for.
    rollouts = Rollouts(aws, deployment.cluster, 0, tools.console, tools.clock)
    Releases(aws, deployment, rollouts, tools.console, tools.clock).add(image)


def _smoke(parsed: argparse.Namespace, tools: Tools) -> None:
    credentials = parse_credentials(tools.environ)
    url = parsed.url or tools.find(parsed.deployment)[1].url
    Smoke(url, credentials, tools.console, tools.clock).run()


def _note(parsed: argparse.Namespace, tools: Tools) -> None:
    first = note.before(parsed.last) if parsed.first is None else parsed.first
    text = note.write(parsed.environment, parsed.digest, first, parsed.last)
    sys.stdout.write(text)
    if parsed.publish is not None:
        github = GitHub(parsed.publish, tools.environ, tools.console, tools.clock)
        publish(parsed.last, text, github, tools.console, tools.clock)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy", description="Deploys Bulkhead to one environment.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, help_text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.set_defaults(run=run)
        # A note is about what is in Git: it asks no account.
        if run is not _note:
            command.add_argument(
                "--deployment", required=True, metavar="/NAME/deployment", help="where everything is"
            )
        return command

    _add_secrets(add("secrets", _secrets, "Give a value to each secret that has none."))
    _add_check_approval(
        add("check-approval", _check_approval, "Refuse when GitHub leaves the environment open.")
    )
    _add_push(add("push", _push, "Bring the image that was built to the environment's registry."))
    migrate = add("migrate", _migrate, "Migrate the databases, as a task of its own.")
    _add_image(migrate)
    _add_timeout(migrate, 30)
    _add_timeout(add("doctor", _doctor, "Examine the databases, as a task of its own."), 10)
    _add_keys(add("keys", _keys, "Look after signing keys and master keys, as a task of its own."))
    _add_operator(add("operator", _operator, "Add an operator, as a task of its own."))
    roll = add("roll", _roll, "Put every service on an image, or none of them.")
    _add_image(roll)
    _add_timeout(roll, 15)
    roll.add_argument(
        "--state", required=True, type=Path, metavar="FILE", help="where to remember the way back"
    )
    _add_rollback(add("rollback", _rollback, "Put services back on earlier revisions."))
    _add_image(add("release", _release, "Remember that what runs was tried: rollback may come back to it."))
    smoke = add("smoke", _smoke, "Walk through the environment as a client.")
    smoke.add_argument("--url", metavar="URL", help="where the API is; the environment's own if left out")
    _add_note(
        add("note", _note, "Write what a deployment brings, as Markdown; as a release, if that is wanted.")
    )
    return parser


def _add_secrets(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rotate", metavar="NAME", help="make a new value for this one secret instead")
    command.add_argument(
        "--dangerously-invalidate-keys",
        action="store_true",
        help="allow a new master key, with which nothing starts that is not given the old one, too",
    )


def _add_keys(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "action", choices=["list", "rotate", "drop-masters"], help="what `bulkhead keys` is to do"
    )
    command.add_argument(
        "--withdraw", metavar="KID", help="with rotate: delete this key, which others know, at once"
    )
    _add_timeout(command, 10)


def _add_check_approval(command: argparse.ArgumentParser) -> None:
    command.add_argument("--environment", required=True, metavar="NAME", help="GitHub's environment")
    command.add_argument("--repository", required=True, metavar="OWNER/NAME", help="whose environment it is")


def _add_push(command: argparse.ArgumentParser) -> None:
    command.add_argument("--archive", required=True, type=Path, metavar="FILE", help="the OCI archive")
    command.add_argument("--digest", required=True, metavar="sha256:...", help="what the build says it is")
    command.add_argument("--commit", required=True, metavar="SHA", help="what it was built from")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="where `repository` and `image` are appended, a line each"
    )


def _add_image(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--image", required=True, metavar="IMAGE@sha256:...", help="the image, by its digest"
    )


def _add_operator(command: argparse.ArgumentParser) -> None:
    command.add_argument("--email", required=True, metavar="ADDRESS", help="whom the operator logs in as")
    command.add_argument("--role", choices=["admin", "support", "billing"], default="admin")
    _add_timeout(command, 10)


def _add_rollback(command: argparse.ArgumentParser) -> None:
    way = command.add_mutually_exclusive_group()
    way.add_argument("--state", type=Path, metavar="FILE", help="to what `roll` remembered")
    way.add_argument("--to", nargs="+", metavar="REVISION", help="to FAMILY:NUMBER; other services stay")
    command.add_argument(
        "--no-wait",
        action="store_true",
        help="leave the rest to ECS, when there is no time; what was left stays a release",
    )
    way.add_argument("previous", nargs="?", choices=["previous"], help="to the release before (the default)")
    _add_timeout(command, 15)


def _add_note(command: argparse.ArgumentParser) -> None:
    command.add_argument("--environment", required=True, metavar="NAME", help="where it is deployed")
    command.add_argument("--digest", required=True, metavar="sha256:...", help="what is deployed")
    command.add_argument(
        "--from", dest="first", metavar="SHA", help="what was deployed before; the last release if left out"
    )
    command.add_argument("--to", required=True, dest="last", metavar="SHA", help="what is deployed now")
    command.add_argument("--publish", metavar="OWNER/NAME", help="make it a release of this repository, too")


def _add_timeout(command: argparse.ArgumentParser, minutes: float) -> None:
    command.add_argument(
        "--timeout", type=_minutes, default=minutes, metavar="MINUTES", help=f"for each wait ({minutes:g})"
    )


def _minutes(text: str) -> float:
    with suppress(ValueError):
        if 0 < (minutes := float(text)) <= _MOST_MINUTES:
            return minutes
    raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and {_MOST_MINUTES} minutes")
