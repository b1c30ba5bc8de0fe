"""Texts to and answers from Label Studio: its labeling configuration, its tasks, its JSON and JSON-MIN exports."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from nolabels.core.params import Task
from nolabels.core.spelling import NONE
from nolabels.core.stage import UserError
from nolabels.data.readers import check_unicode, shown
from nolabels.data.texts import text_id

# names that the configuration, the predictions and the export share
CHOICES, TEXT = "label", "text"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def choices_of(task: Task) -> list[str]:
    """What an annotator may choose from: the labels, and where a text may have several also that it has none."""
    return task.labels + ([NONE] if task.multi_label else [])


def configuration(task: Task) -> str:
    """The labeling configuration of a task as XML.

    Parameters
    ----------
    task : params.Task
        Its labels become choices, in their order; a description becomes the hint of its choice.

    Raises
    ------
    UserError
        Where a label holds a letter that no XML can hold.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Text", name=TEXT, value=f"${TEXT}")
    several = "multiple" if task.multi_label else "single"
    box = ET.SubElement(view, "Choices", name=CHOICES, toName=TEXT, choice=several, required="true")
    box.set("showInLine", "true")
    hints = {item.name: item.description for item in task.classes if item.description is not None}
    for name in choices_of(task):
        for value in (name, hints.get(name, "")):
            if letter := NO_XML.search(value):
                raise UserError(
                    f"params.yaml: task.classes: {name!r} must hold letters of XML alone, found {letter[0]!r}"
                )
        ET.SubElement(box, "Choice", {"value": name} | ({"hint": hints[name]} if name in hints else {}))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def to_task(given: str, text: str, part: str) -> dict:
    """A task without a prediction.

    Parameters
    ----------
    given : str
        The project's id of the text.
    text : str
    part : str
        That the text is of: pool, dev or test.
    """
    return {"data": {TEXT: text, "text_id": given, "part": part}}


def prediction(names: list[str], score: float, version: str) -> dict:
    """A model's answer to a text.

    Parameters
    ----------
    names : list of str
        The classes; none of them where the text has none.
    score : float
        Its confidence, 0 to 1.
    version : str
        Which model said it.
    """
    choices = {
        "from_name": CHOICES,
        "to_name": TEXT,
        "type": "choices",
        "value": {"choices": names or [NONE]},
    }
    return {"model_version": version, "score": score, "result": [choices]}


@dataclass
class Given:
    """What an export holds of a text: `part` as the export says it, or None; what annotators chose, one entry each.

    final: those that are marked as ground truth; empty, several: annotations without a class, and with classes
    that exclude each other; shown: whether a model's answer was to be seen.
    """

    part: str | None = None
    chosen: list = field(default_factory=list)
    final: list = field(default_factory=list)
    skipped: int = 0
    empty: int = 0
    several: int = 0
    shown: bool = False
    edited: bool = False

    def add(self, names: list[str], task: Task, *, final: bool) -> None:
        """Takes the choices of one annotation; names: list of str."""
        if not names:
            self.empty += 1
        elif (NONE in names and task.multi_label and len(names) > 1) or (
            len(names) > 1 and not task.multi_label
        ):
            self.several += 1
        else:
            answer = tuple(name for name in task.labels if name in names)
            self.chosen.append(answer)
            if final:
                self.final.append(answer)

    @property
    def answers(self) -> set[tuple]:
        """The different answers: of those marked as ground truth, where any is."""
        return set(self.final or self.chosen)


def read_exports(paths: list[Path], task: Task) -> dict[str, Given]:
    """What exports of Label Studio hold, text by text.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of the form JSON or JSON-MIN.
    task : params.Task

    Returns
    -------
    dict of str to Given
        By the project's id of the text, in the order of the files. The same text may stand in several.

    Raises
    ------
    UserError
        With the file and the task, where it is no such export or a choice is no label of the task.
    """
    texts: dict[str, Given] = {}
    for path in paths:
        for number, item in enumerate(read_list(path), 1):
            where = f"{path}: task {number}"
            data = item.get("data", item) if isinstance(item, dict) else None
            if not isinstance(data, dict):
                raise UserError(f"{where}: must be an object with data, found {shown(json.dumps(item))}")
            given, edited = id_of(where, data)
            one = texts.setdefault(given, Given(part=data.get("part")))
            one.edited |= edited
            if "data" in item:
                take_annotations(where, item, one, task)
            else:  # JSON-MIN: an item for each annotation, a skipped one without a class
                one.add(checked(where, item.get(CHOICES), task), task, final=False)
    return texts


def read_list(path: Path) -> list:
    """The list of a JSON file. Raises UserError with the line where it is none."""
    path = Path(path)
    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8, found byte 0x{error.object[error.start]:02x}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: must be JSON ({error.msg})") from error
    except RecursionError as error:
        raise UserError(f"{path}: must be a list of tasks, found JSON too deep to read") from error
    if not isinstance(items, list):
        rule = "must be a list of tasks, as Label Studio's JSON and JSON-MIN exports are"
        raise UserError(f"{path}: {rule}, found {shown(json.dumps(items))}")
    return items


def id_of(where: str, data: dict) -> tuple[str, bool]:
    """The project's id of a task's text, and whether the text is another one than the id says."""
    text, given = data.get(TEXT), data.get("text_id")
    for name, value in ((TEXT, text), ("text_id", given)):
        if value is not None and not isinstance(value, str):
            raise UserError(f"{where}: {name} must be text, found {shown(json.dumps(value))}")
        check_unicode(where, 1, name, value or "")
    if given is None:
        if text is None:
            raise UserError(f"{where}: must hold text_id or text, found {shown(', '.join(map(str, data)))}")
        return text_id(text), False
    return given, text is not None and text_id(text) != given


def take_annotations(where: str, item: dict, text: Given, task: Task) -> None:
    """Adds the annotations of a task of the form JSON to what is known of its text."""
    annotations = item.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise UserError(f"{where}: annotations must be a list of objects")
    text.shown |= bool(item.get("predictions"))
    for each in annotations:
        text.shown |= bool(each.get("prediction")) or each.get("parent_prediction") is not None
        if each.get("was_cancelled"):
            text.skipped += 1
            continue
        result = each.get("result") or []
        if not isinstance(result, list) or not all(isinstance(part, dict) for part in result):
            raise UserError(f"{where}: result must be a list of objects")
        names = []
        for part in result:
            if part.get("type") == "choices" and part.get("from_name") == CHOICES:
                names += checked(where, part.get("value"), task)
        text.add(names, task, final=bool(each.get("ground_truth")))


def checked(where: str, value: object, task: Task) -> list[str]:
    """The choices of a value, each once: "a" or {"choices": ["a", "b"]}. Raises UserError where one is no label."""
    given = value.get("choices") if isinstance(value, dict) else value
    names = [] if given is None else given if isinstance(given, list) else [given]
    allowed = choices_of(task)
    for name in names:
        if name not in allowed:
            raise UserError(
                f"{where}: {CHOICES} must be one of {', '.join(allowed)}, found {shown(json.dumps(name))}"
            )
    return list(dict.fromkeys(names))
