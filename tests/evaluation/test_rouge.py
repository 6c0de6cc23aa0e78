from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from models_app.evaluation import rouge
from models_app.evaluation.rouge_check import scorer_for
from models_app.texts.sentences import split_sentences
from tests.evaluation.shared_data import records

THEIRS = RougeScorer(list(rouge.METRICS), use_stemmer=True)


def expected(reference: str, prediction: str) -> tuple[tuple[float, float, float], ...]:
    scores = THEIRS.score(reference, prediction)
    return tuple(tuple(scores[metric]) for metric in rouge.METRICS)


# Few words make many ties among common subsequences, the hard part of ROUGE-Lsum.
few_words = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "running", "runs", "10"]), max_size=12), max_size=5
)
tied_text = few_words.map(lambda lines: "\n".join(" ".join(line) for line in lines))
any_text = st.text(max_size=200)
cased_ascii = st.text("aAbBsSyYiIeEdnNgG019 \n\t.,-'", max_size=120)


@settings(max_examples=400)
@given(st.one_of(tied_text, any_text, cased_ascii), st.one_of(tied_text, any_text, cased_ascii))
@example("", "")
@example("\n", "\n\n")
@example("word", "")
@example("one", "one")
@example("日本の首相は", "日本の首相は")
@example("İstanbul K ſ ß ΑΣ\nΣ", "i̇stanbul k s ss ας")
@example("a\r\nb\x85c\u2028d", "a b\nc d")
@example("\ud800 lone surrogate", "lone \udfff surrogate")
@example("yes - . \n - no", "no\n\n\nyes")
def test_texts_taken_as_they_are_score_as_in_rouge_score(reference: str, prediction: str) -> None:
    assert tuple(map(tuple, rouge.score_lines(reference, prediction))) == expected(reference, prediction)


@settings(max_examples=200)
@given(tied_text, tied_text)
def test_among_equally_long_subsequences_the_same_one_is_chosen(reference: str, prediction: str) -> None:
    assert tuple(rouge.score_lines(reference, prediction).rougeLsum) == expected(reference, prediction)[3]


def test_system_outputs_score_as_in_rouge_score() -> None:
    rows = records("summeval/summeval", 20)
    pairs = [(row["reference"], text) for row in rows for text in row["systems"].values()]
    scores = [rouge.score_pair(*pair) for pair in pairs]
    assert len(pairs) >= 300
    for (reference, prediction), score in zip(pairs, scores, strict=True):
        lines = rouge.as_lines(reference), rouge.as_lines(prediction)
        assert tuple(map(tuple, score)) == expected(*lines)


def test_whole_articles_score_as_in_rouge_score() -> None:
    for row in records("cnndm-validation-1000/validation", 30):
        lines = rouge.as_lines(row["reference"]), rouge.as_lines(row["article"])
        assert tuple(map(tuple, rouge.score_lines(*lines))) == expected(*lines)


def expected_of_several(references: list[str], prediction: str) -> tuple[tuple[float, float, float], ...]:
    scores = THEIRS.score_multi([rouge.as_lines(each) for each in references], rouge.as_lines(prediction))
    return tuple(tuple(scores[metric]) for metric in rouge.METRICS)


def test_real_texts_with_several_references_score_as_in_rouge_score() -> None:
    """Each article of the sample: its reference, its first and its last sentences, and its neighbour's reference."""
    path = Path(__file__).resolve().parents[2] / "reviews" / "loop" / "sample" / "articles.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    chosen = Counter[int]()
    for row, neighbour in zip(rows, [*rows[1:], rows[0]], strict=True):
        sentences = split_sentences(row["text"])
        references = [
            row["reference"],
            " ".join(sentences[:3]),
            " ".join(sentences[-2:]),
            neighbour["reference"],
        ]
        for prediction in (" ".join(sentences[1:4]), " ".join(sentences[-3:]), neighbour["reference"], ""):
            found = rouge.score_best(references, prediction)
            assert tuple(map(tuple, found)) == expected_of_several(references, prediction)
            each = [rouge.score_pair(reference, prediction) for reference in references]
            chosen.update(
                score.index(max(score))
                for score in zip(*[[s.fmeasure for s in one] for one in each], strict=True)
            )
    assert min(chosen.values()) > 0
    assert set(chosen) == {0, 1, 2, 3}, "each reference is the best one somewhere"


