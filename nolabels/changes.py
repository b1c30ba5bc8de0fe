"""Says what changed since a revision: new texts, accuracy, confidence and the shares of the classes.

    python -m nolabels.changes v1.0.0

Prints Markdown. REVISION: a commit, branch or tag. Metrics come from Git, texts from DVC's local cache
(`dvc fetch -A` brings those of older commits).
"""

from nolabels.core.stage import arguments, run, say
from nolabels.reporting.changes import markdown


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("revision", metavar="REVISION")
    say(markdown(parser.parse_args(argv).revision).rstrip())


if __name__ == "__main__":
    run(main)
