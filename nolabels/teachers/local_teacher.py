"""A teacher whose model is loaded in this process."""

from pathlib import Path

from transformers import PreTrainedModel

from nolabels.core.batches import pass_tokens
from nolabels.teachers import packing
from nolabels.teachers.teacher import Reading, Teacher


class LocalTeacher(Teacher):
    """The base class of the kinds that load a model; each of them gives `_load`.

    Parameters
    ----------
    folder : path
        Of the model.
    name, device, precision, reading
        See kinds.load_teacher.
    batch_tokens : int or None
        Padded tokens in one forward pass; None for as many as suit the device.

    Raises
    ------
    UserError
        Where the model is not of this kind.
    """

    model: PreTrainedModel

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str,
        device: str,
        precision: str,
        reading: Reading,
        batch_tokens: int | None = None,
    ):
        self.name, self.device, self.reading = name, device, reading
        self.batch_tokens = batch_tokens or pass_tokens(device)
        self._load(Path(folder), precision)
        self.parameters = self.model.num_parameters()
        if precision != "int8":  # onnxruntime reads int8
            packing.pack(self.model, device, precision, reading.max_tokens)

    def _load(self, folder: Path, precision: str) -> None:
        """Sets `model`, `tokenizer` and what the kind reads from them. Raises UserError for a model of another kind."""
        raise NotImplementedError
