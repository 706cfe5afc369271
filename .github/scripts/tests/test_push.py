"""An image's way to the registry. In skopeo's place stands a program that puts an image where it is told."""

import sys
from pathlib import Path

import pytest

from tests.conftest import REGION, REGISTRY, Account, Deploy
from tests.registry import INDEX, REPOSITORY, digest, make_repository, manifest, put, tags

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SKOPEO = f"""#!{sys.executable}
import sys, hashlib, pathlib, boto3
pathlib.Path(__file__).with_name("called").write_text("\\n".join(sys.argv[1:]))
if FAILS:
    sys.exit("time=... level=debug\\nlevel=fatal msg=unauthorized")
source, destination = sys.argv[-2:]
content = pathlib.Path(source.removeprefix("oci-archive:")).read_text()
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


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "image.tar"
    file.write_text(manifest("built"))
    return file


@pytest.fixture
def registry(environment: Account) -> Account:
    make_repository(environment)
    return environment


BUILT = digest(manifest("built"))


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


def test_refuses_when_the_registry_got_something_else(
    registry: Account, deploy: Deploy, skopeo: Path, archive: Path
) -> None:
    archive.write_text(manifest("another"))
    result = deploy("push", "--archive", str(archive), "--digest", BUILT, "--commit", COMMIT)
    assert result.code == 1
    assert "holds another image" in result.err


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
