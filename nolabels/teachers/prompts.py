"""Templates as prompts of a language model: what stands before a text, behind it, and the class words' tokens."""

from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from nolabels.core.params import Template
from nolabels.core.stage import UserError

SENTINEL = "\u2402TEXT\u2403"


@dataclass(frozen=True)
class Prompt:
    """One template, rendered: `head` + text + `tail`, then one of `words`.

    Attributes
    ----------
    head, tail : str
        What stands before the text and behind it.
    words : tuple of tuple of int
        Token ids of the words of K classes.
    special : bool
        Whether the tokenizer adds its own special tokens; a chat form holds them already.
    """

    head: str
    tail: str
    words: tuple[tuple[int, ...], ...]
    special: bool


def render(template: Template, words: list[str], tokenizer: PreTrainedTokenizerBase, setting: str) -> Prompt:
    """The prompt of a template.

    Parameters
    ----------
    template : Template
        With plain, or with chat and answer.
    words : list of str
        The words of K classes.
    tokenizer : transformers.PreTrainedTokenizerBase
        Of the model.
    setting : str
        Where the templates stand in params.yaml, for messages.

    Raises
    ------
    UserError
        Where the tokenizer has no chat form, or joins class words to what stands before them.
    """
    if template.plain is not None:
        head, after = template.plain.split("{text}")
        tail, special = after, True
    else:
        assert template.chat is not None and template.answer is not None  # Template sees to it
        if tokenizer.chat_template is None:
            raise UserError(
                f"params.yaml: {setting}: a chat template needs a teacher with a chat form; "
                "this teacher's tokenizer has none (use plain)"
            )
        question = template.chat.replace("{text}", SENTINEL)
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        head, after = cast(str, rendered).split(SENTINEL)  # text, since tokenize is False
        tail, special = after + template.answer, False
    tail, end = tail.split("{class}")
    start = tail.rstrip()
    space = tail[len(start) :]
    anchor = start or "."
    base = token_ids(tokenizer, [anchor], special=False)[0]
    ids = []
    for word in words:
        whole = token_ids(tokenizer, [anchor + space + word + end], special=False)[0]
        if whole[: len(base)] != base or len(whole) == len(base):
            raise UserError(
                f"params.yaml: {setting}: {{class}} must be a word of its own; the tokenizer "
                f"joins {word!r} to what stands before it in {template.plain or template.answer!r}"
            )
        ids.append(tuple(whole[len(base) :]))
    return Prompt(head, start, tuple(ids), special)


def token_ids(tokenizer: PreTrainedTokenizerBase, strings: list[str], special: bool) -> list[list[int]]:
    """Token ids of some strings.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Of the model.
    strings : list of str
        N strings.
    special : bool
        Whether the tokenizer adds its special tokens.
    """
    return tokenizer(strings, add_special_tokens=special, verbose=False)["input_ids"]
