"""The preset for a file of one's own, as text: its classes, its sizes, and what the shipped teachers are asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from nolabels.setup import presets

MARK = "written by python -m nolabels.start."  # how its first line ends

ENCODER = "reviews-small"  # the preset that names the third teacher, a small sentence encoder
# How the teachers are asked. {about}: what the texts are; {classes}: the words of all classes as one list.
LISTED = 20  # with more classes a question does not list them
# One question with two answers: the language model reads most of it once.
QUESTION = "Below is a text from a collection of {about}. Which of these describes it best: {classes}?\n\nText: {text}"
QUESTION_OF_MANY = "Below is a text from a collection of {about}. What describes it best?\n\nText: {text}"
ANSWERS = ("The text is best described as {class}", "This text is about {class}")
# What encoders compare a text with, together: of wordings that fit any classes those with the best mean on dev of twelve
# tasks (benchmarks/tasks.md).
CLASS_TEXTS = ("The topic is {class}.", "This text expresses {class}.")
DESCRIPTION = "{description}"


def _flow(value: Any) -> str:
    """A value on one line of YAML, quoted where YAML would read something else."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9)
    return text.strip()[1:-1]


def _quoted(text: str) -> str:
    """A text in double quotes, as YAML."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).strip()


def _likelihood_lines(classes: Sequence[Mapping[str, str]], about: str) -> list[str]:
    """The keys of a language model under `score`, which is asked about these classes."""
    words = [item["words"] for item in classes]
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def filled(template: str) -> str:
        return _quoted(template.replace("{about}", about).replace("{classes}", listed))

    question = QUESTION if len(classes) <= LISTED else QUESTION_OF_MANY
    lines = ["    # The questions: change what does not fit your texts.", "    templates:"]
    for answer in ANSWERS:
        lines += [f"      - chat: {filled(question)}", f"        answer: {_quoted(answer)}"]
    return lines


def _similarity_lines(classes: Sequence[Mapping[str, str]]) -> list[str]:
    """All keys of a sentence encoder under `score`; a second template costs it nothing."""
    described = all("description" in item for item in classes)
    templates = [*CLASS_TEXTS, *([DESCRIPTION] if described else [])]
    lines = ["    kind: similarity", "    templates:"]
    lines += [f"      - class_text: {_quoted(template)}" for template in templates]
    return [
        *lines,
        "    max_tokens: 256",
        "    long_text: truncate",
        "    stride: null",
        "    precision: auto",
    ]


def preset_text(
    name: str,
    classes: Sequence[Mapping[str, str]],
    about: str,
    sample: Mapping[str, Any],
    max_tokens: int,
    notes: Sequence[str],
) -> str:
    """The text of the preset for a file.

    Parameters
    ----------
    name : str
        Name of the file in data/own.
    classes : sequence of mapping
        {name, words[, description]} of each class.
    about : str
        What the texts are.
    sample : mapping
        What differs under `sample`.
    max_tokens : int
        How many tokens the student reads.
    notes : sequence of str
        Lines about what the file holds, for the comment on top.

    Returns
    -------
    str
        YAML.
    """
    short = name if len(name) <= 40 else f"{name[:39]}…"
    return "\n".join(
        [
            f"# Texts of {short} in {len(classes)} classes, {MARK}",
            *(f"# {line}" for line in notes),
            "",
            *_task_lines(classes),
            *_fetch_lines(name),
            "sample:",
            *(f"  {key}: {_flow(value)}" for key, value in sample.items()),
            *_score_lines(classes, about),
            *_other_lines(max_tokens),
            "",
        ]
    )


def _task_lines(classes: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        "task:",
        "  # `name` is what the student answers, `words` what the teachers read: say there what a class is.",
        "  classes:",
        *(f"    - {_flow(item)}" for item in classes),
    ]


def _fetch_lines(name: str) -> list[str]:
    """`fetch`: the file, and the third teacher, which another preset names."""
    encoder = yaml.safe_load(presets.read(presets.FOLDER / f"{ENCODER}.yaml"))["fetch"]["models"]["encoder"]
    return [
        "fetch:",
        f"  dataset: {_flow({'own': name})}",
        "  models:",
        "    # A small sentence encoder, all-MiniLM-L6-v2: the third teacher.",
        f"    encoder: {_flow(encoder)}",
    ]


def _score_lines(classes: Sequence[Mapping[str, str]], about: str) -> list[str]:
    """`score`: the questions of a language model and of two sentence encoders."""
    similarity = _similarity_lines(classes)
    likelihood = _likelihood_lines(classes, about)
    return ["score:", "  teacher:", *likelihood, "  base:", *similarity, "  encoder:", *similarity]


def _other_lines(max_tokens: int) -> list[str]:
    return [
        "label:",
        "  refine: auto",
        "train:",
        "  epochs: 4",
        "  # By the length of the texts.",
        f"  max_tokens: {max_tokens}",
        "report:",
        "  show_texts: false",
        "  note: null",
        "  license: null",
        "  language: null",
    ]
