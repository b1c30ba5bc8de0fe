"""The frame around every stage: arguments, one-line errors, a quiet environment, no orphans.

def main(argv=None): ...
if __name__ == "__main__":
    run(main)
"""

import argparse
import ctypes
import os
import re
import select
import signal
import sys
import threading
from pathlib import Path

# before any other module of the project is imported, so that one line says it (pyproject.toml: requires-python)
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"error: Python: must be 3.11 or newer, found {'.'.join(map(str, sys.version_info[:3]))}")
try:
    import fcntl  # noqa: F401  what locks the answer store
except ImportError:
    sys.exit(f"error: system: must be Linux or macOS (on Windows: WSL), found {sys.platform}")

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class UserError(Exception):
    """Something that the person who runs the stage can mend: one line with place, rule and value."""


def arguments(doc):
    """An argument parser described by a stage's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def run(main, *, network=False):
    """Runs `main()` as a process of its own; exits with 1 and one line on a UserError.

    network: whether the stage may ask a model hub; every other stage is offline by construction.
    """
    die_with_parent()
    die_with_grandparent()
    quiet(network)
    try:
        main()
    except UserError as error:
        fail(str(error))
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        fail(f"{error.filename}: {error.strerror}")
    except OSError as error:
        if error.errno is None:  # raised by a library, with a message only: worth its traceback
            raise
        fail(f"{error.filename or 'writing'}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)


def fail(message):
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def say(message):
    """One line for the person at the terminal."""
    print(message, flush=True)


def die_with_parent():
    """Asks the kernel (Linux) to kill this process when its parent dies.

    A killed `dvc repro` would otherwise leave its stage running and writing beside the next one.
    """
    if not started_by_dvc():
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # a parent that died before the kernel was asked has left its child to process 1
    if os.getppid() != parent or is_orphan(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def die_with_grandparent():
    """Where a shell stands between DVC and this stage, dies with DVC too.

    DVC runs a command in a shell. bash gives its place to the command; Debian's sh waits for it, and
    outlives a killed DVC.
    """
    shell = os.getppid()
    if not started_by_dvc() or not re.search(rb"\0-c\0[^\0]*stages\.[^\0]*\0$", command_of(shell)):
        return
    dvc = parent_of(shell)
    if is_orphan(dvc):
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=die_with, args=(dvc,), daemon=True).start()


def started_by_dvc():
    return sys.platform.startswith("linux") and "DVC_STAGE" in os.environ


def is_orphan(parent):
    """Whether it was left to process 1; in a container process 1 may be `dvc` itself."""
    return parent == 1 and b"dvc" not in command_of(1)


def die_with(process):
    try:
        select.select([os.pidfd_open(process)], [], [])  # readable once the process has ended
    except ProcessLookupError:
        pass
    except OSError:  # a kernel before 5.3, or a sandbox without this call
        return
    os.kill(os.getpid(), signal.SIGKILL)


def command_of(process):
    return Path(f"/proc/{process}/cmdline").read_bytes()


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def quiet(network):
    """Keeps libraries from reporting what nobody at the terminal can act on."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TQDM_DISABLE", "1")
    if not network:
        os.environ["HF_HUB_OFFLINE"] = "1"


def progress(total, unit):
    """A progress bar with rate and time left; silent unless a person is watching."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, unit_scale=True, disable=not sys.stderr.isatty())
