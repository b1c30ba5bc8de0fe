"""Whether new texts are of another kind than those of a student's profile (nolabels.students.profile)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nolabels.students.profile import REST, SIGNALS

DRAWS = 9999
SIGNIFICANCE = 0.01  # of all signals together


@dataclass(frozen=True)
class Shift:
    """How one signal differs between N texts of a profile and M new ones.

    Attributes
    ----------
    signal : str
        One of SIGNALS.
    distance : float
        0 to 1. Of labels the share of texts that would need another one (total variation); of the others the largest
        difference between the shares of texts below any value (Kolmogorov-Smirnov).
    chance : float
        The distance that two samples of N and M texts from one source have on average.
    largest : float
        The distance that 99 % of such samples stay below.
    p : float
        Share of such samples that differ as much, corrected for the number of signals (Holm).
    where : str
        What differs most, for people.
    """

    signal: str
    distance: float
    chance: float
    largest: float
    p: float
    where: str

    def is_past(self, bar: float) -> bool:
        """Whether it is neither chance nor small: p below SIGNIFICANCE, the distance beyond chance above `bar`."""
        return self.p < SIGNIFICANCE and self.distance - self.chance > bar


def compare(profile: dict, counts: dict[str, Counter], seed: int = 0) -> list[Shift]:
    """The shift of each signal, in the order of SIGNALS.

    Parameters
    ----------
    profile : dict
        As `profile_of` makes it, of one text or more.
    counts : dict of str to Counter
        As `counts_of` makes them of the new texts, one or more.
    seed : int
        Of the samples that stand for chance.
    """
    draw, raw = np.random.default_rng(seed), []
    keys: Sequence
    for signal in SIGNALS:
        if signal == "labels":
            keys = [*profile["labels"], REST]
            old = np.array([*profile["labels"].values(), profile["rest"]])
        else:
            old = np.array(profile[signal]["counts"])
            keys = range(len(old))
        new = np.array([counts[signal][key] for key in keys])
        distance, chances = permuted(old, new, signal != "labels", draw)
        # as many draws as there are, and what was seen as one more: p is never 0
        p = (1 + (chances >= distance - 1e-12).sum()) / (1 + DRAWS)
        where = most(profile, signal, old / old.sum(), new / new.sum())
        raw.append((signal, distance, chances.mean(), np.quantile(chances, 0.99), p, where))
    corrected = holm([row[4] for row in raw])
    return [
        Shift(signal, float(distance), float(chance), float(largest), p, where)
        for (signal, distance, chance, largest, _, where), p in zip(raw, corrected, strict=True)
    ]


def distances(old: np.ndarray, new: np.ndarray, ordered: bool) -> np.ndarray:
    """Between histograms of the same K bars, ... x K counts: see Shift.distance."""
    difference = old / old.sum(-1, keepdims=True) - new / new.sum(-1, keepdims=True)
    if ordered:
        return np.abs(np.cumsum(difference, -1)).max(-1)
    return np.abs(difference).sum(-1) / 2


def permuted(old: np.ndarray, new: np.ndarray, ordered: bool, draw: np.random.Generator) -> tuple:
    """The distance, and those where the texts of both are dealt out anew, DRAWS numbers.

    Dealing out the texts behind two histograms is drawing without replacement from the sum of both, so that the
    texts themselves are not needed.
    """
    both = old + new
    dealt = draw.multivariate_hypergeometric(both, new.sum(), size=DRAWS, method="marginals")
    return distances(old, new, ordered), distances(both - dealt, dealt, ordered)


def holm(values: list[float]) -> list[float]:
    """p-values corrected for their number, in the same order (Holm 1979)."""
    corrected, highest = [1.0] * len(values), 0.0
    for rank, number in enumerate(np.argsort(values, kind="stable")):
        highest = max(highest, min(1.0, (len(values) - rank) * values[number]))
        corrected[number] = float(highest)
    return corrected


def most(profile: dict, signal: str, old: np.ndarray, new: np.ndarray) -> str:
    """Where a signal differs most; old, new: the share of each bar."""
    if signal == "labels":
        number = int(np.abs(old - new).argmax())
        name = [*profile["labels"], "other labels"][number]
        return f"{name}: {old[number]:.1%}, now {new[number]:.1%}"
    edges = profile[signal]["edges"]
    if not edges:
        return "too few texts, or all alike"
    before, now = np.cumsum(old)[:-1], np.cumsum(new)[:-1]
    number = int(np.abs(before - now).argmax())
    return f"below {edges[number]:g}: {before[number]:.1%}, now {now[number]:.1%}"
