"""What the environments of Terraform share is written once."""

from pathlib import Path

ENVIRONMENTS = Path(__file__).parents[2] / "terraform/environments"
# What Terraform and an engineer leave behind; Git ignores it.
LEFT_BEHIND = {".terraform", ".terraform.lock.hcl", "backend.hcl", "terraform.tfvars"}


def files(environment: str) -> set[str]:
    """Every file of an environment, by its path from there."""
    root = ENVIRONMENTS / environment
    paths = (path.relative_to(root) for path in root.rglob("*") if not path.is_dir())
    return {str(path) for path in paths if path.parts[0] not in LEFT_BEHIND}


def test_environments_differ_in_one_file() -> None:
    assert {path.name for path in ENVIRONMENTS.iterdir()} == {"production", "staging"}
    shared = files("production") - {"main.tf"}
    assert shared == {"outputs.tf", "variables.tf", "versions.tf", "tests/validation.tftest.hcl"}
    assert files("staging") == shared | {"main.tf"}
    for name in shared:
        link = ENVIRONMENTS / "staging" / name
        assert link.is_symlink(), f"{link} is a copy: make it a link"
        assert link.resolve() == ENVIRONMENTS / "production" / name
        # From anywhere the repository is checked out or copied to.
        assert not link.readlink().is_absolute()


def test_each_environment_has_a_state_of_its_own() -> None:
    for environment in ("production", "staging"):
        main = (ENVIRONMENTS / environment / "main.tf").read_text()
        assert f'environment = "{environment}"' in main
        assert f'key          = "bulkhead/{environment}.tfstate"' in main
