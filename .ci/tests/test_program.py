"""`.ci/check-program`: what was built for benchmarks is not released."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where a name stands in a program, there are bytes around it that are no text.
PRODUCT = b"\x7fELF\x00\xff\x00BULKHEAD_DATABASE_URL\x00\xfe"


def switch() -> bytes:
    """The variable that leaves a step out, as the program would read it."""
    source = (ROOT / "crates/ablation/src/lib.rs").read_text()
    found = re.search(r'pub const VARIABLE: &str = "(\w+)";', source)
    assert found is not None
    return found[1].encode()


def check(program: Path) -> tuple[int, str]:
    run = subprocess.run([ROOT / ".ci/check-program", program], capture_output=True, text=True, check=False)
    return run.returncode, run.stderr


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (PRODUCT, 0, ""),
        (PRODUCT + switch(), 1, "was built for benchmarks"),
        (b"\x7fELF\x00", 1, "is no bulkhead"),
    ],
)
def test_a_program_is_fit_for_release(tmp_path: Path, content: bytes, status: int, said: str) -> None:
    program = tmp_path / "bulkhead"
    program.write_bytes(content)
    returned, stderr = check(program)
    assert returned == status
    assert said in stderr


def test_there_has_to_be_a_program(tmp_path: Path) -> None:
    assert check(tmp_path / "bulkhead")[0] != 0
