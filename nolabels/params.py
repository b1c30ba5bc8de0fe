"""params.yaml as typed, frozen models: read once a stage, checked whole before any work.

Nothing here has a default value: a default is a value that DVC cannot see. A key that may be left
out (`... | None = None`) is one whose absence means "none".
"""

import math
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from nolabels.spelling import NONE, SEPARATOR
from nolabels.stage import UserError

PATH = Path("params.yaml")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def number(value):
    """A number, also in the form 2e-05 that DVC writes and YAML 1.1 reads as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def quoted(value):
    if isinstance(value, bool):
        raise ValueError(
            f"must be text; YAML reads an unquoted yes, no, on or off as {str(value).lower()}: put it in quotes"
        )
    return value


def holds(*places):
    def check(value):
        for place in places:
            if value.count(place) != 1:
                raise ValueError(f"must hold {place} exactly once")
        return value

    return AfterValidator(check)


def like(pattern, what):
    """Text of a form; `what` says which, for people who do not read patterns."""

    def check(value):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return Annotated[str, AfterValidator(check)]


Float = Annotated[float, BeforeValidator(number)]
Text = Annotated[str, BeforeValidator(quoted), Field(min_length=1)]
HubName = like(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", "OWNER/NAME as the hub has it")
Sha256 = like(r"[0-9a-f]{64}", "64 hex digits")
Precision = Literal["auto", "float32", "bfloat16"]
Share = Annotated[float, BeforeValidator(number), Field(gt=0, le=1)]


class Class(Section):
    name: Text
    words: Text
    description: Text | None = None


class Task(Section):
    classes: Annotated[list[Class], Field(min_length=2, max_length=150)]
    multi_label: bool
    threshold: Annotated[Float, Field(gt=0, lt=1)]
    reject: Text | None

    @model_validator(mode="after")
    def distinct(self):
        for field in ("name", "words"):
            values = [getattr(item, field) for item in self.classes]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"each class needs a {field} of its own; {value!r} stands twice")
        return self

    @model_validator(mode="after")
    def fitting_reject(self):
        if self.reject in self.names:
            raise ValueError(f"reject must be another name than the classes have, found {self.reject!r}")
        if self.multi_label and self.reject is not None:
            raise ValueError(
                "reject must be null with multi_label, where a text may have none of the classes, "
                f"found {self.reject!r}"
            )
        return self

    @model_validator(mode="after")
    def separable(self):
        for name in self.names if self.multi_label else []:
            if SEPARATOR in name or name != name.strip() or name == NONE:
                raise ValueError(
                    f"with multi_label a class must be told apart in a list: no {SEPARATOR!r}, no space at "
                    f"its ends, not {NONE!r}; found {name!r}"
                )
        return self

    @property
    def names(self):
        return [item.name for item in self.classes]

    @property
    def labels(self):
        """What a text can be labeled as: a class, or that it is of none."""
        return self.names + ([] if self.reject is None else [self.reject])

    @property
    def words(self):
        return [item.words for item in self.classes]

    @property
    def descriptions(self):
        """{words: description} of the classes that have one."""
        return {item.words: item.description for item in self.classes if item.description is not None}


class Part(Section):
    """What lies at one place of a pinned package."""

    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$")]
    form: Literal["wheel", "sdist"]
    sha256: Sha256
    path: Text


class Package(Part):
    files: dict[Text, Sha256]


class Parts(Section):
    """An archive in parts, each in a package of its own; `path` and `files` are of the joined archive."""

    parts: Annotated[list[Part], Field(min_length=2)]
    path: Text
    files: dict[Text, Sha256]

    @property
    def package(self):
        """What messages and pages call it."""
        return f"{self.parts[0].package} and {len(self.parts) - 1} more"


class Own(Section):
    own: Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]


class Endpoint(Section):
    """A served model: nothing is downloaded, `fetch` writes down whom `score` asks."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$")]
    model: Text


class HubModel(Section):
    hub: HubName
    revision: Text
    weights: like(r"safetensors|pickle|[^/\\]+\.gguf", "safetensors, pickle or the name of a .gguf file")
    files: dict[Text, Sha256]


