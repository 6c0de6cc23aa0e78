"""What has the form of personal data, and what only looks so."""

from __future__ import annotations

import time

import pytest

from models_app.texts.personal_data import Form, seen, stands_in


def forms(text: str) -> list[tuple[str, str]]:
    return [(one.form.value, one.text) for one in seen(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to k.olsen@nordhaven.example, she said.", [("e-mail address", "k.olsen@nordhaven.example")]),
        ("Pay with 4111 1111 1111 1111 or not.", [("card number", "4111 1111 1111 1111")]),
        ("To DE89 3704 0044 0532 0130 00, please", [("bank account number", "DE89 3704 0044 0532 0130 00")]),
        ("call 0451 223 4455 now", [("telephone number", "0451 223 4455")]),
        ("call +49 30 901820 now", [("telephone number", "+49 30 901820")]),
        ("call (0451) 22 33 44 now", [("telephone number", "(0451) 22 33 44")]),
        (
            "a@b.example and c@d.example",
            [("e-mail address", "a@b.example"), ("e-mail address", "c@d.example")],
        ),
    ],
)
def test_forms_are_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert forms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It cost 3,200,000 euros in 2014-2015, or 0.25 a head at 10:30 on 05.06.2014.",
        "Cards 4111 1111 1111 1112 and 0000 0000 0000 0000 have no right sum.",
        "GB00 WEST 1234 5698 7654 32 is no account.",
        "He tweeted @nordhaven and wrote a@b without a dot.",
        "Nora Vik, 43, of 12 Harbour Street.",
        "",
    ],
)
def test_what_only_looks_so_is_not(text: str) -> None:
    assert forms(text) == []


@pytest.mark.parametrize(
    "text", ["a." * 200_000 + "@", "1 " * 200_000, "0" * 400_000, "A" * 400_000, "@" * 50_000]
)
def test_a_long_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    list(seen(text))
    assert time.process_time() - began < 3


def test_a_marked_passage_stands_there_as_a_reader_sees_it() -> None:
    assert stands_in("K. Olsen", "said k olsen today")
    assert stands_in("K. Olsen", "said K.\u200b OLSEN, today")
    assert not stands_in("Ann", "Annual report")
    assert not stands_in("", "anything")
    assert not stands_in("…", "anything…")


def test_every_form_has_a_name() -> None:
    assert len({form.value for form in Form}) == 4
