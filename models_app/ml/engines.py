"""What writes summaries: leading sentences, transformers, or CTranslate2 on a converted model.

An engine holds one model and is safe to call from several threads. What it writes for a request does not depend on
which other requests are generated with it. A process that serves with CTranslate2 never imports torch, which would
cost it 230 MB and three seconds.
"""

from __future__ import annotations

import json
import math
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from models_app.ml.artefacts import WEIGHTS, Manifest, read_manifest
from models_app.ml.errors import MLError, UnsupportedModel
from models_app.ml.families import detect_family, load_model, load_tokenizer, position_limit, read_config
from models_app.ml.likelihoods import Likelihoods
from models_app.ml.prompting import EncodedSource, PromptSpec, encode_source
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import Finish, Stops, finished, stop_callback
from models_app.texts.sentences import sentence_spans

Backend = Literal["auto", "transformers", "ctranslate2"]

#: Where a conversion keeps the tokenizer that serves it.
TOKENIZER = "tokenizer"

# Padded input tokens that are computed together. On a CPU more gain nothing and cost memory: a prompt token of the
# starter takes about 0.3 MB while it is read.
_CPU_BATCH_TOKENS = {"encoder-decoder": 2048, "decoder-only": 640}
_CUDA_BATCH_TOKENS = 32768
_CPU_BATCH_EXAMPLES = 8
# CTranslate2 reads the prompts of a decoder-only batch at once up to the shortest, then token by token.
_SPREAD = 8


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
        """One per request, in their order. Raises PromptTooLong where a prompt leaves no room for the article."""

    def close(self) -> None:
        """Gives the model's memory back; the engine can't be used afterwards."""


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


@dataclass(frozen=True)
class _Source:
    ids: list[int]  #: of the whole prompt
    most_words: int | None = None  #: that what is written from it may have


@dataclass(frozen=True)
class _Limits:
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


