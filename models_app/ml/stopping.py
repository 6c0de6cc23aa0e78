"""Where a text that is generated ends because of the words that its request may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from models_app.texts.sentences import ends_sentence, sentence_spans

if TYPE_CHECKING:
    from ctranslate2 import GenerationStepResult

Finish = Literal["stop", "length"]


def finished(text: str, *, ended: bool, max_words: int | None) -> tuple[str, Finish]:
    """A generated text as it is shown: whole sentences where there is at least one, and at most `max_words` words.

    `ended` says that the model ended it itself; else an unfinished last sentence is dropped.
    """
    text = text.strip()
    spans = sentence_spans(text)
    if not ended and len(spans) > 1 and not ends_sentence(text):
        text = text[: spans[-2][1]]
    if max_words is not None and len(text.split()) > max_words:
        return _within(text, max_words), "length"
    return text, "stop" if ended else "length"


def _within(text: str, max_words: int) -> str:
    kept = 0
    for _, end in sentence_spans(text):
        if len(text[:end].split()) > max_words:
            break
        kept = end
    if kept:
        return text[:kept]
    return " ".join(text.split()[:max_words]).rstrip(" ,;:–—-") + "…"


def _enough(tokenizer: Any, ids: Sequence[int], most_words: int | None) -> bool:
    """Whether `finished` makes the same of every text that begins with these tokens.

    That is so once the word after the first one too many has begun: where the sentences before it end is then known.
    A token is never more than a word, so that few tokens need not be read.
    """
    if most_words is None or len(ids) < most_words + 2:
        return False
    return len(tokenizer.decode(ids, skip_special_tokens=True).split()) > most_words + 1


class Stops:
    """Ends each text of a batch, which begins at token `before`, once it has all the words that it may have."""

    def __init__(self, tokenizer: Any, before: int, most_words: Sequence[int | None]) -> None:
        self._tokenizer = tokenizer
        self._before = before
        self._most_words = most_words
        self.lengths: list[int | None] = [None] * len(most_words)  #: where a text ended that is padded then

    def criteria(self) -> Any:
        from transformers import StoppingCriteriaList

        return StoppingCriteriaList([self] if any(most is not None for most in self._most_words) else [])

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        for number, row in enumerate(input_ids[:, self._before :].tolist()):
            if self.lengths[number] is None and _enough(self._tokenizer, row, self._most_words[number]):
                self.lengths[number] = self._before + len(row)
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


def stop_callback(
    tokenizer: Any, most_words: Sequence[int | None]
) -> Callable[[GenerationStepResult], bool] | None:
    """Does for a batch of CTranslate2 what `Stops` does.

    It must not hold the engine: CTranslate2 lets go of it on a thread of the engine's, which cannot end itself.
    """
    if all(most is None for most in most_words):
        return None
    texts: list[list[int]] = [[] for _ in most_words]

    def stop(step: GenerationStepResult) -> bool:
        texts[step.batch_id].append(step.token_id)
        return _enough(tokenizer, texts[step.batch_id], most_words[step.batch_id])

    return stop
