"""The kinds of teacher: which class is which, and what their answers in the store hang on.

A kind is one module with one subclass of Teacher; `load_teacher` below names it. Nothing here imports torch:
what a kind needs is imported with its module.
"""

from pathlib import Path
from typing import Any, cast

from nolabels.core.params import Score, Served
from nolabels.teachers.teacher import Reading, Teacher

# raised when a kind's scores change for the same question: its old answers are then not taken for new
REVISION = {"likelihood": 4, "entailment": 3, "similarity": 4, "endpoint": 1}
# texts in a part of the answer store: what a killed run loses at most (a served teacher is slow, and
# its answers may cost money)
PART_TEXTS = {"likelihood": 128, "entailment": 128, "similarity": 128, "endpoint": 16}


def load_teacher(
    score: Score,
    folder: str | Path,
    *,
    name: str,
    device: str,
    precision: str,
    served: Served | None,
    descriptions: dict[str, str],
) -> Teacher:
    """The teacher that the settings describe.

    Parameters
    ----------
    score : Score
        The teacher's settings in params.yaml.
    folder : path
        The folder of its model.
    name : str
        Its key under `score`, for messages.
    device, precision : str
        A torch device name, and float32, bfloat16 or (kind entailment) int8. An endpoint looks at neither.
    served : Served or None
        `runtime.endpoint`: how a served teacher is asked.
    descriptions : dict of str to str
        Descriptions of the classes by their words, for the templates that ask for them.

    Raises
    ------
    UserError
        Where the model is not of that kind.
    """
    reading = Reading(score.max_tokens, score.stride if score.long_text == "chunk" else None)
    common: dict[str, Any] = {"name": name, "reading": reading}
    if score.kind == "endpoint":
        from nolabels.teachers.endpoint import Endpoint

        return Endpoint(folder, served=cast(Any, served), **common)  # Params sees to it that it is there
    common |= {"device": device, "precision": precision}
    if score.kind == "entailment":
        from nolabels.teachers.entailment import Entailment

        return Entailment(folder, **common)
    if score.kind == "similarity":
        from nolabels.teachers.similarity import Similarity

        return Similarity(folder, descriptions=descriptions, **common)
    from nolabels.teachers.likelihood import Likelihood

    return Likelihood(folder, **common)