class _ModelEngine(ABC):
    name: str

    def __init__(self, weights: Path, tokenizer: Any, *, precision: str, batch_tokens: int) -> None:
        self.precision = precision
        self.family = detect_family(weights)
        self._positions = position_limit(weights)
        self.special = _special_tokens(weights, self.family.name, tokenizer)
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
                _Source(source.input_ids, request.max_words)
                for source, request in zip(sources, requests, strict=True)
            ],
            decoding,
            limits,
        )
        return [self._generation(*parts) for parts in zip(requests, sources, written, strict=True)]

    def write(self, sources: Sequence[list[int]], decoding: Decoding) -> Sequence[Written]:
        """From token ids to token ids, without prompt or text."""
        return self._write([_Source(ids) for ids in sources], decoding, self._limits(decoding))

    def close(self) -> None:
        self._closed = True

    @property
    @abstractmethod
    def capacity(self) -> Capacity: ...

    @abstractmethod
    def _write(
        self, sources: Sequence[_Source], decoding: Decoding, limits: _Limits
    ) -> Sequence[Written]: ...

    def _limits(self, decoding: Decoding) -> _Limits:
        source, target = decoding.max_input_tokens, decoding.max_new_tokens
        if self._positions is None:
            return _Limits(source, target)
        if not self.decoder_only:
            return _Limits(min(source, self._positions), min(target, self._positions))
        room = self._positions - target
        if room < 1:
            raise UnsupportedModel(
                f"The model has {self._positions} positions for prompt and summary together, so it cannot write "
                f"{target} tokens. Lower max_new_tokens."
            )
        return _Limits(min(source, room), target)

    def _encode(
        self, request: GenerationRequest, prompt: PromptSpec, decoding: Decoding, limits: _Limits
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


class TransformersEngine(_ModelEngine):
    """Any family, on CPU or GPU, with transformers' own generate(). For what CTranslate2 cannot read."""

    name = "transformers"

    def __init__(
        self,
        weights: Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int = 1,
        batch_tokens: int | None = None,
    ) -> None:
        import torch

        budget = batch_tokens or (_CUDA_BATCH_TOKENS if device.startswith("cuda") else 2048)
        super().__init__(weights, load_tokenizer(weights), precision=dtype, batch_tokens=budget)
        if not device.startswith("cuda"):
            torch.set_num_threads(threads)
        self._device = device
        self._lock = threading.Lock()
        self.model = load_model(weights, device, dtype)

    @property
    def capacity(self) -> Capacity:
        return Capacity(1, _CPU_BATCH_EXAMPLES if self._device == "cpu" else 64, self._batch_tokens)

    def close(self) -> None:
        super().close()
        with self._lock:
            del self.model

    def _write(self, sources: Sequence[_Source], decoding: Decoding, limits: _Limits) -> Sequence[Written]:
        written: dict[int, Written] = {}
        for batch in _batches(sources, self._batch_tokens, 64, spread=None):
            with self._lock:
                texts = self._write_batch([sources[number] for number in batch], decoding, limits)
            written.update(zip(batch, texts, strict=True))
        return [written[number] for number in range(len(sources))]

    def _write_batch(self, sources: Sequence[_Source], decoding: Decoding, limits: _Limits) -> list[Written]:
        import torch

        width = max(len(source.ids) for source in sources)
        pad = self.tokenizer.pad_token_id
        # (batch, width), padded on the left for decoder-only models, whose answers grow to the right
        ids = torch.full((len(sources), width), pad)
        mask = torch.zeros((len(sources), width), dtype=torch.long)
        for row, source in enumerate(sources):
            length = len(source.ids)
            columns = slice(width - length, width) if self.decoder_only else slice(0, length)
            ids[row, columns] = torch.tensor(source.ids)
            mask[row, columns] = 1
        before = width if self.decoder_only else 1
        stops = Stops(self.tokenizer, before, _most_words(sources, decoding))
        likelihoods = Likelihoods(before, sources=len(sources), beams=decoding.beams, ends=self.special.ends)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                generation_config=self._configuration(decoding, limits),
                logits_processor=_processors(decoding, before, likelihoods),
                stopping_criteria=stops.criteria(),
            )
        texts = [row[before:length] for row, length in zip(output.tolist(), stops.lengths, strict=True)]
        written = [_until_end(text, self.special.ends) for text in texts]
        return [
            replace(one, log_probability=likelihoods.mean(number, text[: len(one.ids) + one.ended]))
            for number, (one, text) in enumerate(zip(written, texts, strict=True))
        ]

    def _configuration(self, decoding: Decoding, limits: _Limits) -> Any:
        """All of it from `decoding`: a base model's own generation settings must not leak into a release."""
        from transformers import GenerationConfig

        settings = {
            "do_sample": False,
            "max_new_tokens": limits.target,
            "min_new_tokens": min(decoding.min_new_tokens, limits.target) or None,
            "num_beams": decoding.beams,
            "eos_token_id": list(self.special.ends),
            "pad_token_id": self.tokenizer.pad_token_id,
        }
        if decoding.beams > 1:
            # As CTranslate2 does it: what is left after a token was ruled out sums to one again.
            settings.update(
                length_penalty=decoding.length_penalty, early_stopping=True, renormalize_logits=True
            )
        if not self.decoder_only:
            settings.update(
                decoder_start_token_id=self.special.start, forced_bos_token_id=self.special.forced_first
            )
        self.model.generation_config = GenerationConfig()
        return GenerationConfig(**settings)


def _processors(decoding: Decoding, before: int, likelihoods: Likelihoods) -> Any:
    """Against repetition within the summary (words of the article are what it should use, so they are not counted);
    last, how likely is what is chosen then."""
    from transformers import LogitsProcessorList
    from transformers.generation.logits_process import (
        LogitsProcessor,
        NoRepeatNGramLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
    )

    class OnWritten(LogitsProcessor):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            return self.inner(input_ids[:, before:], scores) if input_ids.shape[1] > before else scores

    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(OnWritten(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty)))
    if decoding.no_repeat_ngram:
        processors.append(OnWritten(NoRepeatNGramLogitsProcessor(decoding.no_repeat_ngram)))
    processors.append(likelihoods)
    return processors