def test_outputs_of_systems_with_several_references_score_as_in_rouge_score() -> None:
    for row in records("summeval/summeval", 20):
        texts = list(row["systems"].values())
        references = [row["reference"], *texts[:4]]
        for prediction in texts[4:]:
            found = rouge.score_best(references, prediction)
            assert tuple(map(tuple, found)) == expected_of_several(references, prediction)


@settings(max_examples=200)
@given(st.lists(tied_text, min_size=1, max_size=4), tied_text)
def test_of_equally_good_references_the_first_one_counts(references: list[str], prediction: str) -> None:
    found = rouge.score_best(references, prediction)
    assert tuple(map(tuple, found)) == expected_of_several(references, prediction)


def test_each_metric_takes_its_own_best_reference() -> None:
    turned, half = "four three two one", "one two five six"
    found = rouge.score_best([turned, half], "one two three four")
    assert found.rouge1 == rouge.score_pair(turned, "one two three four").rouge1
    assert found.rouge2 == rouge.score_pair(half, "one two three four").rouge2
    assert found.rouge1.fmeasure == 1
    assert found.rouge2.fmeasure > 0


def test_no_reference_is_an_error_and_one_is_as_it_was() -> None:
    with pytest.raises(ValueError, match="no reference"):
        rouge.score_best([], "a")
    assert rouge.score_best(["A b c."], "A b.") == rouge.score_pair("A b c.", "A b.")


