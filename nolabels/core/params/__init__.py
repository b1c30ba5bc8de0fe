"""params.yaml as typed, frozen models: read once a stage, checked whole before any work.

One module for each part of the file; `reading` words the messages. It decides no result: it lets a value pass or refuses it, and DVC tracks the
values themselves. So no stage depends on it, and another message or another range reruns nothing. What computes
something of a value does not belong here.

Nothing here has a default value: a default is a value that DVC cannot see. A key that may be left out
(`... | None = None`) is one whose absence means "none".
"""

from nolabels.core.params.assets import (
    Asset,
    Dataset,
    Endpoint,
    Fetch,
    HubDataset,
    HubModel,
    Own,
    Package,
    Parts,
    Splits,
)
from nolabels.core.params.reading import PATH, check, load, parse
from nolabels.core.params.sample import Gold, Sample, Zones
from nolabels.core.params.settings import Label, Learning, Report, Runtime, Served, Train
from nolabels.core.params.task import Class, Task
from nolabels.core.params.teachers import FORMS, Score, Template
from nolabels.core.params.values import Section
from nolabels.core.params.whole import Params

__all__ = [
    "FORMS",
    "PATH",
    "Asset",
    "Class",
    "Dataset",
    "Endpoint",
    "Fetch",
    "Gold",
    "HubDataset",
    "HubModel",
    "Label",
    "Learning",
    "Own",
    "Package",
    "Params",
    "Parts",
    "Report",
    "Runtime",
    "Sample",
    "Score",
    "Section",
    "Served",
    "Splits",
    "Task",
    "Template",
    "Train",
    "Zones",
    "check",
    "load",
    "parse",
]