class CTranslate2Engine(_ModelEngine):
    """A converted model: on a CPU `threads` replicas of one thread each, which share the weights."""

    name = "ctranslate2"

    def __init__(
        self,
        weights: Path,
        converted: Path,
        *,
        precision: str,
        device: str = "cpu",
        threads: int = 1,
        batch_tokens: int | None = None,
    ) -> None:
        _take_avx512()
        import ctranslate2
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast.from_pretrained(converted / TOKENIZER, local_files_only=True)
        kind = detect_family(weights).kind
        self._on_cpu = not device.startswith("cuda")
        budget = batch_tokens or (_CPU_BATCH_TOKENS[kind] if self._on_cpu else _CUDA_BATCH_TOKENS)
        super().__init__(weights, tokenizer, precision=precision, batch_tokens=budget)
        runner = ctranslate2.Generator if self.decoder_only else ctranslate2.Translator
        self._names = _vocabulary(converted, self.decoder_only)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self.runner = runner(
            str(converted),
            device=device,
            compute_type=precision,
            inter_threads=threads if self._on_cpu else 1,
            intra_threads=1,
            max_queued_batches=-1,
        )
        self._replicas = threads if self._on_cpu else 1

    @property
    def capacity(self) -> Capacity:
        # Prompts of a decoder-only model are computed together only where they are equally long, which they never are.
        requests = 1 if self._on_cpu and self.decoder_only else _CPU_BATCH_EXAMPLES if self._on_cpu else 64
        return Capacity(self._replicas, requests, self._batch_tokens)

    def close(self) -> None:
        super().close()
        self.runner.unload_model()

    def _write(self, sources: Sequence[_Source], decoding: Decoding, limits: _Limits) -> Sequence[Written]:
        examples = _CPU_BATCH_EXAMPLES if self._on_cpu else 64
        pending: list[tuple[int, Any]] = []
        for batch in _batches(sources, self._batch_tokens, examples, spread=self._spread(decoding)):
            results = self._submit([sources[number] for number in batch], decoding, limits)
            pending += zip(batch, results, strict=True)
        written = {number: self._written(result.result(), decoding) for number, result in pending}
        return [written[number] for number in range(len(sources))]

    def names(self, ids: Sequence[int]) -> list[str]:
        """What CTranslate2 calls these tokens."""
        return [self._names[number] for number in ids]

    def _spread(self, decoding: Decoding) -> int | None:
        """How much longer than the shortest prompt of a batch another may be."""
        if not self.decoder_only:
            return None
        # The rest of a longer prompt counts as written text: penalties, lengths and beam scores would see it.
        plain = decoding.beams == 1 and decoding.repetition_penalty == 1
        return _SPREAD if plain and not decoding.no_repeat_ngram and not decoding.min_new_tokens else 0

    def _submit(self, sources: Sequence[_Source], decoding: Decoding, limits: _Limits) -> Any:
        tokens = [self.names(source.ids) for source in sources]
        options: dict[str, Any] = {
            "asynchronous": True,
            "beam_size": decoding.beams,
            "length_penalty": decoding.length_penalty,
            "repetition_penalty": decoding.repetition_penalty,
            "no_repeat_ngram_size": decoding.no_repeat_ngram,
            "end_token": list(self.special.ends),
            "return_end_token": True,
            "return_scores": True,
            "callback": stop_callback(self.tokenizer, _most_words(sources, decoding)),
        }
        shortest = min(decoding.min_new_tokens, limits.target)
        if self.decoder_only:
            return self.runner.generate_batch(
                tokens,
                max_length=limits.target,
                min_length=shortest,
                include_prompt_in_result=False,
                **options,
            )
        first = self.special.forced_first
        prefix = [self.names([first])] * len(tokens) if first is not None else None
        return self.runner.translate_batch(
            tokens,
            target_prefix=prefix,
            max_input_length=0,
            max_decoding_length=limits.target,
            min_decoding_length=shortest,
            **options,
        )

    def _written(self, result: Any, decoding: Decoding) -> Written:
        ids = self._ids(result)
        until = _until_end(ids, self.special.ends)
        # Its score is the sum of the log-probabilities, divided by the length to the power of the penalty.
        mean = result.scores[0] * len(ids) ** decoding.length_penalty / len(ids) if ids else None
        return replace(until, log_probability=mean)

    def _ids(self, result: Any) -> list[int]:
        if self.decoder_only:
            return list(result.sequences_ids[0])
        return [self._numbers[name] for name in result.hypotheses[0]]


