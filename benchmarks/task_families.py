"""Which texts of tasks with the same sentences resemble each other's test texts."""

import re

import numpy as np

from nolabels.data.texts import hash_position


def zone_of(identifier, zones):
    """test, dev or pool; zones: {name: share of the hash range}, in the order in which it is cut."""
    place, end = hash_position(identifier), 0.0
    for name, share in zones.items():
        end += share
        if place < end:
            return name
    return name


def words_of(text):
    """The words of a text in a form that forgives how it was cut into tokens.

    Small ASCII letters and digits alone, since sources spell others in different ways; brackets of the Penn
    Treebank go, and its "n't" is a word of its own everywhere.
    """
    text = re.sub(r"-[lr]rb-", " ", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    text = re.sub(r"n't\b", " n't", re.sub(r"[^\x00-\x7f]", "", text))
    return re.findall(r"[a-z0-9]+", text)


def runs(words):
    """Every run of words, written together: "can not" and "cannot" are one."""
    for start in range(len(words)):
        run = ""
        for word in words[start:]:
            run += word
            yield run


def related(texts, tests):
    """Which of N texts are, contain or are contained in one of the test texts, by whole words: N bool.

    A text is looked up in the set of all runs of the test texts, and its own runs among the whole test texts,
    so the time grows with the texts alone. One without any letter or digit counts as contained.
    """
    tests = [words_of(text) for text in tests]
    whole, inside = {"".join(words) for words in tests} - {""}, {""}
    for words in tests:
        inside.update(runs(words))
    return np.array(
        [
            "".join(words) in inside or any(run in whole for run in runs(words))
            for words in map(words_of, texts)
        ],
        bool,
    )


def left_out(sources, zones):
    """{name: {id: text}} of one family -> {name: ids that are in none of its tasks' pools and devs}.

    Those outside the test zone that are related to a text in the test zone of any of the sources.
    """
    tests = [
        text for texts in sources.values() for key, text in texts.items() if zone_of(key, zones) == "test"
    ]
    found = {}
    for name, texts in sources.items():
        others = [key for key in texts if zone_of(key, zones) != "test"]
        near = related([texts[key] for key in others], tests)
        found[name] = {key for key, out in zip(others, near, strict=True) if out}
    return found


def shared(sources):
    """{name: {other: how many of the texts of name are texts of the other too}}, but for how they are cut into tokens.

    sources: {name: {id: text}}. Others with none are not named.
    """
    forms = {
        name: {"".join(words_of(text)) for text in texts.values()} - {""} for name, texts in sources.items()
    }
    return {
        name: {other: len(own & theirs) for other, theirs in forms.items() if other != name and own & theirs}
        for name, own in forms.items()
    }
