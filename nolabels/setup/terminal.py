"""Questions to the person at the terminal, where there is one."""

import sys

from nolabels.core.stage import UserError
from nolabels.data.lines import shown


def has_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str) -> str:
    """The answer of the person at the terminal. Raises UserError where the input ends."""
    try:
        return input(f"{question} ").strip()
    except EOFError as error:
        raise UserError(f"{question} must be answered, found the end of the input") from error


def decide_header(first: str) -> bool:
    """Whether a first row (as text) names the columns, where it may be both; without a terminal it does."""
    return not has_terminal() or not ask(f"Does row 1 name the columns ({first})? [Y/n]").lower().startswith(
        "n"
    )


def choose_text(names: list[str]) -> str | None:
    """The column of the texts among several with texts of like length; None without a terminal."""
    if not has_terminal():
        return None
    choices = ", ".join(f"{number} {shown(name)}" for number, name in enumerate(names, 1))
    answer = ask(f"Which column holds the texts: {choices}? [1]") or "1"
    if answer in names:
        return answer
    if not answer.isdecimal() or not 1 <= int(answer) <= len(names):
        raise UserError(f"--text: must be one of {shown(', '.join(names))}, found {shown(answer)!r}")
    return names[int(answer) - 1]