def _take_avx512() -> None:
    """CTranslate2 takes AVX-512 by itself on Intel only; on AMD's Zen 4 it is 7 to 10 % faster than AVX2."""
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        flags = next((line.split() for line in cpu.read_text().splitlines() if line.startswith("flags")), [])
        if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
            os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")  # read when its first model is loaded


def _vocabulary(converted: Path, decoder_only: bool) -> list[str]:
    path = converted / ("vocabulary.json" if decoder_only else "shared_vocabulary.json")
    return list(json.loads(path.read_text(encoding="utf-8")))


def _until_end(ids: Sequence[int], ends: Sequence[int]) -> Written:
    for position, token in enumerate(ids):
        if token in ends:
            return Written(list(ids[:position]), True)
    return Written(list(ids), False)


def _most_words(sources: Sequence[_Source], decoding: Decoding) -> list[int | None]:
    """While beams are compared none of them is the text yet, so that none can be stopped."""
    return [source.most_words if decoding.beams == 1 else None for source in sources]


def _batches(
    sources: Sequence[_Source], budget: int, examples: int, *, spread: int | None
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


def _special_tokens(weights: Path, family: str, tokenizer: Any) -> Special:
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


def load_engine(
    artefact_dir: Path,
    *,
    backend: Backend = "auto",
    threads: int = 1,
    device: str = "auto",
    batch_tokens: int | None = None,
) -> Engine:
    """The engine of an artefact. "auto" takes its conversion where it has one that suits the device.

    `batch_tokens`: padded input tokens computed together by each replica; None is sized so that a slot with the
    starter stays below 700 MB.
    """
    manifest = read_manifest(artefact_dir)
    weights = Path(artefact_dir) / WEIGHTS
    conversion = None if backend == "transformers" else _conversion(manifest, device)
    if conversion is not None:
        return CTranslate2Engine(
            weights,
            Path(artefact_dir) / conversion["path"],
            precision=conversion["precision"],
            device=_ctranslate2_device(device),
            threads=threads,
            batch_tokens=batch_tokens,
        )
    if backend == "ctranslate2":
        raise MLError(
            f"The artefact {Path(artefact_dir).name} has no conversion that CTranslate2 could serve on this device. "
            "Convert it again, or serve it with the transformers back end."
        )
    chosen = _torch_device(device)
    dtype = "bfloat16" if chosen.startswith("cuda") else "float32"
    return TransformersEngine(weights, device=chosen, dtype=dtype, threads=threads, batch_tokens=batch_tokens)


def _conversion(manifest: Manifest, device: str) -> Mapping[str, Any] | None:
    """float16 needs a GPU; int8 runs anywhere."""
    entries = [entry for entry in manifest.conversions if entry["engine"] == "ctranslate2"]
    on_gpu = bool(entries) and _ctranslate2_device(device).startswith("cuda")
    entries = [entry for entry in entries if on_gpu or entry["precision"] != "float16"]
    return max(entries, key=lambda entry: (entry["precision"] == "float16") == on_gpu, default=None)


def _ctranslate2_device(device: str) -> str:
    if device != "auto":
        return device
    import ctranslate2

    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def _torch_device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
