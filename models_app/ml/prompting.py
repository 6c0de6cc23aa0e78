"""From an article to the token ids that a model reads, and from a summary to the ids it should write.

Training, evaluation and serving all come through here: a release sees in production what it saw in training.
Knows no torch: a tokenizer is anything with the few methods of `Tokenizer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, get_args
from weakref import WeakKeyDictionary

from models_app.ml.errors import PromptTooLong, UnsupportedModel
from models_app.texts.sentences import sentence_spans

PromptKind = Literal["prefix", "chat"]

#: What a template may ask for, and whether a system message may too.
VARIABLES: Mapping[str, str] = {
    "text": "the article, cut at a sentence end where it is too long",
    "title": "the article's title, empty where it has none",
    "max_words": "how many words the summary may have",
    "domain": "the article's domain, such as business",
}

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[a-z_]+")


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used here."""

    chat_template: Any
    eos_token_id: Any

    @property
    def all_special_tokens(self) -> Sequence[str]: ...
    def get_added_vocab(self) -> Mapping[str, int]: ...
    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...
    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...


@dataclass(frozen=True)
class PromptSpec:
    """`prefix`: the template alone is the model's input. `chat`: system and user message in the model's "
    "own chat format."""

    kind: PromptKind = "prefix"
    system: str = ""
    template: str = "{text}"

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PromptSpec:
        unknown = set(values) - {"kind", "system", "template"}
        if unknown:
            raise ValueError(f"A prompt has no field {', '.join(sorted(unknown))}.")
        spec = cls(**values)
        check_prompt(spec)
        return spec


@dataclass(frozen=True)
class EncodedSource:
    input_ids: list[int]
    total_text_tokens: int  #: of the whole article, without the prompt around it
    kept_text_tokens: int
    truncated: bool
    kept_chars: int  #: the model saw text[:kept_chars]


DEFAULT_PREFIX = PromptSpec("prefix", "", "summarize: {text}")
DEFAULT_TLDR = PromptSpec("prefix", "", "{text}\n\nTL;DR:")
DEFAULT_PLAIN = PromptSpec("prefix", "", "{text}")
DEFAULT_CHAT = PromptSpec("chat", "", "Summarize this news article in three short sentences.\n\n{text}")


def default_prompt(family: str) -> PromptSpec:
    """What each family's published checkpoints were trained to see."""
    return {"t5": DEFAULT_PREFIX, "llama": DEFAULT_CHAT, "gpt2": DEFAULT_TLDR}.get(family, DEFAULT_PLAIN)


def _parse(template: str) -> list[tuple[str, str]]:
    """Pieces as ("literal", text) or ("variable", name); raises ValueError with what is wrong."""
    pieces: list[tuple[str, str]] = []
    at = 0
    for match in _PIECE.finditer(template):
        pieces.append(("literal", template[at : match.start()]))
        at = match.end()
        token = match.group()
        if token in ("{{", "}}"):
            pieces.append(("literal", token[0]))
        elif match.group(1) is None:
            raise ValueError(
                f"A single “{token}” stands at character {match.start() + 1}; write “{token}{token}” to "
                "mean it."
            )
        elif not _NAME.fullmatch(match.group(1)) or match.group(1) not in VARIABLES:
            known = ", ".join("{" + name + "}" for name in VARIABLES)
            raise ValueError(
                f"Unknown variable “{token}”. A prompt may use {known}; write “{{{{” and “}}}}” for braces."
            )
        else:
            pieces.append(("variable", match.group(1)))
    pieces.append(("literal", template[at:]))
    return [piece for piece in pieces if piece[1]]


def variables(template: str) -> tuple[str, ...]:
    """Names used, in order, each once. Raises ValueError on an unknown one."""
    return tuple(dict.fromkeys(name for kind, name in _parse(template) if kind == "variable"))


def check_prompt(spec: PromptSpec) -> None:
    """Raises ValueError that says which variable is unknown or missing."""
    if spec.kind not in get_args(PromptKind):
        raise ValueError(f"A prompt is of kind prefix or chat, not “{spec.kind}”.")
    used = [name for kind, name in _parse(spec.template) if kind == "variable"]
    if used.count("text") != 1:
        raise ValueError(
            f"The template has to contain {{text}}, the article, exactly once; it has it "
            f"{used.count('text')} times."
        )
    if spec.kind == "prefix" and spec.system:
        raise ValueError("Only a chat prompt has a system message; put everything into the template.")
    if "text" in variables(spec.system):
        raise ValueError("The article {text} belongs into the template, not into the system message.")


def render(template: str, values: Mapping[str, str]) -> str:
    """Values are put in as they are: braces inside an article mean nothing."""
    return "".join(values[piece] if kind == "variable" else piece for kind, piece in _parse(template))


