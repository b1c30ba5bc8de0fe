"""Puts the student and its model card on a model hub: huggingface.co, or the one that HF_ENDPOINT names.

    HF_TOKEN=... python -m nolabels.publish OWNER/NAME [--public] [--revision BRANCH] [--dry-run]

The repository is made where it is not there, private unless --public is given. The student lies at its top, as transformers
loads it, and in onnx/ with its predict.py. All files come in one commit, and are then compared with those here. The model must
be the one that dvc.lock records. A hub without Xet needs HF_HUB_DISABLE_XET=1.
"""

from pathlib import Path

from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data.hub import errors
from nolabels.students import publishing

STUDENT, SHIPPED = Path("models/student"), Path("models/student-onnx")


def checked(name: str) -> str:
    """A repository's name, OWNER/NAME. Raises UserError for another one."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        rule = "must be two names of letters, digits, -, _ and ."
        raise UserError(f"OWNER/NAME: {rule}, found {name[:100]!r}")
    return name


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("repository", metavar="OWNER/NAME", help="where the student is put")
    parser.add_argument("--public", action="store_true", help="for everybody to see; else private")
    parser.add_argument("--revision", default="main", metavar="BRANCH", help="branch of the commit (main)")
    parser.add_argument(
        "--dry-run", action="store_true", help="list each file, its size and place; send nothing"
    )
    args = parser.parse_args(argv)
    repository, token = checked(args.repository), errors.token()
    with publishing.package(STUDENT, SHIPPED, repository) as files:
        publishing.check_recorded(STUDENT, SHIPPED)
        total = sum(path.stat().st_size for path in files.values())
        seen, address = "public" if args.public else "private", f"{errors.address()}/{repository}"
        if args.dry_run:
            for path, file in files.items():
                say(f"{file.stat().st_size:>13,} bytes  {address}/{path}")
            say(
                f"publish: nothing was sent; {len(files)} files, {total / 1e6:.1f} MB, {seen}, branch {args.revision}"
            )
            return
        if not isinstance(token, str):
            raise UserError(f"HF_TOKEN: must hold a token that may write to {repository}, found none")
        commit = publishing.push(repository, files, token, args.public, args.revision)
    say(f"publish: {address} at {commit}: {len(files)} files, {total / 1e6:.1f} MB, {seen}")


if __name__ == "__main__":
    run(main, network=True)
