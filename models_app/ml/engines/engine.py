"""What every engine takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import Finish


@dataclass(frozen=True)
class GenerationRequest:
    text: str
    title: str = ""
    domain: str = ""
    max_words: int | None = (
        None  #: also a limit on the result; None asks for the release's `Decoding.max_words`
    )


@dataclass(frozen=True)
class Generation:
    text: str
    input_tokens: int  #: of the whole prompt
    output_tokens: int  #: as generated, before the text was cut to whole sentences
    total_text_tokens: int  #: of the article
    kept_text_tokens: int  #: of the article, that the model saw
    truncated: bool
    finish: Finish  #: "length": cut off by the token or the word limit
    #: 0–1: e to the mean log-probability of the tokens, as the decoder saw them; None for leading sentences
    confidence: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Capacity:
    """What an engine computes at once: for callers that gather requests before they call it."""

    replicas: int  #: calls that run side by side
    requests: int  #: of one call that are computed together
    tokens: int  #: padded input tokens of those


class Engine(Protocol):
    name: str
    precision: str

    @property
    def capacity(self) -> Capacity: ...

    def generate(
        self, requests: Sequence[GenerationRequest], *, prompt: PromptSpec, decoding: Decoding
    ) -> list[Generation]:
        """One per request, in the same order. Raises PromptTooLong where a prompt leaves no room for the article."""

    def close(self) -> None:
        """Gives the model's memory back; the engine can't be used afterwards."""
