"""Starts the command.

Owns the process's exit code, and what is said when the one dependency is missing. Refuses everything else.
"""

import os
import sys

if __name__ == "__main__":
    try:
        from deploy.cli import main
    except ModuleNotFoundError as missing:
        sys.exit(
            f"error: {missing.name} is missing: run python3 -m pip install --requirement requirements.txt"
        )
    sys.exit(main(sys.argv[1:], os.environ))
