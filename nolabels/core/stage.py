"""The frame around every stage: arguments, one-line errors, a quiet environment, no orphans.

def main(argv=None): ...
if __name__ == "__main__":
    run(main)
"""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

# before any other module of the project is imported, so that one line says it (pyproject.toml: requires-python)
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"error: Python: must be 3.11 or newer, found {'.'.join(map(str, sys.version_info[:3]))}")
try:
    import fcntl  # noqa: F401  what locks the answer store
except ImportError:
    sys.exit(f"error: system: must be Linux or macOS (on Windows: WSL), found {sys.platform}")

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class UserError(Exception):
    """Something that the person who runs the stage can mend: one line with the location, the rule and the value."""


def arguments(doc: str) -> argparse.ArgumentParser:
    """An argument parser described by a stage's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def path_arguments(
    doc: str, descriptions: Mapping[str, str], argv: Sequence[str] | None
) -> argparse.Namespace:
    """The arguments of a stage: paths, but for a `key` of params.yaml.

    Parameters
    ----------
    doc : str
        The stage's docstring.
    descriptions : mapping
        {argument: its help}, in the order of the command line.
    argv : sequence of str or None
        The arguments; None: those of the process.

    Returns
    -------
    argparse.Namespace
        A Path for each argument; text for `key`.
    """
    parser = arguments(doc)
    for name, description in descriptions.items():
        parser.add_argument(name, type=str if name == "key" else Path, help=description)
    return parser.parse_args(argv)


def run(main: Callable[[], None], *, network: bool = False) -> None:
    """Runs `main()` as a process of its own; exits with 1 and one line on a UserError.

    Parameters
    ----------
    main : callable
        What the stage does, without arguments.
    network : bool
        Whether the stage may ask a model hub; every other stage is offline by construction.

    Raises
    ------
    SystemExit
        With 1 after an error that the person can mend, with 130 after Ctrl-C.
    """
    die_with_parent()
    _quiet(network)
    try:
        main()
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno is not None:
            _fail(f"{error.filename or 'writing'}: {error.strerror}")
        if type(error) is OSError:  # raised by a library, with a message only: worth its traceback
            raise
        _fail(str(error))  # what pyarrow raises for a file that is not there names the file in its message
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def say(message: str) -> None:
    """Prints one line for the person at the terminal."""
    print(message, flush=True)


def die_with_parent() -> None:
    """Asks the kernel (Linux) to kill this process when its parent dies, where DVC started it.

    A killed `dvc repro` would otherwise leave its stage running and writing beside the next one. The parent is DVC
    itself and not a shell: the commands of dvc.yaml begin with `exec`.
    """
    if not sys.platform.startswith("linux") or "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # a parent that died before the kernel was asked has left its child to process 1
    if os.getppid() != parent or _is_orphan(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_orphan(parent: int) -> bool:
    """Whether the process was left to process 1; in a container process 1 may be `dvc` itself."""
    return parent == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes()


def _quiet(network: bool) -> None:
    """Keeps libraries from reporting what nobody at the terminal can act on."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TQDM_DISABLE", "1")
    if not network:
        os.environ["HF_HUB_OFFLINE"] = "1"


def progress(total: int, unit: str) -> "tqdm":
    """A progress bar with rate and time left; silent unless a person is watching.

    Parameters
    ----------
    total : int
        How many units there are.
    unit : str
        What one is called.

    Returns
    -------
    tqdm
        To be told by update(count) how many are done.
    """
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, unit_scale=True, disable=not sys.stderr.isatty())