def encode_source(
    tokenizer: Tokenizer,
    family: str,
    spec: PromptSpec,
    *,
    text: str,
    title: str = "",
    domain: str = "",
    max_words: int = 60,
    max_input_tokens: int,
) -> EncodedSource:
    """The ids of the whole prompt, at most `max_input_tokens` of them.

    A text that is too long ends at the last sentence end that fits; where that would give away more than half
    of the room (a sentence of a thousand words), it ends at a word. Raises PromptTooLong where the prompt
    alone fills the input, UnsupportedModel where the family cannot read this kind of prompt.
    """
    defused = _without_control_tokens(tokenizer, text)
    values = {
        "title": _without_control_tokens(tokenizer, title),
        "domain": _without_control_tokens(tokenizer, domain),
        "max_words": str(max_words),
    }
    as_input = _prompt_encoder(tokenizer, family, spec, values)
    total = _length(tokenizer, defused)
    ids = as_input(defused) if total < max_input_tokens else []
    if ids and len(ids) <= max_input_tokens:
        return EncodedSource(ids, total, total, False, len(text))

    around = len(as_input(""))
    room = max_input_tokens - around
    if room < 1:
        raise PromptTooLong(
            f"The prompt without the article takes {around} of the {max_input_tokens} tokens that the "
            "model is given. "
            "Shorten the prompt or the title, or raise the maximum input length."
        )
    kept = _cut(tokenizer, defused, room)
    ids = as_input(defused[:kept])
    while len(ids) > max_input_tokens:  # tokens may merge differently beside the template than alone
        room -= len(ids) - max_input_tokens
        kept = _cut(tokenizer, defused, room) if room > 0 else 0
        ids = as_input(defused[:kept])
        if kept == 0:
            break
    return EncodedSource(ids, total, _length(tokenizer, defused[:kept]), kept < len(defused.rstrip()), kept)


def encode_target(
    tokenizer: Tokenizer, family: str, spec: PromptSpec, *, summary: str, max_target_tokens: int
) -> list[int]:
    """What the model should write: the summary, then the token that ends a generation."""
    text = _without_control_tokens(tokenizer, summary.strip())
    end = tokenizer.eos_token_id
    if family in ("gpt2", "llama"):
        # After a plain prompt the model goes on in running text, so the summary begins with a space unless
        # the template ended with one; a chat answer begins at once.
        if spec.kind == "prefix" and not spec.template[-1:].isspace():
            text = " " + text
        ids = tokenizer.encode(text, add_special_tokens=False)[: max_target_tokens - 1]
        return [*ids, end]
    ids = tokenizer.encode(text, add_special_tokens=True)
    if family in ("bert2bert", "prophetnet"):
        end = ids[-1]  # [SEP]; their tokenizers name no end of sequence
    if family == "bert2bert":
        ids = ids[1:]  # [CLS] is what decoding starts from
    if ids and ids[-1] == end:
        ids = ids[:-1]
    return [*ids[: max_target_tokens - 1], end]


def _prompt_encoder(
    tokenizer: Tokenizer, family: str, spec: PromptSpec, values: Mapping[str, str]
) -> Callable[[str], list[int]]:
    if spec.kind == "prefix":
        return lambda text: tokenizer.encode(
            render(spec.template, {**values, "text": text}), add_special_tokens=True
        )
    if family not in ("llama", "gpt2"):
        raise UnsupportedModel(
            f"A {family} model reads plain text; give it a prefix prompt instead of a chat prompt."
        )
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            "This model's tokenizer has no chat template, so a chat prompt cannot be put to it. "
            "Use a prefix prompt, or an instruct variant of the model."
        )

    def as_chat(text: str) -> list[int]:
        messages = [{"role": "user", "content": render(spec.template, {**values, "text": text})}]
        if spec.system:
            messages.insert(0, {"role": "system", "content": render(spec.system, values)})
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return tokenizer.encode(rendered, add_special_tokens=False)  # the chat template wrote them already

    return as_chat


def _length(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


def _without_control_tokens(tokenizer: Tokenizer, text: str) -> str:
    """An article that contains “<|im_end|>” or “</s>” must not end the prompt: the mark's first character
    becomes a space. Same length as before, so positions in the text stay valid.
    """
    for token in _control_tokens(tokenizer):
        if token in text:
            text = text.replace(token, " " + token[1:])
    return text


_CONTROL_TOKENS: WeakKeyDictionary[Tokenizer, tuple[str, ...]] = WeakKeyDictionary()


def _control_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    known = _CONTROL_TOKENS.get(tokenizer)
    if known is None:
        added = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        known = tuple(sorted(token for token in added if len(token) > 2 and token[0] in "<[{|(#@$"))
        _CONTROL_TOKENS[tokenizer] = known
    return known


def _cut(tokenizer: Tokenizer, text: str, room: int) -> int:
    """How many characters of the text to keep so that they are at most `room` tokens."""
    kept = used = 0
    for _, end in sentence_spans(text):
        length = _length(tokenizer, text[kept:end])
        if used + length > room:
            break
        kept, used = end, used + length
    if used * 2 >= room:
        return kept
    return max(kept, _cut_at_word(tokenizer, text, room))


def _cut_at_word(tokenizer: Tokenizer, text: str, room: int) -> int:
    low, high = 0, min(len(text), 4 * room)
    while high < len(text) and _length(tokenizer, text[:high]) <= room:
        low, high = high, min(len(text), 2 * high)
    while low < high:  # text[:low] fits; find the longest that does
        middle = (low + high + 1) // 2
        if _length(tokenizer, text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    if low == len(text) or text[low].isspace():
        return low
    space = max(text.rfind(mark, 0, low) for mark in " \n\t")
    return space if space > low // 2 else low
