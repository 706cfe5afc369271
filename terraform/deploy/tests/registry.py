"""A registry with images in it."""

import hashlib
import json
from typing import Any

from tests.conftest import REGISTRY, Account

REPOSITORY = REGISTRY.partition("/")[2]
INDEX = "application/vnd.oci.image.index.v1+json"


def manifest(name: str) -> str:
    """An image that differs from others by its name alone."""
    platform = {"architecture": "amd64", "os": "linux"}
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}",
        "size": 1,
        "platform": platform,
    }
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})


def digest(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def make_repository(account: Account) -> None:
    account.client("ecr").create_repository(
        repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE", registryId="123456789012"
    )


def put(account: Account, content: str, tag: str) -> str:
    """Puts an image there and tells its digest."""
    account.client("ecr").put_image(
        repositoryName=REPOSITORY,
        imageManifest=content,
        imageManifestMediaType=INDEX,
        imageTag=tag,
        # Moto makes one up for a list of images.
        imageDigest=digest(content),
    )
    return digest(content)


def tags(account: Account, of: str) -> set[str]:
    answer: dict[str, Any] = account.client("ecr").describe_images(
        repositoryName=REPOSITORY, imageIds=[{"imageDigest": of}]
    )
    return {tag for image in answer["imageDetails"] for tag in image.get("imageTags", [])}
