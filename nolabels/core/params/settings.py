"""The sections of the other stages, and `runtime`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nolabels.core.params.values import Float, Name, Precision, Section, Share, Text, matching


class Label(Section):
    calibration: Literal["prior_matching", "none"]
    prior: Literal["auto", "uniform", "estimated"] | dict[str, Share]
    weights: Literal["equal", "agreement"]
    refine: Literal["auto", "always", "answers", "never"]
    temperature: Literal["pool"] | Annotated[Float, Field(gt=0)]

    @model_validator(mode="after")
    def _prior_of_calibration(self) -> Self:
        if self.calibration == "none" and self.prior not in ("auto", "uniform"):
            raise ValueError(
                f"prior must be auto or uniform with calibration: none, which takes none, found {self.prior}"
            )
        return self


class Select(Section):
    keep_fraction: Share
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
    compare_to: Text | None = None
    license: (
        Annotated[
            str, matching(r"[a-z0-9][a-z0-9.+-]*", "a licence as model hubs spell it, such as apache-2.0")
        ]
        | None
    )
    language: (
        Annotated[
            list[Annotated[str, matching(r"[a-z]{2,3}", "the code of a language (ISO 639), such as en")]],
            Field(min_length=1),
        ]
        | None
    )


class Served(Section):
    concurrency: Annotated[int, Field(ge=1, le=256)]
    requests_per_minute: Annotated[int, Field(ge=1)] | None
    timeout_seconds: Annotated[Float, Field(gt=0)]
    retries: Annotated[int, Field(ge=0)]
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None


def _without_password(address: str) -> str:
    """An address without a user or a password: those would stand in every log."""
    if "://" in address and "@" in address.split("://")[1].split("/")[0]:
        raise ValueError("must be an address without user and password, which come from the environment")
    return address


class Runtime(Section):
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")]
    threads: Annotated[int, Field(ge=0)]
    engine: Literal["local", "ray"]
    store: Annotated[Text, AfterValidator(_without_password)]
    max_minutes: Annotated[Float, Field(gt=0)] | None
    endpoint: Served | None = None
