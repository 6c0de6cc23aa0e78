"""Turns an artefact's weights into a CTranslate2 model, and proves that it computes the same.

The proof runs on the float32 conversion, which has to agree with transformers in greedy search, beam search and the
log-probability of every token; the artefact is served quantized, so how far that moves is measured and recorded.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from models_app.ml.artefacts import WEIGHTS, read_manifest, record_conversion
from models_app.ml.engines import TOKENIZER, CTranslate2Engine, TransformersEngine, Written
from models_app.ml.families import (
    Family,
    detect_family,
    load_model,
    load_tokenizer,
    position_limit,
    read_config,
)
from models_app.ml.prompting import PromptSpec, default_prompt, encode_source
from models_app.ml.recipe import Decoding
from models_app.ml.storage import disk_errors, require_room

Precision = Literal["auto", "int8", "float16", "float32"]

CONVERTIBLE = ("t5", "bart", "pegasus", "gpt2", "llama")
#: Of these families, what CTranslate2 has a loader for.
_MODEL_TYPES = ("t5", "mt5", "umt5", "bart", "pegasus", "gpt2", "llama", "mistral", "qwen2", "qwen3", "phi3")

#: What float32 may differ by, in natural log, per token: rounding, nothing else.
TOLERANCE = 1e-3

_NEW_TOKENS = 16
_GREEDY = Decoding(max_new_tokens=_NEW_TOKENS, min_new_tokens=4)
_BEAM = Decoding(max_new_tokens=_NEW_TOKENS, min_new_tokens=4, beams=4)
_PROBES = (
    "The city council voted on Tuesday to reopen the old library after two years of repairs. The mayor said the work "
    "cost 4.2 million dollars, a tenth less than planned. A reading room for children will open in May.",
    "Heavy rain closed the bridge over the river for the third time this month. Police asked drivers to use the "
    "northern road, and schools on the east bank sent pupils home at noon. Engineers will inspect the piers on Friday. "
    "“We don't expect it to open again before the weekend,” said Anna Bell, who heads the road office. Shops near the "
    "bridge have lost about thirty percent of their trade since the first closure, the chamber of commerce said.",
    "Rovers beat United 3-1.",
)


@dataclass(frozen=True)
class Conversion:
    engine: str
    precision: str
    path: str  #: inside the artefact
    parity: Mapping[str, Any]


class _Unreadable(Exception):
    pass


def convert(artefact_dir: Path, precision: Precision = "auto") -> Conversion | None:
    """Adds a CTranslate2 conversion to the artefact and its manifest; "auto" is int8, or float16 with a GPU.

    Returns None where the model cannot be served that way; the manifest then names the transformers engine, with the
    reason. Raises OutOfDisk.
    """
    artefact_dir = Path(artefact_dir)
    weights = artefact_dir / WEIGHTS
    family = detect_family(weights)
    reason = _obstacle(family, read_config(weights))
    if reason is None:
        chosen = _choose(precision)
        require_room(artefact_dir, 9 * read_manifest(artefact_dir).parameters, "Converting the model")
        with _workplace(artefact_dir) as work, disk_errors(artefact_dir):
            try:
                parity = _convert_and_compare(weights, family, chosen, work)
                reason = parity.get("refused")
            except _Unreadable as unreadable:
                reason = str(unreadable)
            if reason is None:
                return _put_in_place(artefact_dir, work / chosen, chosen, parity)
    refusal = {"engine": "transformers", "precision": "float32", "path": WEIGHTS, "reason": reason}
    record_conversion(artefact_dir, refusal)
    return None


def _obstacle(family: Family, config: Mapping[str, Any]) -> str | None:
    if family.name not in CONVERTIBLE:
        return f"CTranslate2 cannot run {family.name} models; transformers serves them."
    if config["model_type"] not in _MODEL_TYPES:
        return f"CTranslate2 cannot run models of type {config['model_type']}; transformers serves them."
    return None


def _choose(precision: Precision) -> str:
    import ctranslate2

    if precision != "auto":
        return precision
    return "float16" if ctranslate2.get_cuda_device_count() else "int8"


@contextmanager
def _workplace(artefact_dir: Path) -> Iterator[Path]:
    """Inside the artefact, so that the result can be renamed into place; leftovers of a killed process go first."""
    work = artefact_dir / ".converting"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(artefact_dir: Path, made: Path, precision: str, parity: Mapping[str, Any]) -> Conversion:
    path = f"ct2-{precision}"
    shutil.rmtree(artefact_dir / path, ignore_errors=True)
    made.replace(artefact_dir / path)
    conversion = Conversion("ctranslate2", precision, path, parity)
    record_conversion(artefact_dir, asdict(conversion))
    return conversion


def _convert_and_compare(weights: Path, family: Family, precision: str, work: Path) -> dict[str, Any]:
    """Writes `work`/<precision>. The result has "refused", with the reason, where float32 is not the same.

    One copy of the model at a time, as far as comparing allows.
    """
    tokenizer = load_tokenizer(weights)
    if not getattr(tokenizer, "is_fast", False):
        return {"refused": "Its tokenizer has no fast version, which serving without torch needs."}
    _write_model(weights, tokenizer, family, "float32", work / "float32")
    with (
        closing(TransformersEngine(weights)) as reference,
        closing(CTranslate2Engine(weights, work / "float32", precision="float32")) as exact,
    ):
        sources = _probe_sources(reference, weights)
        greedy = reference.write(sources, _GREEDY)
        targets = [_with_end(written, reference) for written in greedy]
        scores = _reference_logprobs(reference, sources, targets)
        beam, found = reference.write(sources, _BEAM), exact.write(sources, _BEAM)
        parity: dict[str, Any] = {
            "probes": len(sources),
            "tokenizer": _same_tokenizer(tokenizer, exact.tokenizer),
            "greedy": _equal(greedy, exact.write(sources, _GREEDY)),
            "beam": _equal(beam, found),
            "beam_score": _score_loss(reference, sources, beam, found),
            "logprob": _largest(scores, _logprobs(exact, sources, targets)),
            "tolerance": TOLERANCE,
        }
    parity |= _refusal(parity)
    if "refused" not in parity and precision != "float32":
        _write_model(weights, tokenizer, family, precision, work / precision)
        device = "cuda" if precision == "float16" else "cpu"
        with closing(
            CTranslate2Engine(weights, work / precision, precision=precision, device=device)
        ) as served:
            parity[precision] = _distance(served, sources, greedy, targets, scores)
    return parity


def _refusal(parity: Mapping[str, Any]) -> dict[str, str]:
    """Searches may part where two tokens are equally likely; then what they found has to be equally likely too."""
    wrong = []
    if not parity["tokenizer"]:
        wrong.append("the tokenizer")
    if not parity["logprob"] <= TOLERANCE:
        wrong.append(f"log-probabilities (by up to {parity['logprob']:.2g})")
    if not parity["beam_score"] <= TOLERANCE:
        wrong.append(f"beam search (worse by {parity['beam_score']:.2g})")
    if not wrong:
        return {}
    return {"refused": f"The CTranslate2 conversion differs from transformers in {' and '.join(wrong)}."}


def _probe_sources(reference: TransformersEngine, weights: Path) -> list[list[int]]:
    prompt = default_prompt(reference.family.name)
    if prompt.kind == "chat" and not reference.tokenizer.chat_template:
        prompt = PromptSpec("prefix", "", "{text}")
    longest = min(256, position_limit(weights) or 256)
    if reference.decoder_only:
        longest -= _NEW_TOKENS
    return [
        encode_source(
            reference.tokenizer, reference.family.name, prompt, text=text, max_input_tokens=longest
        ).input_ids
        for text in _PROBES
    ]


def _with_end(written: Written, engine: TransformersEngine) -> list[int]:
    return [*written.ids, engine.special.ends[0]] if written.ended else written.ids


def _reference_logprobs(
    engine: TransformersEngine, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[list[float]]:
    """Natural logs of each target token's probability after the source and the tokens before it."""
    import torch

    found = []
    for source, target in zip(sources, targets, strict=True):
        with torch.inference_mode():
            if engine.decoder_only:
                ids = torch.tensor([[*source, *target]])
                logits = engine.model(input_ids=ids).logits[0, len(source) - 1 : -1]
            else:
                before = torch.tensor([[engine.special.start, *target[:-1]]])
                logits = engine.model(input_ids=torch.tensor([source]), decoder_input_ids=before).logits[0]
            scores = logits.float().log_softmax(-1)  # (target, vocabulary)
        found.append(scores.gather(1, torch.tensor(target)[:, None])[:, 0].tolist())
    return found