class Splits(Section):
    pool: Text
    test: Text | None


class HubDataset(Section):
    hub: HubName
    config: Text | None
    splits: Splits
    revision: Text
    files: dict[Text, Sha256]


def way(asset):
    """How an asset is had follows from its keys, so that a message speaks of that way alone."""
    keys = asset if isinstance(asset, dict) else getattr(type(asset), "model_fields", {})
    return next((f"<{key}>" for key in ("own", "hub", "endpoint", "parts") if key in keys), "<package>")


Common = (
    Annotated[Package, Tag("<package>")] | Annotated[Parts, Tag("<parts>")] | Annotated[Own, Tag("<own>")]
)
Dataset = Annotated[Common | Annotated[HubDataset, Tag("<hub>")], Discriminator(way)]
Asset = Annotated[
    Common | Annotated[HubModel, Tag("<hub>")] | Annotated[Endpoint, Tag("<endpoint>")], Discriminator(way)
]


Learner = Package | Parts | Own | HubModel  # what can be fine-tuned

# of a model under fetch.models, and so of a folder in models/, which holds the student and your own models too
Name = like(
    r"(?!(own|student)$)[a-z][a-z0-9_]{0,15}",
    "1 to 16 small letters, digits and _, the first a letter, and neither own nor student",
)


class Fetch(Section):
    """The texts, and the models by their names: teachers (see score) and those to fine-tune (train, assist)."""

    dataset: Dataset
    models: dict[Name, Asset]


class Gold(Section):
    column: Text
    names: Literal[True] | None = None
    values: dict[str | int, str | None] | None = None
    ranges: dict[str, tuple[Float, Float]] | None = None

    @model_validator(mode="before")
    @classmethod
    def tuples(cls, data):
        if isinstance(data, dict) and isinstance(data.get("ranges"), dict):
            ranges = {
                key: tuple(item) if isinstance(item, list) else item for key, item in data["ranges"].items()
            }
            data = {**data, "ranges": ranges}
        return data

    @model_validator(mode="after")
    def one_way(self):
        if [self.names, self.values, self.ranges].count(None) != 2:
            raise ValueError("needs one of names, values and ranges")
        for name, (low, high) in (self.ranges or {}).items():
            if low > high:
                raise ValueError(f"range of {name!r} must run from low to high, found [{low}, {high}]")
        return self


