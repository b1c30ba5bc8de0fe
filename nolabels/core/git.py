"""Git, by its own command."""

import subprocess

from nolabels.core.stage import UserError


def git(*words: str) -> str:
    """The output of a Git command. Raises UserError where it fails."""
    result = subprocess.run(["git", *words], capture_output=True, encoding="utf-8")
    if result.returncode:
        raise UserError(f"git {words[0]}: must work here, found {result.stderr.strip() or 'an error'}")
    return result.stdout
