"""Releases: images that every service has run when the smoke test passed.

Owns the list of them, in the parameter that `deployment` names, and the further tag that keeps their images
in the registry while builds come and go. Refuses to list what was not tried: a revision that failed, or that
an apply of Terraform has left behind, is nothing to go back to. Neither is what a rollback has left.
"""

import json
import re
from dataclasses import asdict, dataclass

from botocore.exceptions import ClientError

from deploy import revision
from deploy.aws import Aws, code
from deploy.clock import Clock
from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.image import Image, parse_digest
from deploy.revision import Revision
from deploy.rollout import Rollouts

# How many are remembered; the registry keeps the images of at least as many.
KEPT = 12
# An image is one manifest, or a list of them when it carries its SBOM and its provenance.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_REVISION = re.compile(r"[A-Za-z0-9_-]+:[0-9]+")


@dataclass(frozen=True)
class Release:
    """An image, the revision of each service (FAMILY:NUMBER) that ran it, and when it had passed."""

    digest: str
    services: dict[str, str]
    at: str


def before(releases: list[Release], running: set[str]) -> list[Release]:
    """What may be gone back to from services that run images with these digests, the best first.

    With one image everywhere, these are the releases before it; all of them if it never became one. With
    several, a rollout was broken off: the oldest release among them is where it came from.
    """
    places = [_place(releases, digest) for digest in running]
    known = [place for place in places if place is not None]
    if not known:
        return releases[::-1]
    last = min(known) if len(running) == 1 else min(known) + 1
    return releases[:last][::-1]


def _place(releases: list[Release], digest: str) -> int | None:
    """Where an image stands among them; each is there once."""
    return next((place for place, release in enumerate(releases) if release.digest == digest), None)


def _parse(entry: object) -> Release:
    match entry:
        case {"digest": str(digest), "services": dict(services), "at": str(at)} if services and all(
            isinstance(name, str) and _REVISION.fullmatch(name) for name in services.values()
        ):
            return Release(parse_digest(digest), services, at)
        case _:
            raise ValueError(entry)


class Releases:
    """Writes down what one environment runs."""

    def __init__(
        self, aws: Aws, deployment: Deployment, rollouts: Rollouts, console: Console, clock: Clock
    ) -> None:
        self._aws = aws
        self._deployment = deployment
        self._rollouts = rollouts
        self._console = console
        self._clock = clock

    def known(self) -> list[Release]:
        """All of them, the oldest first."""
        name = self._deployment.releases
        try:
            answer = self._aws.ssm.get_parameter(Name=name)
        except ClientError as error:
            if code(error) != "ParameterNotFound":
                raise
            raise DeployError(
                f"There is no parameter {name}: apply Terraform of the same revision as this program."
            ) from None
        try:
            content = json.loads(answer["Parameter"]["Value"])
            if not isinstance(content, list):
                raise TypeError(content)
            return [_parse(entry) for entry in content]
        except (ValueError, TypeError, DeployError):
            raise DeployError(
                f"The parameter {name} holds no list of releases. Put an earlier version back (aws ssm"
                f" get-parameter-history --name {name}), or name revisions with --to."
            ) from None

    def running(self) -> dict[str, Revision]:
        """What each service is meant to run, by its command."""
        return {
            service.command: revision.find(self._aws, service.command, self._rollouts.wanted(service))
            for service in self._deployment.services
        }

    def add(self, image: Image) -> None:
        """Adds what runs, which has to be this image everywhere."""
        self._deployment.accept(image)
        running = self.running()
        for command, runs in running.items():
            if runs.image != str(image):
                raise DeployError(
                    f"{command} runs {runs.image}, not {image}: a release is what every service runs. Roll it"
                    " out and try it first."
                )
        known = self.known()
        self._keep(image)
        at = self._clock.utc().isoformat(timespec="seconds")
        new = Release(image.digest, {command: str(runs) for command, runs in running.items()}, at)
        # A deployment that is repeated is the same release, and the newest.
        others = [release for release in known if release.digest != image.digest]
        self._write([*others, new][-KEPT:])
        self._console.say(f"{image.digest} is a release, to which `rollback` may come back.")

    def settle(self) -> None:
        """After a rollback: the releases after what runs now are none; the environment has left them.

        From the next deployment one would otherwise come back to them.
        """
        digests = {runs.digest for runs in self.running().values()}
        known = self.known()
        place = _place(known, digests.pop()) if len(digests) == 1 else None
        if place is None or place == len(known) - 1:
            return
        self._write(known[: place + 1])
        left = ", ".join(release.digest for release in known[place + 1 :])
        self._console.say(f"No releases any more: {left}. To go there again, name revisions with --to.")

    def _write(self, releases: list[Release]) -> None:
        value = json.dumps([asdict(release) for release in releases], separators=(",", ":"))
        # The tier is Terraform's; left out, AWS would take it for a wish to have a smaller one.
        self._aws.ssm.put_parameter(
            Name=self._deployment.releases, Value=value, Type="String", Tier="Advanced", Overwrite=True
        )

    def _keep(self, image: Image) -> None:
        """A further tag, of those that the registry keeps when it forgets builds."""
        name = self._deployment.repository
        found = self._aws.ecr.batch_get_image(
            repositoryName=name, imageIds=[{"imageDigest": image.digest}], acceptedMediaTypes=_MANIFESTS
        )
        if not found["images"]:
            raise DeployError(f"{self._deployment.registry} has no image {image.digest}: push it first.")
        manifest = found["images"][0]
        try:
            self._aws.ecr.put_image(
                repositoryName=name,
                imageManifest=manifest["imageManifest"],
                imageManifestMediaType=manifest.get("imageManifestMediaType", _MANIFESTS[0]),
                imageTag=image.release_tag,
                imageDigest=image.digest,
            )
        except ClientError as error:
            # It has the tag already.
            if code(error) not in ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException"):
                raise
