from __future__ import annotations

from collections.abc import Sequence

from models_app.ml.engines.engine import Capacity, Generation, GenerationRequest
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import finished
from models_app.texts.sentences import sentence_spans


class LeadEngine:
    """The first sentences of the article: the baseline that news summarizers have to beat. Tokens are words."""

    name = "lead"
    precision = "none"
    capacity = Capacity(replicas=1, requests=1, tokens=1)

    def __init__(self, sentences: int = 3) -> None:
        self.sentences = sentences

    def generate(
        self, requests: Sequence[GenerationRequest], *, prompt: PromptSpec, decoding: Decoding
    ) -> list[Generation]:
        return [self._lead(request) for request in requests]

    def _lead(self, request: GenerationRequest) -> Generation:
        spans = sentence_spans(request.text)[: self.sentences]
        lead = " ".join(" ".join(request.text[start:end].split()) for start, end in spans)
        text, finish = finished(lead, ended=True, max_words=request.max_words)
        words = len(request.text.split())
        return Generation(text, words, len(lead.split()), words, words, False, finish)

    def close(self) -> None:
        pass
