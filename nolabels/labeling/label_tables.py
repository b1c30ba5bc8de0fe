"""The tables that `label` writes: the labeled pool, and the teachers' answers to dev and test."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core.labels import certainty, decide, to_column
from nolabels.core.params import Task
from nolabels.core.schemas import labeled_schema
from nolabels.core.tables import fixed, rounded, write_predictions, write_table
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import Panel


def write_labeled(path: Path, pool: pa.Table, probabilities: np.ndarray, task: Task) -> None:
    """Writes the labeled pool.

    Parameters
    ----------
    path : Path
        The table to write.
    pool : pa.Table
        `id` and `split` of N texts.
    probabilities : np.ndarray
        N x L calibrated probabilities.
    task : Task
    """
    columns = {
        "id": pool["id"],
        "split": pool["split"],
        "probabilities": fixed(rounded(probabilities), np.float32),
        "labels": to_column(decide(probabilities, task), task.labels),
        "confidence": pa.array(rounded(certainty(probabilities, task))),
    }
    schema = labeled_schema(len(task.labels))
    write_table(path, pa.table(columns, schema=schema), classes=task.labels)


def write_answers(
    path: Path,
    ids: pa.ChunkedArray,
    outputs: Mapping[str, TeacherOutput],
    panels: tuple[Panel, Panel],
    task: Task,
    model: dict,
) -> None:
    """Writes the answers of all teachers together to dev or test, with the labels before calibration and of each.

    Parameters
    ----------
    path : Path
        The table to write.
    ids : pa.ChunkedArray
        N ids.
    outputs : mapping
        {teacher: TeacherOutput} of the N texts.
    panels : (Panel, Panel)
        The calibrated teachers, and the same before calibration.
    task : Task
    model : dict
        Kind and size of all teachers together, for the file's metadata.
    """
    probabilities, raw = (panel.probabilities(outputs, task) for panel in panels)
    labels, raw_labels = (to_column(decide(one, task), task.labels) for one in (probabilities, raw))
    own = panels[0].labels_of_each(outputs, task)
    each = {name: to_column(answers, task.labels) for name, answers in own.items()} if len(own) > 1 else None
    write_predictions(path, ids, probabilities, labels, task.labels, raw_labels, each, model=model)
