"""ROUGE-1, -2, -L and -Lsum: the values of rouge-score 0.1.2 with its stemmer, many times faster.

Equal to the last bit: the same tokens, the same counts, the same divisions in the same order, and for ROUGE-Lsum
the same choice among equally long common subsequences. The time goes elsewhere: a word is stemmed once per
process, a stem is one character, and subsequences come from bit-parallel arithmetic instead of tables.

ROUGE-Lsum wants one sentence a line on both sides; `score_pair` and `score_best` see to that with `as_lines`.

rouge-score knows words of a–z and 0–9 only: a Chinese, Russian or Arabic summary has none and scores zero, whatever it
says. Test sets in such scripts are scored with other words, which are a metric of their own with its own signature:
runs of letters, digits and combining marks of any script, without regard to case and width, and each character by
itself where a script writes no spaces. No stemmer, since Porter's is for English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count, pairwise
from typing import Literal, NamedTuple, TypeVar

from rapidfuzz.distance import LCSseq

from models_app.texts import sentences
from models_app.texts.stemming import stem as porter_stem

METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")

Words = Literal["latin", "unicode"]
LATIN: Words = "latin"
UNICODE: Words = "unicode"
# Raise it with every change that may take any text apart in another way; scores of two versions are not compared.
# A test pins what each version gives.
UNICODE_VERSION = 1

# A part of `signature.SIGNATURE`, which says what scored an evaluation.
_LINES = f"lsum:sentence-a-line,splitter-{sentences.VERSION}|as:rouge-score-0.1.2"
SIGNATURE = f"rouge1+2+L+Lsum|tokens:[a-z0-9]+|stemmer:porter-nltk-3.10.4|{_LINES}"
SIGNATURES: dict[Words, str] = {
    LATIN: SIGNATURE,
    UNICODE: f"rouge1+2+L+Lsum|tokens:unicode-{UNICODE_VERSION}|stemmer:none|{_LINES}",
}

_WORD = re.compile("[a-z0-9]+")
# Thai, Lao, Burmese, Khmer, kana and Han write no spaces. Marks of Indic scripts, of Arabic and of Hebrew are parts of
# their words.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u200c\u200d"
_UNICODE_WORD = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\W_]|[{_MARKS}])+")
_VOCABULARY_LIMIT = 200_000  # words; about 25 MB


class RougeScore(NamedTuple):
    """Shares between 0 and 1."""

    precision: float
    recall: float
    fmeasure: float


class RougeScores(NamedTuple):
    rouge1: RougeScore
    rouge2: RougeScore
    rougeL: RougeScore  # noqa: N815 the metric is called so
    rougeLsum: RougeScore  # noqa: N815


T = TypeVar("T")

_ZERO = RougeScore(0.0, 0.0, 0.0)
_ALL_ZERO = RougeScores(_ZERO, _ZERO, _ZERO, _ZERO)


def as_lines(text: str) -> str:
    """The text with one sentence a line; line breaks that it has are kept."""
    return "\n".join(sentence for line in text.split("\n") for sentence in sentences.split_sentences(line))


def score_pair(reference: str, prediction: str, words: Words = LATIN) -> RougeScores:
    """What rouge-score gives for `as_lines` of both texts."""
    return score_lines(as_lines(reference), as_lines(prediction), words)


def score_best(references: Sequence[str], prediction: str, words: Words = LATIN) -> RougeScores:
    """Against several references of one text: for each metric the one with the largest F-measure, of equals the first;
    what `RougeScorer.score_multi` gives for `as_lines` of all."""
    if not references:
        raise ValueError("there is no reference")
    lines = as_lines(prediction)
    columns = zip(*(score_lines(as_lines(reference), lines, words) for reference in references), strict=True)
    return RougeScores(*(max(scores, key=lambda score: score.fmeasure) for scores in columns))


def score_lines(reference: str, prediction: str, words: Words = LATIN) -> RougeScores:
    """What `RougeScorer(METRICS, use_stemmer=True).score(reference, prediction)` gives: texts taken as they are.

    Its tokens are ASCII letters and digits only, so a text in another script has none and scores zero. With "unicode"
    it is what RougeScorer gives with `unicode_words` as its tokenizer.
    """
    vocabulary = _vocabulary(words)
    reference_sentences = _sentence_tokens(reference, vocabulary)
    prediction_sentences = _sentence_tokens(prediction, vocabulary)
    if not reference_sentences or not prediction_sentences:
        return _ALL_ZERO
    r = list(chain.from_iterable(reference_sentences))
    p = list(chain.from_iterable(prediction_sentences))
    shared = _shared(Counter(r), p)
    rouge1 = _score(sum(shared.values()), len(r), len(p))
    bigrams = _shared(Counter(pairwise(r)), pairwise(p))
    rouge2 = _score(sum(bigrams.values()), len(r) - 1, len(p) - 1)
    rouge_l = _score(LCSseq.similarity("".join(r), "".join(p)), len(r), len(p))
    if len(reference_sentences) == len(prediction_sentences) == 1:
        return RougeScores(rouge1, rouge2, rouge_l, rouge_l)
    union = Counter(_union_subsequence(reference_sentences, prediction_sentences))
    hits = sum([min(n, shared[token]) for token, n in union.items()])
    return RougeScores(rouge1, rouge2, rouge_l, _score(hits, len(r), len(p)))


def _shared(counts: Counter[T], others: Iterable[T]) -> dict[T, int]:
    """How often each item is in both."""
    found = Counter(filter(counts.__contains__, others))
    return {item: min(n, counts[item]) for item, n in found.items()}


def _score(hits: int, n_reference: int, n_prediction: int) -> RougeScore:
    if not hits:
        return _ZERO
    precision, recall = hits / n_prediction, hits / n_reference
    return RougeScore(precision, recall, 2 * precision * recall / (precision + recall))


# Tokens


def latin_words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def unicode_words(text: str) -> list[str]:
    return _UNICODE_WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def words_for(texts: Iterable[str]) -> Words:
    """The words that these texts are to be scored with: "unicode" where most of their letters are none of a–z once
    accents are off."""
    known = letters = 0
    for text in texts:
        plain = unicodedata.normalize("NFKD", text).casefold()
        letters += sum(map(str.isalpha, plain))
        known += sum("a" <= letter <= "z" for letter in plain)
    return UNICODE if 2 * known < letters else LATIN


def _porter(word: str) -> str:
    return porter_stem(word) if len(word) > 3 else word


def _as_it_is(word: str) -> str:
    return word


class _Vocabulary(dict[str, str]):
    """Word → its stem as one character."""

    def __init__(
        self,
        found: Callable[[str], list[str]] = latin_words,
        stem: Callable[[str], str] = _porter,
    ) -> None:
        self.found, self.stem = found, stem
        self._characters: dict[str, str] = {}
        self._next = count()

    def __missing__(self, word: str) -> str:
        # Both steps are atomic: threads that meet the same stem agree, and no two stems share a number.
        self[word] = character = self._characters.setdefault(self.stem(word), chr(next(self._next)))
        return character


_current = _Vocabulary()
_current_unicode = _Vocabulary(unicode_words, _as_it_is)


def _vocabulary(words: Words) -> _Vocabulary:
    """Started afresh when it has grown too large; callers that still hold the old one go on with that."""
    global _current, _current_unicode
    if words == UNICODE:
        if len(_current_unicode) > _VOCABULARY_LIMIT:
            _current_unicode = _Vocabulary(unicode_words, _as_it_is)
        return _current_unicode
    if len(_current) > _VOCABULARY_LIMIT:
        _current = _Vocabulary()
    return _current


def _sentence_tokens(text: str, vocabulary: _Vocabulary) -> list[list[str]]:
    """The lines that have tokens, each token one character."""
    lines = [list(map(vocabulary.__getitem__, vocabulary.found(line))) for line in text.split("\n")]
    return [line for line in lines if line]


# ROUGE-Lsum (Lin 2004, section 3.2): bits stand for the positions of the reference, sentence after sentence, with
# an unused bit between two sentences that swallows what an addition carries out of the sentence below it.


def _union_subsequence(reference: list[list[str]], prediction: list[list[str]]) -> list[str]:
    """Reference tokens that lie in the common subsequence of their sentence with at least one prediction sentence."""
    masks: dict[str, int] = {}
    parts: list[int] = []
    tokens: list[str] = []
    for sentence in reference:
        start = len(tokens)
        for position, token in enumerate(sentence, start):
            masks[token] = masks.get(token, 0) | 1 << position
        parts.append((1 << start + len(sentence)) - (1 << start))
        tokens.extend(sentence)
        tokens.append("")
    union = 0
    for sentence in prediction:
        steps = _table_columns(masks, sum(parts), sentence)
        for part in parts:
            union |= _walk_back(steps, part)
    return [token for token, bit in zip(tokens, reversed(f"{union:b}"), strict=False) if bit == "1"]


def _table_columns(masks: dict[str, int], full: int, sentence: list[str]) -> list[tuple[int, int]]:
    """For each column of the subsequence table, last one first: matching rows, and rows where its value rises.

    Bit i of the second is set where the table grows from row i to row i + 1 (Hyyrö 2004). Columns without a match
    change nothing, and the walk back through several in a row ends where it ends after one.
    """
    flat = full
    steps: list[tuple[int, int]] = []
    unmatched = True
    for matches in map(masks.get, sentence):
        if matches is not None:
            met = flat & matches
            flat = (flat + met | flat - met) & full
            steps.append((matches, full ^ flat))
            unmatched = False
        elif not unmatched:
            steps.append((0, full ^ flat))
            unmatched = True
    steps.reverse()
    return steps


def _walk_back(steps: list[tuple[int, int]], part: int) -> int:
    """The subsequence, of several equally long ones, that rouge-score reads out of its table.

    From the last row and column: take a match wherever it stands on one; else go left where the value rises to this
    row, else up. All steps up in a column are one step here, to the highest row with either.
    """
    positions, below = 0, part
    for matches, rises in steps:
        row = ((matches | rises) & below).bit_length() - 1
        if row < 0:
            break
        if matches >> row & 1:
            positions |= 1 << row
            below &= (1 << row) - 1
        else:
            below &= (2 << row) - 1
    return positions
