"""What looks like personal data in a text, by its form. Pure.

Forms are told by more than digits in a row where the form has a check: a card number by Luhn's sum, an account number
(IBAN) by ISO 7064. Names are not looked for: news is about people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from models_app.texts.near_duplicates import plain


class Form(StrEnum):
    EMAIL = "e-mail address"
    CARD = "card number"
    ACCOUNT = "bank account number"
    PHONE = "telephone number"


@dataclass(frozen=True)
class Seen:
    form: Form
    text: str


_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_NAME, _ADDRESS = 64, 320  # characters before the @, and of the whole
_NUMBER = re.compile(r"\d(?:[ ()./-]{0,2}\d){7}")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
# With a leading + or 0, in groups: years, scores and sums have other forms.
_PHONE = re.compile(
    r"(?<![\w.,+])(?:\+\d{1,3}[ ./-]?|\(0\d{1,5}\)[ ./-]?|0(?=\d))\d{1,5}(?:[ ./-]?\d{2,5}){1,4}(?![\w%]|[.,]\d)"
)
_LEAST_OF_A_PHONE = 8  # digits
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")


def seen(text: str) -> Iterator[Seen]:
    """In order of forms; a card number is not told again as a telephone number."""
    yield from _addresses(text)
    if not _NUMBER.search(text):  # most texts: looking for forms costs more
        return
    taken: list[tuple[int, int]] = []
    for form, pattern, holds in (
        (Form.ACCOUNT, _IBAN, _is_account),
        (Form.CARD, _CARD, _is_card),
        (Form.PHONE, _PHONE, _is_phone),
    ):
        for found in pattern.finditer(text):
            if holds(found[0]) and not any(a < found.end() and found.start() < b for a, b in taken):
                taken.append(found.span())
                yield Seen(form, found[0].strip())


def _addresses(text: str) -> Iterator[Seen]:
    end = 0
    while (at := text.find("@", end)) >= 0:
        start = max(end, at - _NAME)
        found = next(
            (one for one in _EMAIL.finditer(text, start, at + _ADDRESS) if one.start() < at < one.end()), None
        )
        if found is not None:
            yield Seen(Form.EMAIL, found[0])
        end = at + 1 if found is None else found.end()


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdecimal())


def _is_card(text: str) -> bool:
    digits = [int(digit) for digit in _digits(text)]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_account(text: str) -> bool:
    letters = text.replace(" ", "")
    if not 15 <= len(letters) <= 34:
        return False
    return int("".join(str(int(one, 36)) for one in letters[4:] + letters[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    return _LEAST_OF_A_PHONE <= len(_digits(text)) <= 15 and not _DATE.match(text)


def stands_in(quote: str, text: str) -> bool:
    """Whether what somebody marked is there still, as a reader sees it, whole words alone."""
    words = _words(quote)
    return bool(words) and f" {words} " in f" {_words(text)} "


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", plain(text)))
