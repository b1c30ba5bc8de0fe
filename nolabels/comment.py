"""Writes the comment for a pull request: what the run changed, its short report, and its curves.

    python -m nolabels.comment origin/main > comment.md

To be run after `dvc repro`. Compares with REVISION (see nolabels/changes.py). The curves are Mermaid charts, which
GitHub and GitLab draw inside a comment. .github/comment.sh posts it.
"""

import csv
import subprocess
import sys
from pathlib import Path

from nolabels.core.stage import UserError, arguments, run, say
from nolabels.reporting.changes import check_revision, markdown

REPORT, CURVE, METRICS = Path("reports/report.md"), Path("plots/dev/coverage.csv"), "metrics/dev.json"
MOST_LETTERS = 65_000  # GitHub takes 65,536 in a comment


def metrics_diff(revision: str) -> str:
    """`dvc metrics diff` of dev in Markdown. Raises UserError where DVC fails."""
    command = [sys.executable, "-m", "dvc", "metrics", "diff", "--md", "--targets", METRICS, "--", revision]
    result = subprocess.run(command, capture_output=True, encoding="utf-8")
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["an error"]
        raise UserError(f"dvc metrics diff: must work here, found {lines[-1]}")
    return result.stdout.strip() or "No figure of dev changed."


def curve(path: Path) -> str:
    """Accuracy on the most confident texts, by their share, as a Mermaid chart; empty without gold answers."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return ""
    shares = ", ".join(f"{float(row['coverage']):.2f}" for row in rows)
    models = [name for name in rows[0] if name != "coverage"]
    values = {name: [round(float(row[name]), 4) for row in rows] for name in models}
    lowest = min(min(column) for column in values.values())
    lines = [
        "```mermaid",
        "xychart-beta",
        f'  title "Accuracy on the most confident texts: {" and ".join(models)}"',
    ]
    lines += [
        f'  x-axis "share of the texts" [{shares}]',
        f'  y-axis "accuracy" {max(lowest - 0.02, 0):.2f} --> 1',
    ]
    return "\n".join([*lines, *(f"  line {column}" for column in values.values()), "```"])


def shortened(text: str) -> str:
    """The text, with its end left out where a comment could not hold it."""
    end = "\n\n(The rest is in `reports/index.html`.)\n"
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - len(end)].rpartition("\n")[0] + end


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("revision", metavar="REVISION")
    revision = parser.parse_args(argv).revision
    check_revision(revision)
    for path in (REPORT, CURVE):
        if not path.exists():
            raise UserError(f"{path}: must be there, found nothing; dvc repro makes it")
    parts = [REPORT.read_text(encoding="utf-8").strip(), markdown(revision).strip()]
    parts += [f"### Figures of dev since {revision}", metrics_diff(revision), curve(CURVE)]
    say(shortened("\n\n".join(part for part in parts if part)))


if __name__ == "__main__":
    run(main)
