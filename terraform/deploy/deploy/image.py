"""Which image is deployed.

Owns its name. Refuses every form but REPOSITORY@sha256:DIGEST: a tag may mean another image tomorrow.
"""

import re
from dataclasses import dataclass

from deploy.errors import DeployError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATTERN = re.compile(rf"(?P<repository>[a-z0-9][a-z0-9._/:-]*)@(?P<digest>{_DIGEST.pattern})")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_EXAMPLE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/bulkhead@sha256: and 64 hexadecimal digits"


@dataclass(frozen=True)
class Image:
    """An image that will always be the same one."""

    repository: str
    digest: str

    def build_tag(self, commit: str) -> str:
        """The tag that an image is pushed with. Builds of one commit differ, and a tag cannot be moved."""
        return f"sha-{commit}-{self.short_digest}"

    @property
    def release_tag(self) -> str:
        """The tag that an image gets when it becomes a release. Tags cannot be moved, so each has its own."""
        return f"release-{self.short_digest}"

    @property
    def short_digest(self) -> str:
        """Enough of the digest to tell images apart."""
        return self.digest.removeprefix("sha256:")[:12]

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


def parse_image(text: str) -> Image:
    """Reads REPOSITORY@sha256:DIGEST."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise DeployError(f"{text!r} names no image by its digest: set --image to {_EXAMPLE}.")
    return Image(match["repository"], match["digest"])


def parse_commit(text: str, where: str) -> str:
    """Reads a commit's name, shortened or not. `where` says what to set when it is none."""
    if _COMMIT.fullmatch(text) is None:
        raise DeployError(f"{text!r} is no commit: set {where} to 7 to 40 hexadecimal digits.")
    return text


def parse_digest(text: str) -> str:
    """Reads sha256:DIGEST."""
    if _DIGEST.fullmatch(text) is None:
        raise DeployError(f"{text!r} is no digest: set --digest to sha256: and 64 hexadecimal digits.")
    return text
