"""Serves a student over HTTP, or writes what a container of it is built from.

    python -m nolabels.serve MODEL [--host 127.0.0.1] [--port 8000]
    python -m nolabels.serve MODEL --write-dockerfile DIR

MODEL: models/student-onnx, or any folder that `export` wrote. After `pip install -r requirements-serve.txt`. DIR is a new
folder with a Dockerfile, the server as one file, the model, and the exact versions of all packages: `docker build DIR`
needs nothing of this project. What the server answers stands at its /docs.
"""

from pathlib import Path

from nolabels.core.stage import UserError, run, say


def main(argv: list[str] | None = None) -> None:
    try:
        from nolabels.students import container
        from nolabels.students.server import command
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "prometheus_client"):
            raise
        raise UserError(
            f"environment: must have {error.name}, found none; pip install -r requirements-serve.txt"
        ) from None
    parser = command.parser(__doc__)
    parser.add_argument(
        "--write-dockerfile", type=Path, metavar="DIR", help="folder to write, instead of serving"
    )
    args = parser.parse_args(argv)
    if args.write_dockerfile is None:
        command.serve(args)
        return
    container.write(args.model, args.write_dockerfile)
    say(f"serve: {args.write_dockerfile} is written; docker build -t student {args.write_dockerfile}")


if __name__ == "__main__":
    run(main)
