"""The sample workspace's texts are what the product shows first: they have to be whole, varied and faithful."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from models_app.texts.sentences import split_sentences

SAMPLE = Path(__file__).parents[3] / "reviews" / "loop" / "sample"


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


ARTICLES = _rows("articles.jsonl")
COMMENTS = _rows("comments.jsonl")
DOMAINS = {"news": 15, "education": 13, "entertainment": 13, "business": 15, "other": 10}

each_article = pytest.mark.parametrize("article", ARTICLES, ids=[article["id"] for article in ARTICLES])

BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
FULL_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {word: 10 * place for place, word in enumerate(FULL_TENS.split(), start=2)}
WORTH = {word: value for value, word in enumerate(BELOW_TWENTY.split())} | TENS
# Said of any single thing ("one of them", "this one"), not only as a number.
PRONOUN = "one"


def numbers(text: str) -> set[str]:
    """Figures as they stand, without thousands separators, and number words up to ninety-nine as figures."""
    found = {figure.replace(",", "") for figure in re.findall(r"\d+(?:[.,:]\d+)*", text)}
    for word in re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower()):
        first, _, second = word.partition("-")
        if first in TENS and second in WORTH:
            found.add(str(TENS[first] + WORTH[second]))
            continue
        found.update(str(WORTH[part]) for part in (first, second) if part in WORTH and part != PRONOUN)
    return found


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,146 of 11,460 pupils, or 10.5 percent", {"1146", "11460", "10.5"}),
        ("Twenty-two years, thirty days and one in five", {"22", "30", "5"}),
        ("a ten-point bonus in 2:24:51", {"10", "2:24:51"}),
    ],
)
def test_numbers_are_read_as_figures_and_as_words(text: str, expected: set[str]) -> None:
    assert numbers(text) == expected


def test_every_domain_has_its_share() -> None:
    assert Counter(article["domain"] for article in ARTICLES) == DOMAINS


@each_article
def test_an_article_has_every_field_and_no_stray_space(article: dict[str, str]) -> None:
    assert list(article) == ["id", "title", "domain", "byline", "group", "text", "reference"]
    for field, value in article.items():
        assert value, f"{field} is empty"
        assert value == value.strip(), f"{field} begins or ends with a space"
        assert "  " not in value, f"{field} has a double space"
        assert not re.search(r"""["'\t\r]""", value), f"{field} has a straight quote, tab or carriage return"


@pytest.mark.parametrize("field", ["id", "title", "text", "reference"])
def test_no_two_articles_share(field: str) -> None:
    repeated = [
        value for value, count in Counter(article[field] for article in ARTICLES).items() if count > 1
    ]
    assert repeated == []


def test_some_stories_are_told_in_two_articles_that_must_stay_in_one_split() -> None:
    sizes = Counter(article["group"] for article in ARTICLES)
    assert 1 <= sum(size > 1 for size in sizes.values()) <= 5
    assert max(sizes.values()) == 2


@each_article
def test_an_article_has_150_to_500_words_in_several_paragraphs(article: dict[str, str]) -> None:
    assert 150 <= words(article["text"]) <= 500
    paragraphs = article["text"].split("\n\n")
    assert len(paragraphs) >= 4
    assert all(paragraph and "\n" not in paragraph for paragraph in paragraphs)


def test_lengths_vary() -> None:
    lengths = [words(article["text"]) for article in ARTICLES]
    assert sum(length > 350 for length in lengths) >= 15
    assert sum(length < 270 for length in lengths) >= 8
    assert max(lengths) - min(lengths) >= 200


@each_article
def test_a_reference_has_30_to_60_words_in_two_or_three_sentences(article: dict[str, str]) -> None:
    assert 30 <= words(article["reference"]) <= 60
    assert 2 <= len(split_sentences(article["reference"])) <= 3


@each_article
def test_every_number_of_a_reference_is_in_the_article(article: dict[str, str]) -> None:
    assert numbers(article["reference"]) - numbers(article["text"]) == set()


@each_article
def test_every_name_of_a_reference_is_in_the_article(article: dict[str, str]) -> None:
    source = f"{article['title']} {article['text']}"
    names = re.findall(r"(?<![.!?:] )(?<!^)\b[A-ZÅÄÖÜÉ][\w-]+", article["reference"])
    missing = [name for name in names if name not in source and name.lower() not in source.lower()]
    assert missing == []


def test_references_are_written_not_copied() -> None:
    copied = [
        article["id"]
        for article in ARTICLES
        for sentence in split_sentences(article["reference"])
        if sentence in article["text"]
    ]
    assert copied == []


def test_no_sentence_stands_in_two_articles_or_twice_in_one() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for article in ARTICLES:
        for sentence in split_sentences(article["text"]):
            places[sentence].append(article["id"])
    assert {sentence: where for sentence, where in places.items() if len(where) > 1} == {}


def test_in_some_articles_the_news_comes_late() -> None:
    """So that taking the first three sentences is not always a good summary."""
    late = []
    for article in ARTICLES:
        lead = numbers(" ".join(split_sentences(article["text"])[:3]))
        wanted = numbers(article["reference"])
        if wanted and len(wanted & lead) / len(wanted) < 0.25:
            late.append(article["id"])
    assert len(late) >= 12


def test_sixty_comments_from_reviewers_and_clients_are_all_different() -> None:
    assert len(COMMENTS) == 60
    assert len({row["comment"].casefold() for row in COMMENTS}) == 60
    assert len({row["id"] for row in COMMENTS}) == 60
    assert {row["author"] for row in COMMENTS} == {"reviewer", "client"}


def test_comments_fit_a_domain_and_cover_each() -> None:
    per_domain = Counter(row["domain"] for row in COMMENTS)
    assert set(per_domain) == {*DOMAINS, "any"}
    assert min(per_domain.values()) >= 6


def test_comments_cover_all_stars_and_wants() -> None:
    assert {row["stars"] for row in COMMENTS} == {1, 2, 3, 4, 5}
    assert {row["wants"] for row in COMMENTS} == {"none", "retrain", "refine"}
    assert {"praise", "wrong number", "missing information", "too long", "unclear wording"} <= {
        row["kind"] for row in COMMENTS
    }


@pytest.mark.parametrize("row", COMMENTS, ids=[row["id"] for row in COMMENTS])
def test_stars_agree_with_what_a_comment_says(row: dict[str, Any]) -> None:
    assert list(row) == ["id", "author", "domain", "kind", "stars", "wants", "comment"]
    if row["kind"] == "praise":
        assert row["stars"] >= 4
        assert row["wants"] == "none"
    elif row["kind"] in {"wrong number", "wrong name", "not in the source"}:
        assert row["stars"] <= 3
        assert row["wants"] != "refine"


def test_the_licence_of_the_texts_is_with_them() -> None:
    assert "CC0-1.0" in (SAMPLE / "LICENSE.md").read_text(encoding="utf-8")
