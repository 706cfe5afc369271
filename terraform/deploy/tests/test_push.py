"""An image's way to the registry. In skopeo's place stands a program that puts an image where it is told."""

import json
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.conftest import REGION, REGISTRY, Account, Deploy
from tests.registry import INDEX, REPOSITORY, digest, make_repository, manifest, put, tags

BUILT = digest(manifest("built"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SKOPEO = f"""#!{sys.executable}
import sys, hashlib, json, pathlib, tarfile, boto3
pathlib.Path(__file__).with_name("called").write_text("\\n".join(sys.argv[1:]))
if FAILS:
    sys.exit("time=... level=debug\\nlevel=fatal msg=unauthorized")
source, destination = sys.argv[-2:]
tar = tarfile.open(source.removeprefix("oci-archive:"))
(image,) = json.load(tar.extractfile("index.json"))["manifests"]
content = tar.extractfile("blobs/sha256/" + image["digest"].removeprefix("sha256:")).read().decode()
boto3.client("ecr", region_name="{REGION}").put_image(
    repositoryName="{REPOSITORY}", imageManifest=content, imageManifestMediaType="{INDEX}",
    imageTag=destination.rpartition(":")[2],
    imageDigest="sha256:" + hashlib.sha256(content.encode()).hexdigest(),
)
"""


@pytest.fixture
def skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is; what it was called with lies beside it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "skopeo"
    program.write_text(SKOPEO.replace("FAILS", "False"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))
    return program


def write_archive(file: Path, index: str, **blobs: str) -> None:
    """An OCI archive, or what is none."""
    with tarfile.open(file, "w") as tar:
        for name, content in {"index.json": index, **blobs}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content.encode())
            tar.addfile(entry, BytesIO(content.encode()))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "image.tar"
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "digest": BUILT}]})
    write_archive(file, index, **{f"blobs/sha256/{BUILT.removeprefix('sha256:')}": manifest("built")})
    return file


@pytest.fixture
def registry(environment: Account) -> Account:
    make_repository(environment)
    return environment


def test_pushes_all_of_it_and_says_where(
    registry: Account, deploy: Deploy, skopeo: Path, archive: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.write_text("before=1\n")
    asked = ("--archive", str(archive), "--digest", BUILT, "--commit", COMMIT, "--output", str(output))

    result = deploy("push", *asked)

    assert result.code == 0, result.err
    tag = f"sha-{COMMIT}-{BUILT[7:19]}"
    assert tags(registry, BUILT) == {tag}
    called = skopeo.with_name("called").read_text().splitlines()
    assert called[0] == "copy"
    assert {"--all", "--preserve-digests"} <= set(called)
    assert called[-1] == f"docker://{REGISTRY}:{tag}"
    assert output.read_text() == f"before=1\nrepository={REGISTRY}\nimage={REGISTRY}@{BUILT}\n"


def test_what_is_there_is_not_pushed_again(
    registry: Account, deploy: Deploy, skopeo: Path, tmp_path: Path
) -> None:
    put(registry, manifest("built"), "sha-earlier")
    nowhere = str(tmp_path / "nowhere.tar")
    result = deploy("push", "--archive", nowhere, "--digest", BUILT, "--commit", COMMIT)
    assert result.code == 0, result.err
    assert not skopeo.with_name("called").exists()


def test_refuses_an_archive_of_another_image(
    registry: Account, deploy: Deploy, skopeo: Path, archive: Path
) -> None:
    other = digest(manifest("another"))
    result = deploy("push", "--archive", str(archive), "--digest", other, "--commit", COMMIT)
    assert result.code == 1
    assert f"holds {BUILT}, not {other}" in result.err
    assert not skopeo.with_name("called").exists(), "its tag would be taken for ever"


@pytest.mark.parametrize("index", [None, "", "[]", "{}", '{"manifests": []}', '{"manifests": [{}]}'])
def test_refuses_an_archive_that_is_none(
    registry: Account, deploy: Deploy, skopeo: Path, archive: Path, index: str | None
) -> None:
    if index is None:
        archive.write_text("no tar")
    else:
        write_archive(archive, index)
    result = deploy("push", "--archive", str(archive), "--digest", BUILT, "--commit", COMMIT)
    assert result.code == 1
    assert "is no OCI archive of one image" in result.err
    assert not skopeo.with_name("called").exists()


def test_says_why_it_failed(registry: Account, deploy: Deploy, skopeo: Path, archive: Path) -> None:
    skopeo.write_text(SKOPEO.replace("FAILS", "True"))
    result = deploy("push", "--archive", str(archive), "--digest", BUILT, "--commit", COMMIT)
    assert result.code == 1
    assert "failed: level=fatal msg=unauthorized. See that the registry was logged in to" in result.err


def test_says_what_to_install(
    registry: Account, deploy: Deploy, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = deploy("push", "--archive", str(archive), "--digest", BUILT, "--commit", COMMIT)
    assert result.code == 1
    assert "skopeo is missing" in result.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"--digest": "latest"}, "is no digest"),
        ({"--commit": "main"}, "is no commit: set --commit"),
        ({"--archive": "never.tar"}, "There is no file never.tar"),
    ],
)
def test_refuses_what_is_none(
    registry: Account, deploy: Deploy, skopeo: Path, archive: Path, given: dict[str, str], said: str
) -> None:
    asked = {"--archive": str(archive), "--digest": BUILT, "--commit": COMMIT, **given}
    result = deploy("push", *[word for pair in asked.items() for word in pair])
    assert result.code == 1
    assert said in result.err
    assert not skopeo.with_name("called").exists()
