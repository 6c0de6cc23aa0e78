"""Changed articles: the same for the same settings, and changed in nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.cases.changes import Article, Change, RenamedPerson, ShuffledParagraphs, Typos, UpperCase

TEXT = (
    "Anna Berg, the mayor of Nordhaven, said that 140 piles are rotten. Berg's plan costs 3.2 million euros.\n\n"
    "BERG did not answer. Bergen is another town; Annabel Berger lives there.\n\nShop owners fear for the season."
)
ARTICLE = Article(TEXT, "Mayor Berg speaks", "news")


@pytest.mark.parametrize(
    "change", [Typos(0.2, 1), UpperCase(), ShuffledParagraphs(3), RenamedPerson("Anna Berg", "Clara Holm")]
)
def test_a_change_is_the_same_each_time_and_changes_something(change: Change) -> None:
    assert change.obstacle(ARTICLE) == ""
    made = change.make(ARTICLE)
    assert made == change.make(ARTICLE)
    assert made.text != ARTICLE.text
    assert made.domain == "news"


def test_typos_swap_letters_inside_longer_words_and_leave_numbers_alone() -> None:
    made = Typos(0.5, 1).make(ARTICLE).text
    before, after = TEXT.split(), made.split()
    assert len(before) == len(after)
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert changed
    for one, other in changed:
        assert Counter(one) == Counter(other)
        assert (one[0], one[-1]) == (other[0], other[-1])
    assert {"140", "3.2"} <= set(after)
    assert Typos(0.5, 2).make(ARTICLE).text != made


def test_the_share_of_typos_is_of_the_longer_words() -> None:
    text = " ".join(["word"] * 100)
    made = Typos(0.05, 1).make(Article(text)).text.split()
    assert sum(word != "word" for word in made) == 5
    assert sum(word != "word" for word in Typos(0.001, 1).make(Article(text)).text.split()) == 1


def test_a_person_is_renamed_everywhere_and_nobody_else_is() -> None:
    made = RenamedPerson("Anna Berg", "Clara Holm").make(ARTICLE)
    assert made.title == "Mayor Holm speaks"
    assert made.text == (
        "Clara Holm, the mayor of Nordhaven, said that 140 piles are rotten. Holm's plan costs 3.2 million euros.\n\n"
        "HOLM did not answer. Bergen is another town; Annabel Berger lives there.\n\nShop owners fear for the season."
    )


def test_names_are_renamed_at_once() -> None:
    """Berg becomes Anna, and Anna does not become Clara then."""
    made = RenamedPerson("Anna Berg", "Clara Anna").make(Article("Anna Berg spoke. Berg left. Anna stayed."))
    assert made.text == "Clara Anna spoke. Anna left. Clara stayed."


def test_particles_of_a_name_stay_words() -> None:
    made = RenamedPerson("Ludwig van Halen", "Otto Kern").make(
        Article("Ludwig van Halen took the van. Halen drove.")
    )
    assert made.text == "Otto Kern took the van. Kern drove."


def test_paragraphs_are_all_there_in_another_order() -> None:
    for seed in range(20):
        made = ShuffledParagraphs(seed).make(ARTICLE).text
        assert made != TEXT
        assert Counter(made.split("\n\n")) == Counter(TEXT.split("\n\n"))
    lines = ShuffledParagraphs(1).make(Article("One.\nTwo.\nThree.")).text
    assert Counter(lines.split("\n")) == Counter(["One.", "Two.", "Three."])


@given(st.text(max_size=200), st.integers(0, 1000))
def test_a_change_that_has_no_obstacle_can_be_made_of_any_text(text: str, seed: int) -> None:
    article = Article(text)
    for change in (Typos(0.3, seed), UpperCase(), ShuffledParagraphs(seed)):
        if not change.obstacle(article):
            assert change.make(article).text != text