class Zones(Section):
    """Shares of the hash range: which texts may be test, dev or pool (see nolabels/texts.py, zone_place)."""

    test: Annotated[Float, Field(ge=0, lt=1)]
    dev: Annotated[Float, Field(ge=0, lt=1)]
    pool: Annotated[Float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def whole(self):
        if not math.isclose(self.test + self.dev + self.pool, 1, abs_tol=1e-9):
            raise ValueError(f"must be in all 1, found {self.test:g} + {self.dev:g} + {self.pool:g}")
        return self


class Sample(Section):
    format: Literal["csv", "tsv", "jsonl", "parquet", "txt"]
    columns: list[Text] | None
    text: Text | None
    gold: Gold | None
    test_file: Text | None
    method: Literal["draw", "notebook"]
    zones: Zones | None
    seed: Annotated[int, Field(ge=0)]
    pool: Annotated[int, Field(ge=1)] | None
    valid: Annotated[int, Field(ge=0)]
    more: Annotated[int, Field(ge=0)] | None
    test: Annotated[int, Field(ge=1)] | None
    dev: Annotated[int, Field(ge=0)] | None
    near_duplicates: Literal["keep", "remove"]
    similarity: Share

    @model_validator(mode="after")
    def fitting(self):
        if self.columns is not None and self.format not in ("csv", "tsv"):
            raise ValueError(f"columns must be null for {self.format}, found {self.columns}")
        if self.format == "txt" and (self.text is not None or self.gold is not None):
            raise ValueError("text and gold must be null for txt, found a column's name")
        if self.format != "txt" and self.text is None:
            raise ValueError(f"text must name the column of the texts, found null for {self.format}")
        if self.method == "notebook" and (
            self.test_file is None or self.valid or self.more != 0 or self.dev != 0 or self.pool is None
        ):
            raise ValueError(
                "method notebook needs a test_file, a number as pool, valid 0, more 0 and dev 0, "
                f"found {self.test_file}, {self.pool}, {self.valid}, {self.more} and {self.dev}"
            )
        if self.method == "notebook" and self.near_duplicates == "remove":
            raise ValueError(
                "near_duplicates must be keep for method notebook, which leaves nothing out, found remove"
            )
        return self

    @model_validator(mode="after")
    def fitting_zones(self):
        if (self.zones is None) != (self.method == "notebook"):
            raise ValueError(
                "zones must be null for method notebook, which draws without them, and given for method draw, "
                f"found {'null' if self.zones is None else 'shares'} with {self.method}"
            )
        if self.zones is None:
            return self
        if (self.zones.test == 0) != (self.test_file is not None):
            raise ValueError(
                "zones.test must be 0 where test_file names the test texts, and above 0 where it is null, "
                f"found {self.zones.test:g}"
            )
        if self.zones.dev == 0 and self.dev != 0:
            raise ValueError(
                f"dev must be 0 where zones.dev is 0, found {'null' if self.dev is None else self.dev}"
            )
        return self


# what a template of each kind of teacher consists of
FORMS = {
    "likelihood": (("chat", "answer"), ("plain",)),
    "entailment": (("hypothesis",),),
    "similarity": (("class_text",), ("class_text", "text")),
    "endpoint": (("plain",),),
}
Kind = Literal["likelihood", "entailment", "similarity", "endpoint"]


def told(form):
    return " and ".join(form)


class Template(Section):
    """One way to ask, in the form of its kind of teacher: see FORMS and params.yaml."""

    chat: Annotated[str, holds("{text}")] | None = None
    answer: Annotated[str, holds("{class}")] | None = None
    plain: Annotated[str, holds("{text}", "{class}")] | None = None
    hypothesis: Annotated[str, holds("{class}")] | None = None
    class_text: Text | None = None
    text: Annotated[str, holds("{text}")] | None = None

    @model_validator(mode="after")
    def one_form(self):
        forms = {form for forms in FORMS.values() for form in forms}
        if self.form not in forms:
            known = ", or ".join(told(form) for form in sorted(forms))
            raise ValueError(f"needs {known}; found {told(self.form) or 'nothing'}")
        if self.class_text and "{class}" not in self.class_text and not self.described:
            raise ValueError(f"class_text must hold {{class}} or {{description}}, found {self.class_text!r}")
        whole = self.plain or (self.chat or "") + (self.answer or "")
        if whole and whole.index("{text}") > whole.index("{class}"):
            raise ValueError("{text} must come before {class}")
        return self

    @property
    def form(self):
        """The keys that are given, in the order of FORMS."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def described(self):
        """Whether it asks for the description of a class."""
        return "{description}" in (self.class_text or "")


class Score(Section):
    kind: Kind
    templates: Annotated[list[Template], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=8)]
    long_text: Literal["cut", "parts"]
    overlap: Annotated[int, Field(ge=0)] | None
    precision: Precision

    @model_validator(mode="after")
    def distinct(self):
        for index, template in enumerate(self.templates):
            if template in self.templates[:index]:
                raise ValueError(f"templates must differ; number {index + 1} stands twice")
        return self

    @model_validator(mode="after")
    def of_one_kind(self):
        for index, template in enumerate(self.templates):
            if template.form not in FORMS[self.kind]:
                wanted = ", or ".join(told(form) for form in FORMS[self.kind])
                raise ValueError(
                    f"templates of kind {self.kind} need {wanted}; number {index + 1} has {told(template.form)}"
                )
        return self

    @model_validator(mode="after")
    def one_embedding(self):
        forms = sorted({template.text or "{text}" for template in self.templates})
        if len(forms) > 1:
            raise ValueError(f"templates of one teacher must have the same text, found {' and '.join(forms)}")
        return self

    @model_validator(mode="after")
    def long_texts(self):
        if (self.overlap is not None) != (self.long_text == "parts"):
            raise ValueError(
                "overlap must be a number with long_text: parts and null with long_text: cut, "
                f"found {self.overlap} with {self.long_text}"
            )
        if self.overlap is not None and self.overlap >= self.max_tokens:
            raise ValueError(f"overlap must be less than max_tokens {self.max_tokens}, found {self.overlap}")
        return self

    @model_validator(mode="after")
    def served(self):
        if self.kind == "endpoint" and self.precision != "auto":
            raise ValueError(
                f"precision must be auto for an endpoint, whose server chooses, found {self.precision}"
            )
        return self


class Label(Section):
    calibration: Literal["prior_matching", "none"]
    prior: Literal["uniform", "estimated"] | dict[str, Share]
    weights: Literal["equal", "agreement"]
    refine: Literal["auto", "always", "never"]
    temperature: Literal["pool"] | Annotated[Float, Field(gt=0)]

    @model_validator(mode="after")
    def fitting(self):
        if self.calibration == "none" and self.prior != "uniform":
            raise ValueError(
                f"prior must be uniform with calibration: none, which takes none, found {self.prior}"
            )
        return self


class Select(Section):
    coverage: Share
    review: Annotated[int, Field(ge=0)]


class Learning(Section):
    """How a model is fine-tuned: the student, and the assistant. base: its name under fetch.models."""

    base: Name
    targets: Literal["hard", "soft"]
    seed: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[Float, Field(gt=0, lt=1)]
    batch_size: Annotated[int, Field(ge=1)]
    warmup: Annotated[Float, Field(ge=0, lt=1)]
    weight_decay: Annotated[Float, Field(ge=0, lt=1)]
    max_tokens: Annotated[int, Field(ge=8)]
    precision: Precision


class Train(Learning):
    labels: Literal["teacher", "assistant"]


class Assist(Learning):
    folds: Annotated[int, Field(ge=2)]


class Export(Section):
    precision: Literal["int8", "float32"]


class Report(Section):
    show_texts: bool
    note: Text | None
    license: like(r"[a-z0-9][a-z0-9.+-]*", "a licence as model hubs spell it, such as apache-2.0") | None
    language: (
        Annotated[
            list[like(r"[a-z]{2,3}", "the code of a language (ISO 639), such as en")], Field(min_length=1)
        ]
        | None
    )


class Served(Section):
    concurrency: Annotated[int, Field(ge=1, le=256)]
    requests_per_minute: Annotated[int, Field(ge=1)] | None
    timeout_seconds: Annotated[Float, Field(gt=0)]
    retries: Annotated[int, Field(ge=0)]
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None


def without_keys(place):
    """An address without a user or a password: those would stand in every log."""
    if "://" in place and "@" in place.split("://")[1].split("/")[0]:
        raise ValueError("must be an address without user and password, which come from the environment")
    return place


class Runtime(Section):
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")]
    threads: Annotated[int, Field(ge=0)]
    engine: Literal["local", "ray"]
    store: Annotated[Text, AfterValidator(without_keys)]
    max_minutes: Annotated[Float, Field(gt=0)] | None
    endpoint: Served | None = None


class Params(Section):
    task: Task
    fetch: Fetch
    sample: Sample
    score: Annotated[dict[Name, Score], Field(min_length=1)]
    label: Label
    select: Select
    assist: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")], Assist], Field(max_length=1)]
    train: Train
    export: Export
    report: Report
    runtime: Runtime

    @model_validator(mode="after")
    def known_teachers(self):
        for name, score in self.score.items():
            if name not in self.fetch.models:
                raise ValueError(
                    f"score.{name}: must be named like a model of fetch.models ({', '.join(self.fetch.models)})"
                )
            self.fitting_teacher(name, score)
        return self

    def fitting_teacher(self, name, score):
        served = isinstance(self.fetch.models[name], Endpoint)
        if served != (score.kind == "endpoint"):
            raise ValueError(
                f"score.{name}.kind: must be endpoint where fetch.models.{name} is an endpoint, and there alone, "
                f"found {score.kind}"
            )
        if served and self.runtime.engine != "local":
            raise ValueError(f"runtime.engine: must be local for an endpoint, found {self.runtime.engine}")
        if served and self.runtime.endpoint is None:
            raise ValueError("runtime.endpoint: is missing; it says how an endpoint is asked")
        if any(template.described for template in score.templates):
            bare = [item.name for item in self.task.classes if item.description is None]
            if bare:
                raise ValueError(
                    f"task.classes: each needs a description, which a template asks for; {bare[0]!r} has none"
                )

    @model_validator(mode="after")
    def one_assistant(self):
        asked = "assistant" if self.assist else "teacher"
        if self.train.labels != asked:
            raise ValueError(
                f"train.labels: must be {asked} where assist "
                f"{'names one' if self.assist else 'is {}'}, found {self.train.labels}"
            )
        for place, settings in {
            "train": self.train,
            **{f"assist.{key}": one for key, one in self.assist.items()},
        }.items():
            if not isinstance(self.fetch.models.get(settings.base), Learner):
                raise ValueError(
                    f"{place}.base: must name a model of fetch.models that can be fine-tuned "
                    f"({', '.join(self.fetch.models)}), found {settings.base}"
                )
        if self.sample.more != 0 and not self.assist:
            raise ValueError(
                f"sample.more: must be 0 where assist is {{}}, since only an assistant labels them, found {self.sample.more}"
            )
        return self

    @model_validator(mode="after")
    def known_classes(self):
        gold = self.sample.gold
        places = {"label.prior": self.label.prior if isinstance(self.label.prior, dict) else {}}
        if gold is not None:
            places["sample.gold.ranges"] = gold.ranges or {}
            places["sample.gold.values"] = [name for name in (gold.values or {}).values() if name is not None]
        for place, names in places.items():
            for name in names:
                if name not in self.task.labels:
                    raise ValueError(
                        f"{place}: must name classes of task.classes ({', '.join(self.task.labels)}), found {name!r}"
                    )
        return self

    @model_validator(mode="after")
    def fitting_prior(self):
        prior = self.label.prior
        if self.task.multi_label and self.label.calibration == "prior_matching" and prior == "uniform":
            raise ValueError(
                "label.prior: must give every class the share of texts that have it, in (0, 1), for "
                f"prior_matching with task.multi_label, found {prior}; or set label.calibration to none"
            )
        if not isinstance(prior, dict):
            return self
        if set(prior) != set(self.task.names):
            raise ValueError(f"label.prior: must give every class a share, found {prior}")
        if not self.task.multi_label and not math.isclose(sum(prior.values()), 1, abs_tol=1e-6):
            raise ValueError(f"label.prior: must be in all 1, found {prior}")
        if max(prior.values()) >= 1:
            raise ValueError(f"label.prior: must be below 1 for each class, found {prior}")
        return self


def load(path=PATH):
    """params.yaml as Params. Raises UserError with one line that names key, rule and value."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text ({error})") from error
    return check(parse(text, path), path)


def parse(text, path):
    """The sections of a params file from its text; path: for messages. Raises UserError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "the file"
        raise UserError(f"{path}: {place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (ValueError, RecursionError) as error:  # a date that is none, brackets without an end
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold sections, found {type(data).__name__}")
    return data


def check(data, path):
    """Sections as Params; path: for messages. Raises UserError."""
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from error


def describe(error):
    """The first thing that pydantic found wrong, as key: rule, found value."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if str(part)[0] not in "<[")
    if first["type"] == "missing":
        return f"{key}: is missing"
    if first["type"] == "extra_forbidden":
        return f"{key}: is not a known parameter, found {first['input']!r}"
    rule, found = first["msg"].removeprefix("Value error, "), first["input"]
    if first["type"] != "value_error":
        rule = re.sub(r"^[A-Z]\w+ should ", "must ", rule).replace(" after validation", "")
        rule = re.sub(r" or instance of \w+", "", rule)
    told = isinstance(found, dict) or "found" in rule  # the rule names the value itself
    rule = f"{key}: {rule}" if key else rule
    return (
        rule
        if told
        else f"{rule}, found {len(found)} items"
        if isinstance(found, list)
        else f"{rule}, found {found!r}"
    )