def test_thousands_of_words_in_use_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past 55,296 and 65,536 words the characters that stand for stems are surrogates, then wide ones."""
    vocabulary = rouge._Vocabulary()
    monkeypatch.setattr(rouge, "_current", vocabulary)
    for number in range(70_000):
        vocabulary[f"w{number}"]
    reference = " ".join(f"w{number}\n" for number in range(54_000, 69_000, 97))
    prediction = " ".join(f"w{number}" for number in range(69_500, 54_500, -101))
    assert tuple(map(tuple, rouge.score_lines(reference, prediction))) == expected(reference, prediction)


def test_the_stem_cache_starts_afresh_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rouge, "_VOCABULARY_LIMIT", 3)
    monkeypatch.setattr(rouge, "_current", rouge._Vocabulary())
    sizes = []
    for number in range(10):
        text = f"alpha{number} beta{number}"
        assert rouge.score_lines(text, text).rouge2.fmeasure == 1.0
        sizes.append(len(rouge._current))
    assert max(sizes) <= 5


def test_threads_that_share_the_stem_cache_get_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rouge, "_VOCABULARY_LIMIT", 50)
    pairs = [(f"cats{n} sit{n} quietly\nthere {n}", f"the cats{n} sat{n}\nthere there") for n in range(400)]
    wanted = [expected(*pair) for pair in pairs]
    wrong: list[int] = []

    def work() -> None:
        for number, pair in enumerate(pairs):
            if tuple(map(tuple, rouge.score_lines(*pair))) != wanted[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_lsum_is_scored_with_one_sentence_a_line() -> None:
    reference = "The river rose by two metres. Nobody was hurt."
    prediction = "Nobody was hurt. The river rose by two metres."
    assert rouge.score_lines(reference, prediction).rougeLsum.fmeasure < 1.0
    assert rouge.score_pair(reference, prediction).rougeLsum.fmeasure == 1.0


def test_line_breaks_of_a_text_are_kept() -> None:
    assert (
        rouge.as_lines("First line without a stop\nsecond. Third")
        == "First line without a stop\nsecond.\nThird"
    )
    assert rouge.as_lines("") == ""


@given(any_text)
def test_putting_sentences_on_lines_changes_no_token(text: str) -> None:
    assert rouge._WORD.findall(rouge.as_lines(text).lower()) == rouge._WORD.findall(text.lower())


def test_the_signature_names_the_versions_it_was_checked_against() -> None:
    assert f"rouge-score-{version('rouge-score')}" in rouge.SIGNATURE
    assert f"porter-nltk-{version('nltk')}" in rouge.SIGNATURE


def test_scoring_loads_neither_nltk_nor_torch() -> None:
    code = (
        "import json, sys; from models_app.evaluation import rouge; rouge.score_pair('cats', 'cat');"
        "print(json.dumps([m for m in ('nltk', 'torch', 'django', 'rouge_score') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


# Words of any script

WRITTEN = {
    "ru": (
        "Портовое управление закроет старый пирс.",
        "Старый пирс закроет портовое управление на девять месяцев.",
    ),
    "zh": ("港口管理局将关闭旧码头九个月。", "旧码头将关闭九个月。"),
    "ar": ("ستغلق هيئة الميناء الرصيف القديم.", "الرصيف القديم ستغلقه هيئة الميناء."),
    "hi": ("पुराना घाट नौ महीने के लिए बंद रहेगा।", "घाट नौ महीने बंद रहेगा।"),
    "th": ("ท่าเรือเก่าจะปิดเก้าเดือน", "ท่าเรือจะปิดเก้าเดือน"),
    "el": ("Η παλιά προβλήτα θα κλείσει.", "Θα κλείσει η παλιά προβλήτα."),
}


@pytest.mark.parametrize("code", WRITTEN)
def test_a_script_that_scores_zero_by_the_default_words_is_scored_by_those_of_any_script(code: str) -> None:
    reference, prediction = WRITTEN[code]
    assert rouge.score_pair(reference, prediction).rouge1.fmeasure == 0
    found = rouge.score_pair(reference, prediction, rouge.UNICODE)
    assert 0.3 < found.rouge1.fmeasure <= 1
    assert found.rouge2.fmeasure < found.rouge1.fmeasure
    assert rouge.score_pair(reference, reference, rouge.UNICODE).rouge2.fmeasure == 1


@settings(max_examples=300)
@given(
    st.one_of(tied_text, any_text, st.sampled_from([text for pair in WRITTEN.values() for text in pair])),
    st.one_of(tied_text, any_text, st.sampled_from([text for pair in WRITTEN.values() for text in pair])),
)
@example("İstanbul K ſ ß ΑΣ\nΣ", "i̇stanbul k s ss ας")
@example("\ud800 lone surrogate", "lone \udfff surrogate")
@example("ｆｕｌｌ ＷＩＤＴＨ １２", "full width 12")
@example("a\r\nb\x85c\u2028d", "a b\nc d")
def test_with_words_of_any_script_texts_score_as_in_rouge_score_with_these_words(
    reference: str, prediction: str
) -> None:
    scores = scorer_for(rouge.UNICODE).score(reference, prediction)
    wanted = tuple(tuple(scores[metric]) for metric in rouge.METRICS)
    assert tuple(map(tuple, rouge.score_lines(reference, prediction, rouge.UNICODE))) == wanted


def test_words_of_any_script_know_no_case_width_or_punctuation() -> None:
    assert rouge.unicode_words("Straße, STRASSE! ﬁn") == ["strasse", "strasse", "fin"]
    assert rouge.unicode_words("ＡＢＣ １２") == ["abc", "12"]
    assert rouge.unicode_words("日本の3人") == ["日", "本", "の", "3", "人"]
    assert rouge.unicode_words("बंद रहेगा।") == ["बंद", "रहेगा"]
    assert rouge.unicode_words("_ — …") == []


def test_the_words_of_a_test_set_are_those_that_its_references_are_written_in() -> None:
    assert rouge.words_for(["The old pier closes.", "Der alte Pier schließt für ein Jahr."]) == rouge.LATIN
    assert rouge.words_for([text for pair in WRITTEN.values() for text in pair]) == rouge.UNICODE
    assert rouge.words_for(["Žluťoučký kůň úpěl ďábelské ódy"]) == rouge.LATIN, "accents are no other script"
    assert rouge.words_for(["Apple 发布 iPhone 17，售价上涨百分之十，股价随后下跌"]) == rouge.UNICODE
    assert rouge.words_for([]) == rouge.words_for(["12 345"]) == rouge.LATIN


def test_the_two_kinds_of_words_have_two_signatures() -> None:
    assert rouge.SIGNATURES[rouge.LATIN] == rouge.SIGNATURE
    assert f"tokens:unicode-{rouge.UNICODE_VERSION}|" in rouge.SIGNATURES[rouge.UNICODE]
    assert "stemmer:none" in rouge.SIGNATURES[rouge.UNICODE]
