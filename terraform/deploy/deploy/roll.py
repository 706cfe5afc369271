"""Rolling an image out to every service.

Owns the order, and that an environment is never left between two versions: when one service fails, all that
were changed go back. Refuses to start before the way back is written down.
"""

from pathlib import Path

from deploy import revision, state
from deploy.aws import Aws
from deploy.console import Console
from deploy.deployment import Deployment, Service
from deploy.errors import DeployError
from deploy.image import Image
from deploy.revision import Revision, short
from deploy.rollout import Outcome, Rollouts
from deploy.state import State
from deploy.stop import Stopped


class Roll:
    """One roll."""

    def __init__(self, aws: Aws, deployment: Deployment, rollouts: Rollouts, console: Console) -> None:
        self._aws = aws
        self._deployment = deployment
        self._rollouts = rollouts
        self._console = console

    def run(self, image: Image, state_file: Path) -> None:
        """Puts every service on the image, or none of them."""
        self._deployment.accept(image)
        before = {service.command: self._rollouts.current(service) for service in self._deployment.services}
        for command, runs in before.items():
            self._console.say(f"{command} runs {short(runs)}")
        # All of them before the first change: what fails here has changed nothing.
        after = {service.command: self._register(service, image) for service in self._deployment.services}
        state.write(state_file, State(self._deployment.parameter, before))
        try:
            self._change(before, after)
        except Stopped:
            looks = "; ".join(self._rollouts.how_to_look(service) for service in self._deployment.services)
            raise DeployError(
                f"Stopped waiting; ECS goes on with what was started. {looks}. To go back: rollback --state"
                f" {state_file}"
            ) from None

    def _register(self, service: Service, image: Image) -> Revision:
        """Even if the newest one has this image: a new one replaces the tasks, which read new secrets."""
        registered = revision.register(self._aws, service.family, service.command, image)
        self._console.say(f"registered {registered}")
        return registered

    def _change(self, before: dict[str, str], after: dict[str, Revision]) -> None:
        changed: list[Service] = []
        for service in self._deployment.services:
            # From here on: a change whose answer was lost may have been made.
            changed.append(service)
            try:
                self._rollouts.put(service, after[service.command].arn)
            except DeployError as failure:
                self._console.say(f"{failure} Going back.")
                back = self._rollouts.put_each(changed[::-1], before)
                raise DeployError(f"{failure} {_told(back)}") from None


def _told(back: Outcome) -> str:
    """What a person has to know after a roll that failed."""
    done = f"Put back: {', '.join(back.done) or 'nothing'}."
    if not back.failures:
        return f"{done} Everything runs what it ran before."
    return (
        f"{done} Not put back: {' '.join(back.failures)} Run `rollback` with the state file, and do not roll"
        " before it has succeeded."
    )
