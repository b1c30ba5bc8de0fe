"""A finished student, in either of its two forms: as `train` leaves it (torch), as `export` does (ONNX)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nolabels.core.stage import UserError

if TYPE_CHECKING:
    from nolabels.students.predict import Model

BATCH = 64


def facts(folder: Path) -> dict[str, Any]:
    """What predict.py must know, read from a student's folder.

    classes: names in the order of the outputs; max_tokens: where a longer text is cut; pad: the id
    that fills a batch; multi_label: whether a text may have several labels, and then threshold: the
    probability from which a class is one (null otherwise).
    """
    config = _read_json(folder / "config.json")
    tokenizer = _read_json(folder / "tokenizer.json")
    multi_label = config.get("problem_type") == "multi_label_classification"
    if multi_label and config.get("threshold") is None:
        raise UserError(f"{folder / 'config.json'}: must hold a threshold, found none; run dvc repro train")
    if tokenizer.get("truncation") is None:
        raise UserError(f"{folder / 'tokenizer.json'}: must say where texts are cut; run dvc repro train")
    names = config["id2label"]
    return {
        "classes": [names[str(number)] for number in range(len(names))],
        "max_tokens": tokenizer["truncation"]["max_length"],
        "multi_label": multi_label,
        "pad": config.get("pad_token_id") or 0,
        "threshold": config["threshold"] if multi_label else None,
    }


def _read_json(path: Path) -> dict[str, Any]:
    """A file of a student's folder. Raises UserError where it is not there."""
    if not path.exists():
        raise UserError(f"{path}: must be there, found nothing; run dvc repro train")
    return json.loads(path.read_text(encoding="utf-8"))


def labels_of(row: list[float], classes: list[str], threshold: float | None) -> list[str]:
    """The labels of one text.

    Parameters
    ----------
    row : list of K floats
        Its probabilities.
    classes : list of str
        K names.
    threshold : float or None
        None: the likeliest class alone; else all that reach it.
    """
    if threshold is None:
        return [classes[max(range(len(row)), key=row.__getitem__)]]
    return [name for name, probability in zip(classes, row, strict=True) if probability >= threshold]


def load_student(folder: str | Path, threads: int) -> "Model | Torch":
    """The model of a folder: has classes_, multi_label, threshold, and predict_proba(texts), N x K float32.

    Parameters
    ----------
    folder : path
        As `train` or `export` writes it.
    threads : int
        Of the processor; 0 for as many as there are cores.

    Raises
    ------
    UserError
        Where the folder holds no student.
    """
    folder = Path(folder)
    if (folder / "model.onnx").exists():
        from nolabels.students.predict import Model

        return Model(folder, threads)
    if (folder / "config.json").exists():
        return Torch(folder, threads)
    raise UserError(f"{folder}: must be a folder with a student, found neither model.onnx nor config.json")


class Torch:
    """The folder that `train` writes, in float32, as its test answers are; on a GPU where there is one."""

    def __init__(self, folder: Path, threads: int):
        from nolabels.core import models

        about = facts(folder)
        self.classes_ = np.array(about["classes"])
        self.multi_label, self.threshold = about["multi_label"], about["threshold"]
        self.max_tokens = about["max_tokens"]
        models.use_threads(threads)
        self.model, self.tokenizer = models.load_model(
            folder, "SequenceClassification", device=models.pick_device("auto"), precision="float32"
        )

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        """N x K float32, in the order of the texts; batches hold texts of about one length."""
        import torch

        probabilities = np.zeros((len(texts), len(self.classes_)), np.float32)
        ids = self.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"] if texts else []
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = self.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
                logits = self.model(**batch.to(self.model.device)).logits.float()
                shares = logits.sigmoid() if self.multi_label else logits.softmax(-1)
                probabilities[rows] = shares.cpu().numpy()
        return probabilities