def _logprobs(
    engine: CTranslate2Engine, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[list[float]]:
    found = []
    for source, target in zip(sources, targets, strict=True):
        if engine.decoder_only:
            (result,) = engine.runner.score_batch([engine.names([*source, *target])], max_input_length=0)
            found.append(list(result.log_probs)[len(source) - 1 :][: len(target)])
        else:
            ended = target[-1] in engine.special.ends  # scoring adds the end itself
            (result,) = engine.runner.score_batch(
                [engine.names(source)], [engine.names(target[:-1] if ended else target)], max_input_length=0
            )
            found.append(list(result.log_probs)[: len(target)])
    return found


def _largest(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> float:
    return max(
        abs(a - b)
        for left, right in zip(expected, found, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def _equal(expected: Sequence[Written], found: Sequence[Written]) -> int:
    return sum(left == right for left, right in zip(expected, found, strict=True))


def _score_loss(
    engine: TransformersEngine,
    sources: Sequence[list[int]],
    expected: Sequence[Written],
    found: Sequence[Written],
) -> float:
    """By how much the converted model's beam answers are less likely per token, in the reference's eyes."""
    losses = [0.0]
    for source, *answers in zip(sources, expected, found, strict=True):
        if answers[0] != answers[1]:
            targets = [_with_end(answer, engine) for answer in answers]
            best, other = (sum(row) / len(row) for row in _reference_logprobs(engine, [source] * 2, targets))
            losses.append(best - other)
    return max(losses)


def _same_tokenizer(reference: Any, served: Any) -> bool:
    """Transformers' class for the architecture against the plain fast tokenizer that serves."""
    texts = [*_PROBES, "Zürich, 12 €: “naïve”\n\ttwo  spaces 中文 🙂 e-mail@example.org"]
    return all(
        reference.encode(text, add_special_tokens=special) == served.encode(text, add_special_tokens=special)
        and reference.decode(reference.encode(text), skip_special_tokens=True)
        == served.decode(served.encode(text), skip_special_tokens=True)
        for text in texts
        for special in (True, False)
    )


def _distance(
    engine: CTranslate2Engine,
    sources: Sequence[list[int]],
    greedy: Sequence[Written],
    targets: Sequence[list[int]],
    scores: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """How far quantization moved the model; its summaries are evaluated as they are, so nothing is refused here."""
    found = engine.write(sources, _GREEDY)
    logprobs = _logprobs(engine, sources, targets)
    pairs = [pair for rows in zip(scores, logprobs, strict=True) for pair in zip(*rows, strict=True)]
    return {
        "greedy": _equal(greedy, found),
        "logprob_mean": sum(abs(a - b) for a, b in pairs) / len(pairs),
        "logprob_largest": max(abs(a - b) for a, b in pairs),
    }


def _write_model(weights: Path, tokenizer: Any, family: Family, precision: str, out_dir: Path) -> None:
    from ctranslate2.converters.transformers import _MODEL_LOADERS
    from ctranslate2.specs.model_spec import OPTIONAL

    model = load_model(weights)  # afresh: loaders take models apart
    config = model.config
    if family.name in (
        "bart",
        "pegasus",
    ):  # fixed in transformers' code, so newer configurations leave it out
        config.normalize_before = family.name == "pegasus"
        config.normalize_embedding = family.name == "bart"
    loader = _MODEL_LOADERS[type(config).__name__]
    gc.freeze()  # the Llama loader collects garbage after each layer: half a second each, without this
    try:
        spec = loader(model, _Vocabulary(tokenizer, config.vocab_size))
        if family.name == "t5":
            # transformers 5 says of every T5 that its embeddings are tied, and the loader takes that for the older
            # T5 architecture, whose outputs are scaled.
            spec.decoder.scale_outputs = config.d_model**-0.5 if _scales_outputs(config) else OPTIONAL
        spec.validate()
    except MemoryError:
        raise
    except Exception as error:  # what a loader raises on a variant that it does not know is anything
        raise _Unreadable(f"CTranslate2 cannot read this model ({type(error).__name__}: {error}).") from error
    finally:
        gc.unfreeze()
    spec.optimize(quantization=precision)
    out_dir.mkdir()
    spec.save(str(out_dir))
    tokenizer.save_pretrained(out_dir / TOKENIZER)


def _scales_outputs(config: Any) -> bool:
    if config.model_type == "mt5":
        return False
    return bool(config.scale_decoder_outputs if config.model_type == "t5" else config.tie_word_embeddings)


class _Vocabulary:
    """A tokenizer whose vocabulary has exactly one name for each row of the embeddings."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self._tokenizer = tokenizer
        names = {number: name for name, number in tokenizer.get_vocab().items()}
        self._names = {names.get(number, f"<unused_{number}>"): number for number in range(size)}

    def get_vocab(self) -> dict[str, int]:
        return self._names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)
