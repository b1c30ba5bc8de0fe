"""`sample`: how the files are read, and which texts are drawn."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nolabels.core.params.values import Float, Section, Share, Text


class Gold(Section):
    column: Text
    names: Literal[True] | None = None
    values: dict[str | int, str | None] | None = None
    ranges: dict[str, tuple[Float, Float]] | None = None

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, data: Any) -> Any:
        """YAML has no tuples."""
        if isinstance(data, dict) and isinstance(data.get("ranges"), dict):
            ranges = {
                key: tuple(item) if isinstance(item, list) else item for key, item in data["ranges"].items()
            }
            data = {**data, "ranges": ranges}
        return data

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if [self.names, self.values, self.ranges].count(None) != 2:
            raise ValueError("needs one of names, values and ranges")
        for name, (low, high) in (self.ranges or {}).items():
            if low > high:
                raise ValueError(f"range of {name!r} must run from low to high, found [{low}, {high}]")
        return self


class Zones(Section):
    """Shares of the hash range: which texts may be test, dev or pool (see nolabels/data/texts.py, hash_position)."""

    test: Annotated[Float, Field(ge=0, lt=1)]
    dev: Annotated[Float, Field(ge=0, lt=1)]
    pool: Annotated[Float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
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
    clusters: Annotated[int, Field(ge=0)]
    test: Annotated[int, Field(ge=1)] | None
    dev: Annotated[int, Field(ge=0)] | None
    near_duplicates: Literal["keep", "remove"]
    similarity: Share

    @model_validator(mode="after")
    def _format_and_method(self) -> Self:
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
    def _zones_and_sizes(self) -> Self:
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
