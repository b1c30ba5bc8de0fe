"""The preset for a file of one's own, as text: its classes, its sizes, and what the shipped teachers are asked."""

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
# What encoders compare a text with, where it is said what the texts are, and where not: of nine wordings those with the
# best mean on dev of four tasks (AG News, TREC, SST-2, Rotten Tomatoes).
CLASS_TEXT = "This text from a collection of {about} is about {class}."
CLASS_TEXT_ALONE = "The topic is {class}."
DESCRIPTION = "{description}"


def flow(value):
    """A value on one line of YAML, quoted where YAML would read something else."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9)
    return text.strip()[1:-1]


def quoted(text):
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).strip()


def likelihood_lines(classes, about):
    """The keys of a language model under `score`, which is asked about these classes."""
    words = [item["words"] for item in classes]
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def filled(template):
        return quoted(template.replace("{about}", about).replace("{classes}", listed))

    question = QUESTION if len(classes) <= LISTED else QUESTION_OF_MANY
    lines = ["    # The questions: change what does not fit your texts.", "    templates:"]
    for answer in ANSWERS:
        lines += [f"      - chat: {filled(question)}", f"        answer: {quoted(answer)}"]
    return lines


def similarity_lines(classes, about):
    """All keys of a sentence encoder under `score`; a second template costs it nothing."""
    described = all("description" in item for item in classes)
    asked = CLASS_TEXT_ALONE if about == "texts" else CLASS_TEXT.replace("{about}", about)
    templates = [asked, *([DESCRIPTION] if described else [])]
    lines = ["    kind: similarity", "    templates:"]
    lines += [f"      - class_text: {quoted(template)}" for template in templates]
    return [
        *lines,
        "    max_tokens: 256",
        "    long_text: truncate",
        "    stride: null",
        "    precision: auto",
    ]


def preset_text(name, classes, about, sample, max_tokens, told):
    """The text of the preset for a file.

    name: of the file in data/own; classes: [{name, words[, description]}]; about: what the texts are; sample: what
    differs under `sample`; max_tokens: that the student reads; told: lines that say what was found in the file.
    """
    encoder = yaml.safe_load(presets.read(presets.FOLDER / f"{ENCODER}.yaml"))["fetch"]["models"]["encoder"]
    short = name if len(name) <= 40 else f"{name[:39]}…"
    return "\n".join(
        [
            f"# Texts of {short} in {len(classes)} classes, {MARK}",
            *(f"# {line}" for line in told),
            "",
            "task:",
            "  # `name` is what the student answers, `words` what the teachers read: say there what a class is.",
            "  classes:",
            *(f"    - {flow(item)}" for item in classes),
            "fetch:",
            f"  dataset: {flow({'own': name})}",
            "  models:",
            "    # A small sentence encoder, all-MiniLM-L6-v2: the third teacher.",
            f"    encoder: {flow(encoder)}",
            "sample:",
            *(f"  {key}: {flow(value)}" for key, value in sample.items()),
            "score:",
            "  teacher:",
            *likelihood_lines(classes, about),
            "  base:",
            *similarity_lines(classes, about),
            "  encoder:",
            *similarity_lines(classes, about),
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
            "",
        ]
    )
