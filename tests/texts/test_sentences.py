from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.texts.sentences import ends_sentence, sentence_spans, split_sentences

NEWS = Path(__file__).resolve().parents[3] / "shared/data/cnndm-validation-1000/validation.jsonl"


@pytest.mark.parametrize(
    "sentences",
    [
        ["The council met on Monday.", "It voted 7-2 for the plan!", "Will it last?", "Nobody knows."],
        ["Mr. and Mrs. Smith met Dr. Jane Roe in St. Louis.", "Gov. Brown and Sen. Warren did not."],
        ["J. K. Rowling and George W. Bush wrote to J.R.R. Tolkien.", "J. C. Penney did not answer."],
        ["The U.S. Senate met in the U.S. on Friday.", "It left Washington, D.C. The House stayed."],
        ["He lives in the U.S.", "The family moved in 1990."],
        ["Doors open at 7 p.m. Friday.", "They close at 11 p.m.", "No one minds."],
        ["Prices rose 3.5 percent to $1.20.", "About 1,000.5 tons were sold at example.com today."],
        ["See No. 5 and Fig. 2 of vol. 3.", "He said no.", "Then he left."],
        ["Apple Inc. said so on Jan. 5.", "The rest of Apple Inc.", "They agreed."],
        ['"I went home," he said.', '"It was late."', "She nodded."],
        ['"Why me?" Smith asked.', '"Because," she said, "you can!"', "It worked."],
        ["Well... I think so.", "All sorts...", "He left.", "And so…", "They stayed."],
        ["(CNN)Share, and your gift will be multiplied.", "That sounds odd."],
        ["LONDON, England (CNN) -- The rain stayed.", "(It always does.)", "So did we."],
        ["He was [sic] late (see p. 4).", "“Fine.”", "‘So be it.’", "Done."],
        ["Tickets, e.g. for children, i.e. minors, cost less vs. Monday.", "They sold out."],
        ["Use an iPhone.", "iPads work too.", "eBay sells both."],
        ["It was Plan B. And then Plan C.", "I agreed."],
    ],
)
def test_prose_is_split_where_a_reader_would(sentences: list[str]) -> None:
    expected = [part for sentence in sentences for part in _exceptions(sentence)]
    assert split_sentences(" ".join(sentences)) == expected


def _exceptions(sentence: str) -> list[str]:
    """Abbreviations that do end the sentence because a typical first word follows."""
    for end, begin in (("D.C.", "The House"), ("Plan B.", "And then")):
        if f"{end} {begin}" in sentence:
            first, second = sentence.split(f" {begin}")
            return [first, begin + second]
    return [sentence]


def test_spaced_stops_and_uncased_text_are_split() -> None:
    assert split_sentences("zully gave a kidney . the chain went on . it ends friday .") == [
        "zully gave a kidney .",
        "the chain went on .",
        "it ends friday .",
    ]
    assert split_sentences("Zully gave a kidney . the chain went on .") == [
        "Zully gave a kidney .",
        "the chain went on .",
    ]
    assert split_sentences("all small. no capitals here. mr. roe agreed.") == [
        "all small.",
        "no capitals here.",
        "mr. roe agreed.",
    ]
    assert split_sentences("In cased text approx. five stay together. Next.") == [
        "In cased text approx. five stay together.",
        "Next.",
    ]


def test_a_lost_space_between_sentences_is_noticed_but_not_inside_names() -> None:
    assert split_sentences("It rained, he said.The match went on. ASP.NET and Node.Js stayed.") == [
        "It rained, he said.",
        "The match went on.",
        "ASP.NET and Node.Js stayed.",
    ]


