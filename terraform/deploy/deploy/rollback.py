"""Putting services back on earlier revisions.

Owns which revisions those are. Refuses to guess: what was never tried as a whole is no release, and when one
service cannot go back to it, none is changed.
Databases stay as they are, for migrations only add what older code does not mind.
"""

from pathlib import Path

from deploy import revision, state
from deploy.aws import AWS_ERRORS, Aws, explain
from deploy.console import Console
from deploy.deployment import Deployment, Service
from deploy.errors import DeployError
from deploy.image import Image
from deploy.releases import Release, Releases, before
from deploy.revision import Revision, short
from deploy.rollout import Rollouts
from deploy.stop import Stopped


class Rollback:
    """One way back."""

    def __init__(
        self,
        aws: Aws,
        deployment: Deployment,
        rollouts: Rollouts,
        known: Releases,
        console: Console,
        waits: bool = True,
    ) -> None:
        self._aws = aws
        self._deployment = deployment
        self._rollouts = rollouts
        self._releases = known
        self._console = console
        self._waits = waits

    def to_state(self, file: Path) -> None:
        """To the revisions that `roll` has written down."""
        self._to(list(state.read(file, self._deployment).values()))

    def to_revisions(self, names: list[str]) -> None:
        """To these revisions. Services whose family is not among them stay."""
        self._to(names)

    def to_previous(self) -> None:
        """To the newest release before the one that runs."""
        running = self._releases.running()
        for release in before(self._releases.known(), {runs.digest for runs in running.values()}):
            found = self._revisions(release)
            if found is not None:
                for command, runs in running.items():
                    self._console.say(f"{command}: from {runs} to {found[command]}")
                self._console.say(f"This is the release {release.digest} of {release.at}.")
                self._change({command: back.arn for command, back in found.items()})
                return
        told = ", ".join(f"{command} {runs}" for command, runs in running.items())
        raise DeployError(
            f"There is no release to go back to before what runs ({told}). Nothing was changed; name"
            " revisions with --to, if you know one that works."
        )

    def _revisions(self, release: Release) -> dict[str, Revision] | None:
        """What the release ran; nothing if part of it was taken out of use, or is not the release's image."""
        image = str(Image(self._deployment.registry, release.digest))
        found: dict[str, Revision] = {}
        for service in self._deployment.services:
            name = release.services.get(service.command, "")
            if name.rpartition(":")[0] != service.family:
                return None
            try:
                candidate = revision.find(self._aws, service.command, name)
            except DeployError:
                # A person has deleted it.
                return None
            if not candidate.is_active or candidate.image != image:
                return None
            found[service.command] = candidate
        return found

    def _to(self, names: list[str]) -> None:
        """Finds out whose revisions these are, and that all of them exist, before anything is changed."""
        revisions: dict[str, str] = {}
        for name in names:
            service = self._service_of(name)
            if service.command in revisions:
                raise DeployError(
                    f"{service.command} is to go back to two revisions: name one of {service.family}."
                )
            revisions[service.command] = revision.find(self._aws, service.command, name).arn
        if not revisions:
            raise DeployError(
                "There is no revision to go back to: name one for each service that is to change."
            )
        self._change(revisions)

    def _service_of(self, name: str) -> Service:
        family, separator, number = short(name).rpartition(":")
        if not separator or not number.isdecimal():
            raise DeployError(f"{name!r} is no revision: write FAMILY:NUMBER, or its ARN.")
        for service in self._deployment.services:
            if service.family == family:
                return service
        known = ", ".join(service.family for service in self._deployment.services)
        raise DeployError(f"No service of {self._deployment.name} runs {family}: name revisions of {known}.")

    def _change(self, revisions: dict[str, str]) -> None:
        """The API first: what it enqueues, older workers may not know."""
        services = [service for service in self._deployment.services[::-1] if service.command in revisions]
        try:
            outcome = self._rollouts.put_each(services, revisions, self._waits)
        except Stopped:
            looks = "; ".join(self._rollouts.how_to_look(service) for service in services)
            raise DeployError(f"Stopped waiting; ECS goes on with what was started. {looks}") from None
        if outcome.failures:
            done = ", ".join(outcome.done) or "nothing"
            raise DeployError(f"Put back: {done}. Not put back: {' '.join(outcome.failures)}")
        self._console.say(f"{'Put' if self._waits else 'Going'} back: {', '.join(outcome.done)}.")
        self._console.say(
            "Databases stay as they are: migrations expand first, and older code runs on the newer schema."
        )
        if self._waits:
            self._settle()

    def _settle(self) -> None:
        """Services run what they should: a list that cannot be written is no reason to say otherwise."""
        try:
            self._releases.settle()
        except DeployError as failure:
            self._console.warn(f"The list of releases stays as it is. {failure}")
        except AWS_ERRORS as error:
            self._console.warn(f"The list of releases stays as it is. {explain(error)}")
