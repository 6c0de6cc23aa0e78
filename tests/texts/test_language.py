from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.texts.language import language_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The harbour authority said on Monday that it will close the old pier for nine months."),
        ("de", "Die Hafenbehörde teilte am Montag mit, dass sie den alten Pier für neun Monate schließt."),
        ("fr", "L'autorité portuaire a annoncé lundi qu'elle fermera l'ancienne jetée pendant neuf mois."),
        ("es", "La autoridad portuaria dijo el lunes que cerrará el viejo muelle durante nueve meses."),
        ("ru", "Портовое управление сообщило в понедельник, что закроет старый пирс на девять месяцев."),
        ("ar", "قالت هيئة الميناء يوم الاثنين إنها ستغلق الرصيف القديم لمدة تسعة أشهر."),
        ("zh", "港口管理局星期一表示，将关闭旧码头九个月，以便更换腐烂的木桩。"),
        ("ja", "港湾局は月曜日、古い桟橋を9か月間閉鎖すると発表した。"),
        ("hi", "बंदरगाह प्राधिकरण ने सोमवार को कहा कि वह पुराने घाट को नौ महीने के लिए बंद कर देगा।"),
    ],
)
def test_the_language_of_an_article_is_told(code: str, text: str) -> None:
    assert language_of(text) == code
    assert language_of(f"{text} {text}" * 40) == code


@pytest.mark.parametrize("text", ["", "ok", "Hello", "12 345 678 901 234 567 890", "— … —", "\x00" * 80])
def test_what_is_too_short_or_no_text_has_no_language(text: str) -> None:
    assert language_of(text) == ""


def test_the_articles_of_the_sample_are_english() -> None:
    lines = (ROOT / "reviews" / "loop" / "sample" / "articles.jsonl").read_text().splitlines()
    assert {language_of(json.loads(line)["text"]) for line in lines} == {"en"}


@given(st.text(max_size=300) | st.text(st.characters(categories=("Cs", "Lu", "Ll", "Lo")), max_size=80))
@settings(max_examples=100, deadline=None)
def test_whatever_the_text_is_the_answer_is_a_short_code_and_the_same_each_time(text: str) -> None:
    found = language_of(text)
    assert len(found) <= 8
    assert found == language_of(text)


def test_nothing_is_loaded_before_a_text_is_looked_at() -> None:
    code = "import sys; from models_app.texts import language; print('py3langid' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