def test_one_sentence_a_line_stays_one_a_line_with_or_without_stops() -> None:
    assert split_sentences("First point\nSecond point\nThird, longer point") == [
        "First point",
        "Second point",
        "Third, longer point",
    ]
    assert split_sentences("it ran .\nthe cat sat .\r\nit slept .") == [
        "it ran .",
        "the cat sat .",
        "it slept .",
    ]
    assert split_sentences("1. The first. 2. The second.\n- A bullet\n* * *\nEnd") == [
        "1. The first.",
        "2. The second.",
        "- A bullet",
        "End",
    ]


def test_hard_wrapped_paragraphs_are_joined_and_blank_lines_part() -> None:
    text = (
        "The Danish prime minister arrived in New\n"
        "York on Monday and met Mr.\n"
        "Guterres.\n\nA headline\n\nHe left on\ntime."
    )
    assert split_sentences(text)[-2:] == ["A headline", "He left on time."]
    wrapped = (
        "The Danish prime minister arrived in the city of New\n"
        "York on Monday. Her delegation met the United States\n"
        "Secretary of State for two long hours, and then left\n"
        "again."
    )
    assert split_sentences(wrapped) == [
        "The Danish prime minister arrived in the city of New York on Monday.",
        "Her delegation met the United States Secretary of State for two long hours, and then left again.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "今日は雨です。「行こう！」と言った。明日？",
            ["今日は雨です。", "「行こう！」", "と言った。", "明日？"],
        ),
        ("我……不知道。他来了!真的", ["我……不知道。", "他来了!", "真的"]),
        ("هل أتى؟ نعم. لا.", ["هل أتى؟", "نعم.", "لا."]),
        ("یہ اچھا ہے۔ وہ آیا۔", ["یہ اچھا ہے۔", "وہ آیا۔"]),
        ("यह पहला है। वह दूसरा है॥ अंत।", ["यह पहला है।", "वह दूसरा है॥", "अंत।"]),
        (
            "Am 3. Oktober kam er z.B. nach Köln. Er blieb.",
            ["Am 3. Oktober kam er z.B. nach Köln.", "Er blieb."],
        ),
        ("¿Qué pasó? ¡Nada! La Sra. López salió.", ["¿Qué pasó?", "¡Nada!", "La Sra. López salió."]),
    ],
)
def test_other_scripts_and_languages(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


@pytest.mark.parametrize("text", ["", " \n\t ", "...", "* * *\n---"])
def test_a_text_without_words_has_no_sentences(text: str) -> None:
    assert sentence_spans(text) == []


def test_whether_a_text_ends_a_sentence() -> None:
    for text in ("Done.", "Done. ", 'He said "done."', "Why?)", "终。", "It ran .", "Well..."):
        assert ends_sentence(text), text
    for text in ("", "and then", "He met Mr.", "a comma,", "for e.g."):
        assert not ends_sentence(text), text


@given(st.text(alphabet=st.sampled_from("aBé中1 .!?…。\n\r\"')(“”U.S. Mr") | st.characters(), max_size=200))
def test_every_word_lies_in_exactly_one_span(text: str) -> None:
    spans = sentence_spans(text)
    position = 0
    for start, end in spans:
        assert position <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert not any(c.isalnum() for c in text[position:start])
        position = end
    assert not any(c.isalnum() for c in text[position:])


@pytest.mark.skipif(not NEWS.exists(), reason=f"{NEWS} is not there")
def test_news_is_split_stably_and_fast() -> None:
    with NEWS.open(encoding="utf-8") as lines:
        articles = [json.loads(next(lines))["article"] for _ in range(200)]
    started = time.process_time()
    found = [sentence_spans(article) for article in articles]
    seconds = time.process_time() - started
    size = sum(len(article.encode()) for article in articles)
    assert size / seconds > 1e6, f"{size / seconds / 1e6:.1f} MB/s"  # 6 to 9 on an idle core
    lengths = [len(a[s:e].split()) for a, spans in zip(articles, found, strict=True) for s, e in spans]
    assert 15 < sum(lengths) / len(lengths) < 25
    for article in articles:
        once = split_sentences(article)
        assert split_sentences("\n".join(once)) == once
