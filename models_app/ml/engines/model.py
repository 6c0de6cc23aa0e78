"""What engines of a model share: prompts into tokens, batches of a bounded size, texts of what was written."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models_app.ml.engines.engine import Capacity, Generation, GenerationRequest
from models_app.ml.errors import UnsupportedModel
from models_app.ml.families import detect_family, position_limit, read_config
from models_app.ml.prompting import EncodedSource, PromptSpec, encode_source
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import finished

# Padded input tokens that are computed together. On a CPU more gain nothing and cost memory: a prompt token of the
# starter takes about 0.3 MB while it is read.
CPU_BATCH_TOKENS = {"encoder-decoder": 2048, "decoder-only": 640}
CUDA_BATCH_TOKENS = 32768
CPU_BATCH_EXAMPLES = 8


@dataclass(frozen=True)
class Source:
    ids: list[int]  #: of the whole prompt
    most_words: int | None = None  #: that what is written from it may have


@dataclass(frozen=True)
class Limits:
    """Lengths in tokens that fit both the decoding settings and the model's positions."""

    source: int
    target: int


@dataclass(frozen=True)
class Written:
    ids: list[int]  #: without the end token
    ended: bool
    log_probability: float | None = field(
        default=None, compare=False
    )  #: mean per token, the end token among them


@dataclass(frozen=True)
class Special:
    """Token ids that steer generation, as the model's configuration has them."""

    ends: tuple[int, ...]
    start: int | None  #: what an encoder-decoder's decoder starts from
    forced_first: int | None


class ModelEngine(ABC):
    name: str

    def __init__(self, weights: Path, tokenizer: Any, *, precision: str, batch_tokens: int) -> None:
        self.precision = precision
        self.family = detect_family(weights)
        self._positions = position_limit(weights)
        self.special = special_tokens(weights, self.family.name, tokenizer)
        self.tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._closed = False

    @property
    def decoder_only(self) -> bool:
        return self.family.kind == "decoder-only"

    def generate(
        self, requests: Sequence[GenerationRequest], *, prompt: PromptSpec, decoding: Decoding
    ) -> list[Generation]:
        if self._closed:
            raise RuntimeError("This engine was closed.")
        limits = self._limits(decoding)
        sources = [self._encode(request, prompt, decoding, limits) for request in requests]
        written = self._write(
            [
                Source(source.input_ids, request.max_words)
                for source, request in zip(sources, requests, strict=True)
            ],
            decoding,
            limits,
        )
        return [self._generation(*parts) for parts in zip(requests, sources, written, strict=True)]

    def write(self, sources: Sequence[list[int]], decoding: Decoding) -> Sequence[Written]:
        """From token ids to token ids, without prompt or text."""
        return self._write([Source(ids) for ids in sources], decoding, self._limits(decoding))

    def close(self) -> None:
        self._closed = True

    @property
    @abstractmethod
    def capacity(self) -> Capacity: ...

    @abstractmethod
    def _write(self, sources: Sequence[Source], decoding: Decoding, limits: Limits) -> Sequence[Written]: ...

    def _limits(self, decoding: Decoding) -> Limits:
        source, target = decoding.max_input_tokens, decoding.max_new_tokens
        if self._positions is None:
            return Limits(source, target)
        if not self.decoder_only:
            return Limits(min(source, self._positions), min(target, self._positions))
        room = self._positions - target
        if room < 1:
            raise UnsupportedModel(
                f"The model has {self._positions} positions for prompt and summary together, so it cannot write "
                f"{target} tokens. Lower max_new_tokens."
            )
        return Limits(min(source, room), target)

    def _encode(
        self, request: GenerationRequest, prompt: PromptSpec, decoding: Decoding, limits: Limits
    ) -> EncodedSource:
        return encode_source(
            self.tokenizer,
            self.family.name,
            prompt,
            text=request.text,
            title=request.title,
            domain=request.domain,
            max_words=request.max_words or decoding.max_words,
            max_input_tokens=limits.source,
        )

    def _generation(self, request: GenerationRequest, source: EncodedSource, written: Written) -> Generation:
        text = self.tokenizer.decode(written.ids, skip_special_tokens=True)
        if self.family.name == "pegasus":
            text = text.replace("<n>", "\n")  # how its published checkpoints write a line's end
        text, finish = finished(text, ended=written.ended, max_words=request.max_words)
        return Generation(
            text=text,
            input_tokens=len(source.input_ids),
            output_tokens=len(written.ids),
            total_text_tokens=source.total_text_tokens,
            kept_text_tokens=source.kept_text_tokens,
            truncated=source.truncated,
            finish=finish,
            confidence=None
            if written.log_probability is None
            else min(1.0, math.exp(written.log_probability)),
        )


def until_end(ids: Sequence[int], ends: Sequence[int]) -> Written:
    for position, token in enumerate(ids):
        if token in ends:
            return Written(list(ids[:position]), True)
    return Written(list(ids), False)


def most_words(sources: Sequence[Source], decoding: Decoding) -> list[int | None]:
    """While beams are compared none of them is the text yet, so that none can be stopped."""
    return [source.most_words if decoding.beams == 1 else None for source in sources]


def batches(
    sources: Sequence[Source], budget: int, examples: int, *, spread: int | None
) -> Iterator[list[int]]:
    """Positions, longest first, in groups of at most `examples` whose padded size is within the budget."""
    lengths = [len(source.ids) for source in sources]
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        longest = lengths[batch[0]] if batch else 0
        full = len(batch) == examples or longest * (len(batch) + 1) > budget
        apart = spread is not None and longest - lengths[number] > spread
        if batch and (full or apart):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def special_tokens(weights: Path, family: str, tokenizer: Any) -> Special:
    config: Mapping[str, Any] = read_config(weights)
    path = weights / "generation_config.json"
    generation = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def find(name: str) -> Any:
        value = generation.get(name)
        return config.get(name) if value is None else value

    ends = find("eos_token_id")
    ends = list(ends) if isinstance(ends, list) else [ends]
    if family == "bert2bert":
        ends.append(tokenizer.sep_token_id)
        start = tokenizer.cls_token_id
    else:
        ends.append(tokenizer.eos_token_id)
        start = None
    found = find("decoder_start_token_id")
    known = tuple(dict.fromkeys(end for end in ends if end is not None))
    if not known:
        raise UnsupportedModel("The model names no token that ends a text (eos_token_id in its config.json).")
    return Special(known, start if found is None else found, find("forced_bos_token_id"))
