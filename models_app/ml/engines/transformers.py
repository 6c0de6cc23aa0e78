from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models_app.ml.engines.engine import Capacity
from models_app.ml.engines.model import (
    CPU_BATCH_EXAMPLES,
    CUDA_BATCH_TOKENS,
    Limits,
    ModelEngine,
    Source,
    Written,
    batches,
    most_words,
    until_end,
)
from models_app.ml.families import load_model, load_tokenizer
from models_app.ml.likelihoods import Likelihoods
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import Stops


class TransformersEngine(ModelEngine):
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

        budget = batch_tokens or (CUDA_BATCH_TOKENS if device.startswith("cuda") else 2048)
        super().__init__(weights, load_tokenizer(weights), precision=dtype, batch_tokens=budget)
        if not device.startswith("cuda"):
            torch.set_num_threads(threads)
        self._device = device
        self._lock = threading.Lock()
        self.model = load_model(weights, device, dtype)

    @property
    def capacity(self) -> Capacity:
        return Capacity(1, CPU_BATCH_EXAMPLES if self._device == "cpu" else 64, self._batch_tokens)

    def close(self) -> None:
        super().close()
        with self._lock:
            del self.model

    def _write(self, sources: Sequence[Source], decoding: Decoding, limits: Limits) -> Sequence[Written]:
        written: dict[int, Written] = {}
        for batch in batches(sources, self._batch_tokens, 64, spread=None):
            with self._lock:
                texts = self._write_batch([sources[number] for number in batch], decoding, limits)
            written.update(zip(batch, texts, strict=True))
        return [written[number] for number in range(len(sources))]

    def _write_batch(self, sources: Sequence[Source], decoding: Decoding, limits: Limits) -> list[Written]:
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
        stops = Stops(self.tokenizer, before, most_words(sources, decoding))
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
        written = [until_end(text, self.special.ends) for text in texts]
        return [
            replace(one, log_probability=likelihoods.mean(number, text[: len(one.ids) + one.ended]))
            for number, (one, text) in enumerate(zip(written, texts, strict=True))
        ]

    def _configuration(self, decoding: Decoding, limits: Limits) -> Any:
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
