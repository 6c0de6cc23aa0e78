"""What texts have in common: exact, in both directions, whatever a text is made to look like."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.texts import overlaps
from models_app.texts.near_duplicates import likeness, shingles
from models_app.texts.overlaps import (
    LOOK,
    NAMED,
    HeldOut,
    HeldOutText,
    Learnt,
    LearntText,
    Overlap,
    Overlaps,
    share,
)

_WORDS = [
    first + middle + last for first in "bdfgklmnprst" for middle in ("a", "e", "i", "o") for last in "lmnrstk"
]


def article(seed: str, count: int = 300) -> str:
    """Two of these have hardly a phrase in common."""
    chance = random.Random(seed)
    return " ".join(chance.choice(_WORDS) + (". " if place % 12 == 11 else "") for place in range(count))


ARTICLE, REFERENCE = article("held out"), article("its reference", 40)


def found(
    learnt: str, role: Learnt = Learnt.ARTICLE, *, text: str = ARTICLE, reference: str = REFERENCE
) -> list[Overlap]:
    held_out = [HeldOutText(1, HeldOut.ARTICLE, text), HeldOutText(1, HeldOut.REFERENCE, reference)]
    looked = Overlaps(held_out)
    looked.add([LearntText(7, role, learnt)])
    return list(looked.found())


def the_one(learnt: str, role: Learnt = Learnt.ARTICLE, **texts: str) -> Overlap:
    (one,) = found(learnt, role, **texts)
    return one


# ---------------------------------------------------------------- what is found


def test_the_same_article_is_the_whole_of_it() -> None:
    one = the_one(ARTICLE)
    assert (one.document, one.held_out, one.owner, one.learnt, one.share) == (
        1, HeldOut.ARTICLE, 7, Learnt.ARTICLE, 1.0,
    )  # fmt: skip
    assert one.words == 300


def test_an_article_with_every_tenth_word_changed_is_to_be_looked_at() -> None:
    changed = " ".join(word if place % 10 else f"new{place}" for place, word in enumerate(ARTICLE.split()))
    assert 0.65 < the_one(changed).share < 0.75


def test_a_half_of_the_article_is_the_whole_of_what_was_learnt() -> None:
    assert the_one(" ".join(ARTICLE.split()[:150])).share == 1.0


def test_an_article_among_nine_others_is_found() -> None:
    others = [article(f"other {number}") for number in range(9)]
    assert the_one(" ".join([*others[:5], ARTICLE, *others[5:]])).share == 1.0


def test_a_reference_inside_a_long_article_is_found() -> None:
    one = the_one(f"{article('before')} {REFERENCE} {article('after')}")
    assert (one.held_out, one.share, one.of_held_out) == (HeldOut.REFERENCE, 1.0, 38)


def test_a_learnt_summary_that_stands_in_the_article_is_found() -> None:
    one = the_one(" ".join(ARTICLE.split()[100:130]), Learnt.SUMMARY)
    assert (one.held_out, one.learnt, one.share) == (HeldOut.ARTICLE, Learnt.SUMMARY, 1.0)


def test_a_summary_nearly_the_reference_is_found() -> None:
    words = REFERENCE.split()
    words[20] = "another"
    one = the_one(" ".join(words), Learnt.SUMMARY)
    assert one.held_out is HeldOut.REFERENCE
    assert one.share == pytest.approx(35 / 38)


def test_a_near_duplicate_of_the_reference_in_a_prompt_is_found() -> None:
    words = REFERENCE.split()
    words[3] = "changed"
    prompt = (
        f"Summarize the article.\n\nExample: {article('shot', 60)}\nSummary: {' '.join(words)}\n\n{{text}}"
    )
    one = the_one(prompt, Learnt.PROMPT)
    assert (one.held_out, one.learnt) == (HeldOut.REFERENCE, Learnt.PROMPT)
    assert one.share > 0.9


def test_a_passage_of_the_article_in_a_prompt_is_found() -> None:
    assert the_one(" ".join(ARTICLE.split()[40:80]), Learnt.PASSAGE).share == 1.0


@pytest.mark.parametrize(
    "learnt",
    [article("another one"), "", " ", "One.", " ".join(ARTICLE.split()[:60]), article("x", 7)],
    ids=["another article", "nothing", "a space", "one word", "a fifth of it", "seven words"],
)
def test_what_says_little_is_not_found(learnt: str) -> None:
    assert found(learnt) == []


def test_a_notice_that_ends_every_article_makes_no_twins() -> None:
    notice = article("notice", 45)
    assert found(notice, text=f"{ARTICLE} {notice}") == []
    assert found(f"{article('another')} {notice}", text=f"{ARTICLE} {notice}") == []


# ---------------------------------------------------------------- short texts


def test_a_document_of_one_word_is_found_only_as_the_same_document() -> None:
    assert the_one("Yes!", text="yes").share == 1.0
    assert found("No", text="yes") == []
    assert found("yes and no and much more", text="yes") == []
    assert found("yes", Learnt.SUMMARY, text="yes", reference="yes") == []


def test_a_reference_of_nine_words_is_not_looked_for_and_that_is_counted() -> None:
    short = " ".join(REFERENCE.split()[:9])
    looked = Overlaps(
        [HeldOutText(1, HeldOut.REFERENCE, short), HeldOutText(2, HeldOut.REFERENCE, REFERENCE)]
    )
    looked.add([LearntText(7, Learnt.SUMMARY, short)])
    assert list(looked.found()) == []
    assert looked.too_short == 1


def test_nothing_against_nothing() -> None:
    looked = Overlaps([])
    looked.add([LearntText(7, Learnt.ARTICLE, ARTICLE)])
    assert list(looked.found()) == []
    empty = Overlaps([HeldOutText(1, HeldOut.ARTICLE, "")])
    empty.add([])
    empty.add([LearntText(7, Learnt.ARTICLE, "")])
    assert list(empty.found()) == []


# ---------------------------------------------------------------- tricks

TRICKS = {
    "capitals": str.upper,
    "white space": lambda text: text.replace(" ", " \t\n  "),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "zero width": lambda text: "\u200b".join(text),
    "soft hyphens": lambda text: "\u00ad".join(text),
    "word joiners": lambda text: text.replace("a", "a\u2060"),
    "Hangul fillers": lambda text: text.replace(" ", "\u3164").replace("a", "a\u115f"),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "mathematical letters": lambda text: "".join(
        chr(0x1D41A + ord(c) - ord("a")) if "a" <= c <= "z" else c for c in text
    ),
    "marks": lambda text: "".join(c + "\u0336" for c in text),
    "Cyrillic capitals": lambda text: text.upper().translate(str.maketrans("AEKMOPTBH", "АЕКМОРТВН")),
    "Greek capitals": lambda text: text.upper().translate(str.maketrans("ABEIKMNOPT", "ΑΒΕΙΚΜΝΟΡΤ")),
    "Cherokee and Lisu capitals": lambda text: text.upper().translate(
        str.maketrans("ABDEGIKLMNOPRST", "ᎪᏴꓓᎬꓖꓲᏦᏞᎷꓠꓳᏢᏒᏚᎢ")
    ),
    "Cyrillic small letters": lambda text: text.translate(str.maketrans("aeopsi", "аеорѕі")),
    "small capitals": lambda text: text.translate(str.maketrans("abdegiklmnopt", "ᴀʙᴅᴇɢɪᴋʟᴍɴᴏᴘᴛ")),
    "punctuation": lambda text: text.replace(".", " –").replace(" ", " _ "),
    "HTML": lambda text: "<p>" + " ".join(f"<b>{word}</b>" for word in text.split()) + "</p>",
    "entities": lambda text: "".join(f"&#{ord(c)};" if c != " " else c for c in text),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("side", ["learnt", "held out"])
def test_what_a_reader_does_not_see_hides_nothing(trick: str, side: str) -> None:
    changed = TRICKS[trick](ARTICLE)
    one = the_one(changed) if side == "learnt" else the_one(ARTICLE, text=changed)
    assert one.share > 0.95


@pytest.mark.parametrize(
    "text",
    [
        "Старый пирс закрывается на девять месяцев, сказала Нора Вик в понедельник утром в порту.",
        "Η παλιά προβλήτα κλείνει για εννέα μήνες, είπε η Νόρα Βικ τη Δευτέρα το πρωί στο λιμάνι.",
    ],
)
def test_other_scripts_are_found_in_capitals_as_well(text: str) -> None:
    assert the_one(text.upper(), text=text).share == 1.0


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    text = "诺德港当局周一表示将关闭旧码头九个月潜水员发现一百四十根桩已经腐烂"
    assert the_one(text[:20], text=text).share == 1.0


# ---------------------------------------------------------------- exact, and bounded

_text = st.lists(st.sampled_from("abcdefgh"), max_size=40).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(HeldOut), _text), max_size=6),
    st.lists(
        st.tuples(st.sampled_from([role for role in Learnt if role is not Learnt.DOCUMENT]), _text),
        max_size=6,
    ),
)
def test_nothing_with_a_half_is_missed_and_nothing_else_is_found(
    held_out: list[tuple[HeldOut, str]], learnt: list[tuple[Learnt, str]]
) -> None:
    """Against counting every pair, on texts that are full of common phrases."""
    texts = [HeldOutText(place, role, text) for place, (role, text) in enumerate(held_out)]
    looked = Overlaps(texts)
    rows = [LearntText(place, role, text) for place, (role, text) in enumerate(learnt)]
    looked.add(rows[:2])
    looked.add(rows[2:])
    expected: dict[tuple[int, Learnt, str], float] = {}
    for one, mine in zip(texts, shingles(text.text for text in texts), strict=True):
        for row, theirs in zip(rows, shingles(row.text for row in rows), strict=True):
            if one.role is HeldOut.REFERENCE and len(mine) < overlaps.LEAST_SHINGLES:
                continue
            like = likeness(mine, theirs)
            part = share(one.role, row.role, like.common, len(mine), len(theirs))
            if part >= LOOK:
                expected[one.document, row.role, row.text] = part
    by_owner = {row.owner: row for row in rows}
    got = {(one.document, one.learnt, by_owner[one.owner].text): one.share for one in looked.found()}
    assert set(got) <= set(expected)
    assert all(got[key] == pytest.approx(expected[key]) for key in got)
    for document in {document for document, _, _ in expected}:
        mine_expected = sorted((share for key, share in expected.items() if key[0] == document), reverse=True)
        mine_got = sorted((share for key, share in got.items() if key[0] == document), reverse=True)
        assert mine_got == pytest.approx(mine_expected[:NAMED])


def test_the_same_text_in_many_test_documents_flags_all_of_them() -> None:
    looked = Overlaps([HeldOutText(place, HeldOut.ARTICLE, ARTICLE) for place in range(2000)])
    looked.add([LearntText(7, Learnt.ARTICLE, ARTICLE.upper())])
    assert {one.document for one in looked.found()} == set(range(2000))


def test_a_flood_of_copies_takes_no_time_and_hides_nothing() -> None:
    """2,000 test documents and 2,000 rows that are all nearly the same: four million pairs."""
    words = article("flood", 120).split()
    copies = [" ".join([*words[: place % 120], f"x{place}", *words[place % 120 :]]) for place in range(4000)]
    looked = Overlaps([HeldOutText(place, HeldOut.ARTICLE, copies[place]) for place in range(2000)])
    began = time.process_time()
    looked.add([LearntText(place, Learnt.ARTICLE, copies[place]) for place in range(2000, 4000)])
    assert time.process_time() - began < 20
    finds = list(looked.found())
    assert {one.document for one in finds} == set(range(2000))
    assert len(finds) <= 2000 * NAMED


def test_looks_do_not_crowd_out_what_blocks() -> None:
    def changed(number: int) -> str:
        return " ".join(
            f"x{number}y{place}" if place % 8 == number % 8 else word
            for place, word in enumerate(ARTICLE.split())
        )

    looked = Overlaps([HeldOutText(1, HeldOut.ARTICLE, ARTICLE)])
    looked.add([LearntText(number, Learnt.ARTICLE, changed(number)) for number in range(50)])
    looked.add([LearntText(99, Learnt.ARTICLE, ARTICLE)])
    assert next(looked.found()).owner == 99


def test_a_row_of_a_parents_snapshot_is_compared_once() -> None:
    looked = Overlaps([HeldOutText(1, HeldOut.ARTICLE, ARTICLE)])
    looked.add([LearntText(1, Learnt.ARTICLE, ARTICLE)])
    looked.add([LearntText(2, Learnt.ARTICLE, ARTICLE)])
    assert looked.learnt == 1
    assert [one.owner for one in looked.found()] == [1]
