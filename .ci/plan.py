"""Which checks a change needs, by the paths that it touches.

Prints `name=true` or `name=false` for each, as steps of a workflow read outputs. Refuses to guess: without a
base to compare with, or when Git cannot compare, everything is needed.
"""

import re
import subprocess
import sys

CHECKS = {
    # Tests read what Terraform says of metrics and of Redis' users, and the Rust version in the Dockerfile.
    "rust": r"crates/|migrations/|openapi/|Cargo\.|\.cargo/|\.clippy|\.rustfmt|Makefile|\.ci/|README\.md"
    r"|Dockerfile|terraform/(observability|modules/(cache|observability|stack))/",
    "openapi": r"openapi/",
    "dependencies": r"Cargo\.(toml|lock)$|crates/[^/]+/Cargo\.toml$|\.deny\.toml|\.osv\.toml",
    "deploy": r"terraform/|\.github/|Dockerfile|docker-compose\.yml|\.ci/|Makefile",
    "image": r"Dockerfile|\.dockerignore|Cargo\.|crates/|migrations/|terraform/rds-global-bundle\.pem",
}


def needed(paths: list[str] | None) -> dict[str, bool]:
    """Whether each check is needed for the paths that have changed; `None` when they are not known."""
    if paths is None or any(path.startswith(".github/workflows/") for path in paths):
        return dict.fromkeys(CHECKS, True)
    return {name: any(re.match(pattern, path) for path in paths) for name, pattern in CHECKS.items()}


def changed_since(base: str) -> list[str] | None:
    """Paths that differ from where this commit and `base` parted; `None` when Git cannot tell."""
    if not re.fullmatch(r"[0-9a-f]{40}", base) or set(base) == {"0"}:
        return None
    said = subprocess.run(
        ["git", "diff", "--no-renames", "--name-only", "-z", f"{base}...HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.split("\0")[:-1] if said.returncode == 0 else None


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, wanted in needed(changed_since(base)).items():
        print(f"{name}={str(wanted).lower()}")
