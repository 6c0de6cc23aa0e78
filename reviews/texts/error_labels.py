"""What each change of an edit says was wrong with the draft. Pure.

A label is only a suggestion that the reviewer confirms with a key, so it is given where the rule is plain, and left out
where it might mislead. The rules, as they apply one after another, for what was taken out (old) and what was put in
(new):

1. An e-mail address or a telephone number that is gone: personal data.
2. Old repeats its neighbour, or a stretch that says what another sentence still says is gone: redundancy.
3. A number, name or he/she replaced by another that the source has: wrong entity or number.
4. "not" put in or taken out, a word replaced by its opposite: unsupported fact.
5. Words the source does not have taken out, or replaced by words of the source's best matching sentence: unsupported
   fact.
6. A pronoun replaced by a name: unclear.
7. The same words in another form, articles, auxiliaries, punctuation, a slip of the pen: grammar.
8. Something put in that a sentence of the source says: omission, marked on that sentence.
9. Nothing but judging words ("shockingly", "!") taken out: tone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property, lru_cache

from rapidfuzz.distance import OSA

from models_app.texts.measures import Number, find_names, find_numbers, words
from reviews.texts.edits import NEGATIONS, Change, ErrorType, Label, Severity, find_changes, words_of
from reviews.texts.grounding import FUNCTION_WORDS, Source, stemmed, terms
from reviews.texts.spans import Span, sentence_at, sentences

# Of a sentence that was rewritten, word by word labels would be guesses.
_LONGEST_LABELLED = 400
_SUPPORTED = 0.75
_OMITTED = 0.6
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_PHONE = re.compile(r"(?<![\w.,])\+?\(?\d[\d\s()/.-]{6,}\d(?![\w%])")

_FORMS = words_of(
    "a an the is are was were be been being am has have had do does did of in on at for that which who whom will "
    "would and its it's their they're there it"
)

_HE = words_of("he him his himself")
_SHE = words_of("she her hers herself")
_PRONOUNS = _HE | _SHE | words_of("it its they them their theirs this that these those who")
_OPPOSITES = {
    first: second
    for pair in (
        "before after", "more less", "more fewer", "over under", "above below", "rose fell", "rise fall", "rises falls",
        "up down", "won lost", "win lose", "increased decreased", "increase decrease", "gained lost", "opened closed",
        "open closed", "accepted rejected", "approved rejected", "first last", "higher lower", "highest lowest",
        "north south", "northern southern", "east west", "eastern western", "supported opposed", "guilty innocent",
        "most least", "always never", "all none", "alive dead", "male female", "began ended", "bought sold",
    )
    for first, second in (pair.split(), pair.split()[::-1])
}  # fmt: skip

_JUDGING = words_of(
    "shockingly shocking amazing amazingly unfortunately sadly luckily fortunately tragically incredible incredibly "
    "outrageous outrageously ridiculous ridiculously stunning stunningly unbelievable unbelievably terrible terribly "
    "horrible horribly awesome wonderful disgusting shameful shamefully absurd absurdly hilarious sensational "
    "so-called brilliant fantastic ludicrous pathetic utterly totally obviously"
)


class Article(Source):
    """A source, and what the rules ask of the whole of it; each is found out when it is asked first."""

    @cached_property
    def words(self) -> set[str]:
        return set(words(self.text))

    @cached_property
    def stems(self) -> set[str]:
        return {stemmed(word) for word in self.words}

    @cached_property
    def numbers(self) -> set[object]:
        return {value for number in find_numbers(self.text) for value in number.values}

    @cached_property
    def names(self) -> set[str]:
        return {word for name in find_names(self.text) for word in words(name.text)}


# While somebody types, the same article is asked for again and again.
read_article = lru_cache(maxsize=8)(Article)


def suggest(*, source: str, draft: str, edited: str) -> list[Change]:
    """The changes with a label where a rule says what was wrong."""
    reading = _Reading(read_article(source), draft, edited)
    if len(draft) > 100_000 or len(edited) > 100_000:
        return reading.changes
    return [replace(change, label=reading.label(change)) for change in reading.changes]


def _content(text: str) -> list[str]:
    return [stemmed(word) for word in words(text) if word not in FUNCTION_WORDS]


class _Reading:
    """A draft and its correction, held against the source."""

    def __init__(self, source: Article, draft: str, edited: str) -> None:
        self.source, self.draft, self.edited = source, draft, edited
        self.changes = find_changes(draft, edited)
        self.draft_sentences = sentences(draft)
        self.edited_sentences = sentences(edited)

    def label(self, change: Change) -> Label | None:
        old, new = words(change.old), words(change.new)
        if max(len(change.old), len(change.new)) > _LONGEST_LABELLED:
            return self._personal(change)
        rules = (
            [self._personal, self._repeated, self._negated, self._invented, self._judging, self._form]
            if old and not new
            else [self._negated, self._form, self._omitted]
            if new and not old
            else [
                self._personal, self._wrong_number, self._wrong_name, self._wrong_person, self._negated,
                self._opposite, self._pronoun, self._judging, self._form, self._slip, self._replaced,
            ]
        )  # fmt: skip
        for rule in rules:
            if (label := rule(change)) is not None:
                return label
        return None

    # ---------------------------------------------------------------- the rules

    def _personal(self, change: Change) -> Label | None:
        for pattern in (_EMAIL, _PHONE):
            found = pattern.search(change.old)
            if found is None or found[0] in self.edited:
                continue
            if pattern is _PHONE and (sum(map(str.isdigit, found[0])) < 7 or pattern.search(change.new)):
                continue
            if pattern is _EMAIL and pattern.search(change.new):
                continue  # another address: a correction
            return self._mark(change, "personal data", "critical", found.span())
        return None

    def _repeated(self, change: Change) -> Label | None:
        """Only where it is taken out; said twice is "the the", or a stretch whose every word another sentence keeps."""
        old = words(change.old)
        near = words(self.draft[max(0, change.start - len(change.old) - 2) : change.start])
        after = words(self.draft[change.end : change.end + len(change.old) + 2])
        if near[-len(old) :] == old or after[: len(old)] == old:
            return self._mark(change, "redundancy", "minor")
        content = set(_content(change.old))
        if len(content) < 3:
            return None
        for start, end in self.edited_sentences:
            if len(content & set(_content(self.edited[start:end]))) >= 0.9 * len(content):
                return self._mark(change, "redundancy", "minor" if len(content) < 6 else "major")
        return None

    def _wrong_number(self, change: Change) -> Label | None:
        old, new = find_numbers(change.old), find_numbers(change.new)
        if len(old) != len(new) or not self._alike(change):
            return None
        for before, after in zip(old, new, strict=True):
            if set(before.values).isdisjoint(after.values) and self._in_source(after):
                return self._mark(change, "wrong entity or number", "major", (before.start, before.end))
        return None

    def _in_source(self, number: Number) -> bool:
        return not self.source.numbers.isdisjoint(number.values)

    def _wrong_name(self, change: Change) -> Label | None:
        """Words with capitals for others with capitals that the source has as a name; longer or shorter forms of one
        name are no errors."""
        old, new = self._names(change.old), self._names(change.new)
        if not old or not new or not new <= self.source.names or not self._alike(change):
            return None
        if new & set(words(change.old)) or old & set(words(change.new)):
            return None
        if {stemmed(word) for word in old} & {stemmed(word) for word in new}:
            return None
        slip = len(old) == len(new) == 1 and _is_slip(min(old), min(new)) and not old <= self.source.words
        return self._mark(change, "wrong entity or number", "minor" if slip else "major")

    def _names(self, text: str) -> set[str]:
        found = re.findall(r"[^\W\d_][\w'’-]*", text)
        return {
            stripped
            for word in found
            if word[0].isupper() and (stripped := word.casefold().replace("’", "'").removesuffix("'s"))
            if stripped not in FUNCTION_WORDS
        }

    def _alike(self, change: Change) -> bool:
        """Short enough on both sides to be an exchange and not a new sentence."""
        return len(words(change.old)) <= 6 and len(words(change.new)) <= 6

    def _wrong_person(self, change: Change) -> Label | None:
        old, new = set(words(change.old)), set(words(change.new))
        if len(old) == len(new) == 1 and ((old <= _HE and new <= _SHE) or (old <= _SHE and new <= _HE)):
            return self._mark(change, "wrong entity or number", "major")
        return None

    def _negated(self, change: Change) -> Label | None:
        old, new = (
            set(words(change.old.replace("n't", " not"))), set(words(change.new.replace("n't", " not")))
        )  # fmt: skip
        if bool(old & NEGATIONS) == bool(new & NEGATIONS) or not self._alike(change):
            return None
        if {stemmed(word) for word in old ^ new} - NEGATIONS - _FORMS:
            return None
        return self._mark_sentence(change, "unsupported fact", "critical")

    def _opposite(self, change: Change) -> Label | None:
        old, new = words(change.old), words(change.new)
        if len(old) == len(new) == 1 and _OPPOSITES.get(old[0]) == new[0] and new[0] in self.source.words:
            return self._mark(change, "unsupported fact", "major")
        return None

    def _invented(self, change: Change) -> Label | None:
        content = _content(change.old)
        numbers = [number for number in find_numbers(change.old) if not self._in_source(number)]
        strange = [word for word in content if word not in self.source.stems]
        names = self._names(change.old) - self.source.words
        if any(number.text.lower() != "one" for number in numbers) or (
            names and len(content) >= 2 and strange
        ):
            return self._mark(change, "unsupported fact", "major")
        if len(content) >= 3 and len(strange) >= 0.5 * len(content):
            return self._mark(change, "unsupported fact", "major")
        return None

    def _judging(self, change: Change) -> Label | None:
        old, new = words(change.old), words(change.new)
        kept = [word for word in old if word not in _JUDGING]
        if len(kept) < len(old) and kept == new:
            return self._mark(change, "tone", "minor")
        return None

    def _pronoun(self, change: Change) -> Label | None:
        old = set(words(change.old))
        if old and old <= _PRONOUNS | FUNCTION_WORDS and old & _PRONOUNS and self._names(change.new):
            return self._mark(change, "unclear", "minor")
        return None

    def _form(self, change: Change) -> Label | None:
        old, new = words(change.old), words(change.new)
        if len(old) > 12 or find_numbers(change.old) != [] or find_numbers(change.new) != []:
            return None
        before, after = ([stemmed(word) for word in found if word not in _FORMS] for found in (old, new))
        if before != after:
            return None
        if not old and not new and len(change.old.strip()) + len(change.new.strip()) == 0:
            return None  # white space
        if old == new and change.old.strip() == change.new.strip():
            return None
        return self._mark_near(change, "grammar", "minor")

    def _slip(self, change: Change) -> Label | None:
        old, new = words(change.old), words(change.new)
        if (
            len(old) == len(new) == 1
            and _is_slip(old[0], new[0])
            and old[0] not in self.source.words
            and new[0] in self.source.words
        ):
            return self._mark(change, "grammar", "minor")
        return None

    def _replaced(self, change: Change) -> Label | None:
        """New words stand in the sentence of the source that the corrected sentence is from, most old ones nowhere."""
        old, new = _content(change.old), _content(change.new)
        if not 2 <= len(old) <= 12 or not 2 <= len(new) <= 16:
            return None
        strange = [word for word in old if word not in self.source.stems]
        if len(strange) < 0.5 * len(old) or len(strange) < 2:
            return None
        place = sentence_at(self.edited_sentences, change.edited_start + _leading(change.new))
        links, _ = self.source.best(self.edited[slice(*place)]) if place else ((), 0.0)
        if not links:
            return None
        held = {
            stemmed(word) for link in links[:2] for word in words(self.source.text[link.start : link.end])
        }
        if sum(word in held for word in new) < _SUPPORTED * len(new):
            return None
        return self._mark(change, "unsupported fact", "major")

    def _omitted(self, change: Change) -> Label | None:
        content = _content(change.new)
        if len(content) < 2 and not find_numbers(change.new):
            return None
        weights = {
            term: weight
            for term, weight in self.source.weights(terms(change.new)).items()
            if term not in FUNCTION_WORDS
        }
        whole = sum(weights.values())
        best: Span | None = None
        most = 0.0
        place = sentence_at(self.edited_sentences, change.edited_start + _leading(change.new))
        around = set(terms(self.edited[slice(*place)])) if place else set()
        for span, found in zip(self.source.spans, self.source.terms, strict=True):
            score = sum(weight for term, weight in weights.items() if term in found) / whole
            # of sentences that say it alike, the one that says the rest of the corrected sentence, too
            score += 0.1 * len(around & found) / max(1, len(around))
            if score > most:
                best, most = span, score
        if best is None or most < _OMITTED:
            return None
        severity: Severity = "major" if len(content) >= 6 or find_numbers(change.new) else "minor"
        return Label("omission", severity, *best, self.source.text[slice(*best)], "source")

    # ---------------------------------------------------------------- where the mark stands

    def _mark(
        self, change: Change, error_type: ErrorType, severity: Severity, part: Span | None = None
    ) -> Label:
        start, end = (change.start + part[0], change.start + part[1]) if part else (change.start, change.end)
        text = self.draft[start:end]
        start, end = start + _leading(text), end - (len(text) - len(text.rstrip()))
        return Label(error_type, severity, start, end, self.draft[start:end])

    def _mark_sentence(self, change: Change, error_type: ErrorType, severity: Severity) -> Label | None:
        place = sentence_at(self.draft_sentences, change.start)
        return Label(error_type, severity, *place, self.draft[slice(*place)]) if place else None

    def _mark_near(self, change: Change, error_type: ErrorType, severity: Severity) -> Label | None:
        """Where only something was put in, the words on both sides of the gap."""
        if change.old.strip():
            return self._mark(change, error_type, severity)
        before = re.search(r"\S+\s*$", self.draft[: change.start])
        after = re.match(r"\s*\S+", self.draft[change.end :])
        start = before.start() if before else change.start
        end = change.end + after.end() if after else change.end
        text = self.draft[start:end]
        if not text.strip():
            return None
        start, end = start + _leading(text), end - (len(text) - len(text.rstrip()))
        return Label(error_type, severity, start, end, self.draft[start:end])


def _leading(text: str) -> int:
    return len(text) - len(text.lstrip())


def _is_slip(old: str, new: str) -> bool:
    """One letter more, less, other or two exchanged in a word of five letters or more."""
    return min(len(old), len(new)) >= 5 and old.isalpha() and new.isalpha() and OSA.distance(old, new) == 1
