"""Bringing the image that was built to the environment's registry, byte for byte.

Owns its tag, and that the registry has the right digest afterwards. Refuses to build, and to log in to the
registry: the workflow has done both.
"""

import json
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from botocore.exceptions import ClientError

from deploy.aws import Aws, code
from deploy.console import Console
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.image import Image, parse_commit, parse_digest

_TIMEOUT = 15 * 60.0


class Push:
    """One image for one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, console: Console) -> None:
        self._aws = aws
        self._deployment = deployment
        self._console = console

    def run(self, archive: Path, digest: str, commit: str) -> Image:
        """Pushes the OCI archive unless its image is there, and tells the image's name."""
        image = Image(self._deployment.registry, parse_digest(digest))
        tag = image.build_tag(parse_commit(commit, "--commit"))
        if self._is_there(image):
            self._console.say(f"{image} is there already.")
            return image
        # Before the push: a tag that holds another image would be in the way for ever.
        held = _digest_in(archive)
        if held != digest:
            raise DeployError(
                f"{archive} holds {held}, not {digest}. Nothing was pushed: set --digest to what it holds."
            )
        self._console.say(f"pushing {tag}")
        self._copy(archive, f"{image.repository}:{tag}")
        if not self._is_there(image):
            raise DeployError(
                f"{image} was pushed as {tag}, and the registry does not have it: run it again."
            )
        self._console.say(f"pushed {image}")
        return image

    def _is_there(self, image: Image) -> bool:
        try:
            self._aws.ecr.describe_images(
                repositoryName=self._deployment.repository, imageIds=[{"imageDigest": image.digest}]
            )
        except ClientError as error:
            if code(error) != "ImageNotFoundException":
                raise
            return False
        return True

    def _copy(self, archive: Path, destination: str) -> None:
        # With all that belongs to it, its SBOM and its provenance; another digest would be another image.
        command = [
            "skopeo",
            "copy",
            "--all",
            "--preserve-digests",
            "--retry-times=3",
            f"oci-archive:{archive}",
            f"docker://{destination}",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        except FileNotFoundError:
            raise DeployError("skopeo is missing: install it (apt-get install skopeo).") from None
        except subprocess.TimeoutExpired:
            raise DeployError(f"The push to {destination} took more than {_TIMEOUT / 60:g} min.") from None
        if done.returncode != 0:
            words = done.stderr.strip().splitlines() or ["skopeo gives no reason"]
            raise DeployError(
                f"The push to {destination} failed: {words[-1]}. See that the registry was logged in to, then"
                " run it again."
            )


def _digest_in(archive: Path) -> str:
    """The digest of the one image in an OCI archive."""
    try:
        with tarfile.open(archive) as tar, tar.extractfile("index.json") or BytesIO() as index:
            (image,) = json.load(index)["manifests"]
            return str(image["digest"])
    except FileNotFoundError:
        raise DeployError(
            f"There is no file {archive}: set --archive to the image that the build wrote."
        ) from None
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError):
        raise DeployError(f"{archive} is no OCI archive of one image: set --archive to one.") from None
