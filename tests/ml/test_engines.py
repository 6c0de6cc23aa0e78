from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models_app.ml.artefacts import WEIGHTS, ArtefactInfo, DamagedArtefact, write_manifest
from models_app.ml.convert import _logprobs
from models_app.ml.engines import (
    CTranslate2Engine,
    Engine,
    GenerationRequest,
    LeadEngine,
    TransformersEngine,
    load_engine,
)
from models_app.ml.errors import MLError, PromptTooLong, UnsupportedModel
from models_app.ml.prompting import DEFAULT_CHAT, PromptSpec, default_prompt
from models_app.ml.recipe import Decoding
from models_app.ml.stopping import finished
from tests.ml.conftest import Artefacts
from tests.tiny_models import MAKERS, WORDS

CONVERTED = ("t5", "flan-t5", "bart", "pegasus", "gpt2", "llama")
SHORT = Decoding(max_new_tokens=12)
VARIANTS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "repetition": {"repetition_penalty": 1.4},
    "ngram": {"no_repeat_ngram": 2},
    "least length": {"min_new_tokens": 10},
    "beam": {"beams": 4},
    "beam, long": {"beams": 3, "length_penalty": 2.0},
    "beam, short": {"beams": 3, "length_penalty": 0.5},
    "beam, ngram": {"beams": 4, "no_repeat_ngram": 2},
    "beam, least length": {"beams": 4, "min_new_tokens": 10},
}


def article(words: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return "".join(
        f"{' '.join(rng.choices(WORDS, k=min(8, words - at)))}. " for at in range(0, words, 8)
    ).strip()


def requests(count: int) -> list[GenerationRequest]:
    rng = random.Random(3)
    return [GenerationRequest(article(rng.randint(3, 70), seed)) for seed in range(count)]


def prompt(family: str) -> PromptSpec:
    return default_prompt("t5" if family == "flan-t5" else family)


def replicas(family: str, back_end: str = "auto") -> int:
    """Two where CTranslate2 answers; torch would take two threads for one small sum, and for every test after it."""
    return 2 if family in CONVERTED and back_end != "transformers" else 1


@pytest.fixture
def opened() -> Iterator[list[Engine]]:
    engines: list[Engine] = []
    yield engines
    for engine in engines:
        engine.close()


# ---------------------------------------------------------------- leading sentences


def test_lead_writes_the_first_three_sentences_on_one_line() -> None:
    text = "(CNN)One fell.\nTwo rose. Mr. Three won 3.5 points. Four closed."
    (lead,) = LeadEngine().generate([GenerationRequest(text)], prompt=DEFAULT_CHAT, decoding=SHORT)
    assert lead.text == "(CNN)One fell. Two rose. Mr. Three won 3.5 points."
    assert (lead.finish, lead.truncated) == ("stop", False)
    assert (lead.input_tokens, lead.output_tokens) == (11, 9)


def test_lead_of_a_short_article_is_the_article() -> None:
    for text in ("Only one.", "No stop", ""):
        (lead,) = LeadEngine().generate([GenerationRequest(text)], prompt=DEFAULT_CHAT, decoding=SHORT)
        assert lead.text == text


def test_lead_keeps_to_the_words_that_were_asked_for() -> None:
    request = GenerationRequest("One fell here. Two rose there. Three won.", max_words=6)
    (lead,) = LeadEngine().generate([request], prompt=DEFAULT_CHAT, decoding=SHORT)
    assert (lead.text, lead.finish) == ("One fell here. Two rose there.", "length")


# ---------------------------------------------------------------- how a text ends


@pytest.mark.parametrize(
    ("text", "ended", "max_words", "expected"),
    [
        ("One fell. Two rose.", True, None, ("One fell. Two rose.", "stop")),
        ("One fell. Two rose", True, None, ("One fell. Two rose", "stop")),
        ("One fell. Two rose, and", False, None, ("One fell.", "length")),
        ("One fell. Two rose.", False, None, ("One fell. Two rose.", "length")),
        ("One fell. He met Mr.", False, None, ("One fell.", "length")),
        ("One fell and", False, None, ("One fell and", "length")),
        ("  One fell.\n", True, None, ("One fell.", "stop")),
        ("One fell. Two rose.", True, 4, ("One fell. Two rose.", "stop")),
        ("One fell. Two rose.", True, 3, ("One fell.", "length")),
        ("One fell, then two rose.", True, 2, ("One fell…", "length")),
        ("", False, 5, ("", "length")),
    ],
)
def test_a_text_that_was_cut_ends_at_a_sentence(
    text: str, ended: bool, max_words: int | None, expected: tuple[str, str]
) -> None:
    assert finished(text, ended=ended, max_words=max_words) == expected


# ---------------------------------------------------------------- every family


@pytest.mark.parametrize("family", [*MAKERS, "flan-t5"])
def test_every_family_is_served_by_the_engine_that_can(
    family: str, tiny: Artefacts, opened: list[Engine]
) -> None:
    engine = load_engine(tiny.converted(family), device="cpu")
    opened.append(engine)
    expected = ("ctranslate2", "int8") if family in CONVERTED else ("transformers", "float32")
    assert (engine.name, engine.precision) == expected
    asked = [*requests(5), GenerationRequest(article(400), title="a new bridge", domain="news")]
    decoding = Decoding(max_new_tokens=9, max_input_tokens=64)
    answers = engine.generate(asked, prompt=prompt(family), decoding=decoding)
    assert len({answer.text for answer in answers}) >= 4
    for answer in answers:
        assert 0 < answer.output_tokens <= 9
        assert (answer.finish == "length") >= (answer.output_tokens == 9)
        assert answer.input_tokens <= 64
        assert "<" not in answer.text
        assert "[" not in answer.text
    assert not answers[0].truncated
    assert answers[0].kept_text_tokens == answers[0].total_text_tokens
    assert answers[5].truncated
    assert answers[5].kept_text_tokens < 64 < answers[5].total_text_tokens
    assert answers == engine.generate(asked, prompt=prompt(family), decoding=decoding)
    assert engine.generate([], prompt=prompt(family), decoding=decoding) == []


@pytest.mark.parametrize("variant", ["greedy", "repetition", "ngram", "least length", "beam, long"])
@pytest.mark.parametrize("family", [*MAKERS, "flan-t5"])
def test_an_answer_does_not_depend_on_what_else_is_asked(
    family: str, variant: str, tiny: Artefacts, opened: list[Engine]
) -> None:
    engine = load_engine(tiny.converted(family, "float32"), device="cpu", threads=replicas(family))
    opened.append(engine)
    decoding = Decoding(max_new_tokens=12, max_input_tokens=64, **VARIANTS[variant])
    asked = requests(10 if family in CONVERTED else 3)
    together = engine.generate(asked, prompt=prompt(family), decoding=decoding)
    alone = [engine.generate([one], prompt=prompt(family), decoding=decoding)[0] for one in asked]
    assert together == alone


@pytest.mark.parametrize("family", CONVERTED)
def test_both_back_ends_write_the_same(family: str, tiny: Artefacts, opened: list[Engine]) -> None:
    artefact = tiny.converted(family, "float32")
    ours = load_engine(artefact, backend="ctranslate2", device="cpu")
    theirs = load_engine(artefact, backend="transformers", device="cpu")
    opened += [ours, theirs]
    asked = requests(4)
    for variant, settings in VARIANTS.items():
        decoding = Decoding(max_new_tokens=14, max_input_tokens=64, **settings)
        found = ours.generate(asked, prompt=prompt(family), decoding=decoding)
        assert found == theirs.generate(asked, prompt=prompt(family), decoding=decoding), variant


@pytest.mark.parametrize("family", ["t5", "llama", "prophetnet"])
def test_the_least_and_the_greatest_length_hold(family: str, tiny: Artefacts, opened: list[Engine]) -> None:
    engine = load_engine(tiny.converted(family), device="cpu")
    opened.append(engine)
    asked = requests(6)
    decoding = Decoding(max_new_tokens=11, min_new_tokens=11)
    answers = engine.generate(asked, prompt=prompt(family), decoding=decoding)
    assert {answer.output_tokens for answer in answers} == {11}
    (one,) = engine.generate(asked[:1], prompt=prompt(family), decoding=Decoding(max_new_tokens=1))
    assert one.output_tokens <= 1


def test_max_words_of_a_request_is_asked_for_and_kept(tiny: Artefacts, opened: list[Engine]) -> None:
    engine = load_engine(tiny.converted("llama"), device="cpu")
    opened.append(engine)
    asks = PromptSpec("chat", "", "{max_words} {text}")
    text = article(30)
    decoding = Decoding(max_new_tokens=20, min_new_tokens=20)
    free, short = engine.generate(
        [GenerationRequest(text), GenerationRequest(text, max_words=4)], prompt=asks, decoding=decoding
    )
    assert len(short.text.split()) <= 4 < len(free.text.split())
    assert short.finish == "length"


@pytest.mark.parametrize(
    ("family", "back_end"),
    [
        *((family, "ctranslate2") for family in CONVERTED),
        *((family, "transformers") for family in (*MAKERS, "flan-t5")),
    ],
)
def test_a_text_that_has_all_its_words_is_not_written_further(
    family: str, back_end: Any, tiny: Artefacts, opened: list[Engine]
) -> None:
    engine = load_engine(
        tiny.converted(family, "float32"), backend=back_end, device="cpu", threads=replicas(family, back_end)
    )
    opened.append(engine)
    decoding = Decoding(max_new_tokens=26, min_new_tokens=26, max_input_tokens=64)
    asked = requests(6)
    whole = engine.generate(asked, prompt=prompt(family), decoding=decoding)
    limits = (3, 5, 9, 40, None, 1)
    limited = [replace(one, max_words=most) for one, most in zip(asked, limits, strict=True)]
    answers = engine.generate(limited, prompt=prompt(family), decoding=decoding)
    for full, answer, most in zip(whole, answers, limits, strict=True):
        expected = (full.text, full.finish)
        if most is not None and len(full.text.split()) > most:
            expected = finished(full.text, ended=True, max_words=most)
            assert most < answer.output_tokens
        assert (answer.text, answer.finish) == expected
    assert sum(answer.output_tokens for answer in answers) < sum(full.output_tokens for full in whole)


@pytest.mark.parametrize("family", ["bart", "gpt2", "prophetnet", "bert2bert"])
def test_nothing_runs_past_the_models_positions(family: str, tiny: Artefacts, opened: list[Engine]) -> None:
    engine = load_engine(tiny.converted(family), device="cpu")
    opened.append(engine)
    decoding = Decoding(max_new_tokens=100, min_new_tokens=100, max_input_tokens=4000)
    (answer,) = engine.generate([GenerationRequest(article(500))], prompt=prompt(family), decoding=decoding)
    assert answer.truncated
    assert answer.output_tokens == 100
    assert answer.input_tokens <= (28 if family == "gpt2" else 128)


def test_what_cannot_fit_is_refused_with_what_to_do(tiny: Artefacts, opened: list[Engine]) -> None:
    engine = load_engine(tiny.converted("gpt2"), device="cpu")
    opened.append(engine)
    with pytest.raises(UnsupportedModel, match=r"128 positions.*Lower max_new_tokens"):
        engine.generate(requests(1), prompt=prompt("gpt2"), decoding=Decoding(max_new_tokens=128))
    long = PromptSpec("prefix", "", article(60) + " {text}")
    with pytest.raises(PromptTooLong):
        engine.generate(requests(1), prompt=long, decoding=Decoding(max_input_tokens=40))


@pytest.mark.parametrize("back_end", ["transformers", "ctranslate2"])
def test_generation_settings_of_the_base_do_not_leak_into_a_release(
    back_end: Any, tiny: Artefacts, opened: list[Engine], tmp_path: Path
) -> None:
    artefact = tiny.converted("bart", "float32")
    changed = tmp_path / "changed"
    shutil.copytree(artefact, changed)
    conversions = json.loads((artefact / "manifest.json").read_text())["conversions"]
    path = changed / WEIGHTS / "generation_config.json"
    settings = json.loads(path.read_text())
    settings |= {
        "num_beams": 4,
        "no_repeat_ngram_size": 1,
        "max_length": 5,
        "min_length": 3,
        "length_penalty": 3.0,
    }
    path.write_text(json.dumps(settings))
    write_manifest(changed, info=ArtefactInfo(base="tiny"))
    manifest = json.loads((changed / "manifest.json").read_text())
    (changed / "manifest.json").write_text(json.dumps(manifest | {"conversions": conversions}))
    for directory in (artefact, changed):
        opened.append(load_engine(directory, backend=back_end, device="cpu"))
    first, second = (engine.generate(requests(4), prompt=prompt("bart"), decoding=SHORT) for engine in opened)
    assert first == second


def test_a_forced_first_token_is_forced_by_both(
    tiny: Artefacts, opened: list[Engine], tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(tiny.base("bart") / WEIGHTS, weights)
    converted = tiny.converted("bart", "float32") / "ct2-float32"
    settings = json.loads((weights / "generation_config.json").read_text())
    (weights / "generation_config.json").write_text(json.dumps({**settings, "forced_bos_token_id": 20}))
    ours = CTranslate2Engine(weights, converted, precision="float32")
    theirs = TransformersEngine(weights)
    opened += [ours, theirs]
    sources = [[0, 30, 31, 32, 2], [0, 33, 2]]
    for settings in VARIANTS.values():
        decoding = Decoding(max_new_tokens=10, **settings)
        found = ours.write(sources, decoding)
        assert found == theirs.write(sources, decoding)
        assert {written.ids[0] for written in found} == {20}


# ---------------------------------------------------------------- the process around it


def test_a_slot_with_ctranslate2_never_imports_torch(tiny: Artefacts) -> None:
    paths = [str(tiny.converted(family)) for family in ("llama", "t5")]
    code = f"""
import sys
from pathlib import Path
from models_app.ml.engines import GenerationRequest, load_engine
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
for path, kind in zip({paths!r}, ("chat", "prefix")):
    engine = load_engine(Path(path), threads=2)
    prompt = PromptSpec(kind, "", "summarize {{text}}")
    asked = [GenerationRequest("the mayor opened the library.")] * 3
    answers = engine.generate(asked, prompt=prompt, decoding=Decoding())
    assert engine.name == "ctranslate2" and len(answers) == 3 and answers[0].text, answers
    engine.close()
print(sorted(name for name in ("torch", "transformers", "ctranslate2", "scipy", "pandas") if name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "['ctranslate2', 'transformers']"


@pytest.mark.parametrize("family", ["t5", "llama", "bert2bert"])
def test_threads_may_share_an_engine(family: str, tiny: Artefacts, opened: list[Engine]) -> None:
    engine = load_engine(tiny.converted(family), device="cpu", threads=replicas(family))
    opened.append(engine)
    asked = requests(8)
    expected = engine.generate(asked, prompt=prompt(family), decoding=SHORT)
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = engine.generate(asked[number::2], prompt=prompt(family), decoding=SHORT)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: expected[0::2], 1: expected[1::2]}


@pytest.mark.parametrize("family", ["t5", "prophetnet"])
def test_a_closed_engine_says_so(family: str, tiny: Artefacts) -> None:
    with closing(load_engine(tiny.converted(family), device="cpu")) as engine:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        engine.generate(requests(1), prompt=prompt(family), decoding=SHORT)


def test_an_artefact_without_a_fitting_conversion_falls_to_transformers_only_if_allowed(
    tiny: Artefacts, opened: list[Engine]
) -> None:
    base = tiny.base("t5")
    engine = load_engine(base, device="cpu")
    opened.append(engine)
    assert engine.name == "transformers"
    with pytest.raises(MLError, match="no conversion"):
        load_engine(base, backend="ctranslate2", device="cpu")


def test_a_float16_conversion_is_not_chosen_on_a_cpu(tiny: Artefacts, tmp_path: Path) -> None:
    artefact = tmp_path / "artefact"
    shutil.copytree(tiny.converted("t5"), artefact)
    manifest = json.loads((artefact / "manifest.json").read_text())
    manifest["conversions"][0]["precision"] = "float16"
    (artefact / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MLError, match="no conversion"):
        load_engine(artefact, backend="ctranslate2", device="cpu")


def test_a_directory_without_a_manifest_is_no_artefact(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtefact, match=r"no manifest\.json"):
        load_engine(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first time the starter has to be converted
def test_a_slot_with_the_starter_stays_below_700_mb(starter_artefact: Path) -> None:
    """Two articles of 400 words at once, as two replicas serve them."""
    code = f"""
import sys
from pathlib import Path
from models_app.ml.engines import GenerationRequest, load_engine
from models_app.ml.prompting import DEFAULT_CHAT
from models_app.ml.recipe import Decoding
engine = load_engine(Path({str(starter_artefact)!r}), threads=2, device="cpu")
sentence = "The council of Northbridge voted seven to two on Monday to close the old river bridge for repairs. "
asked = [GenerationRequest(sentence * 22 + end) for end in ("It opens again in May.", "Nobody knows for how long.")]
decoding = Decoding(max_input_tokens=1024, max_new_tokens=60, repetition_penalty=1.1)
answers = engine.generate(asked, prompt=DEFAULT_CHAT, decoding=decoding)
assert all("bridge" in answer.text and not answer.truncated for answer in answers), answers
assert "torch" not in sys.modules
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 700_000, f"{int(run.stdout) / 1000:.0f} MB"


# ---------------------------------------------------------------- confidence


@pytest.mark.parametrize("family", ["t5", "bart", "llama"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_back_ends_are_as_sure_of_the_same_text(
    tiny: Artefacts, opened: list[Engine], family: str, variant: str
) -> None:
    decoding = Decoding(max_new_tokens=12, **VARIANTS[variant])
    given = []
    for backend in ("ctranslate2", "transformers"):
        engine = load_engine(tiny.converted(family, "float32"), backend=backend, device="cpu")
        opened.append(engine)
        given.append(engine.generate(requests(5), prompt=prompt(family), decoding=decoding))
    for one, other in zip(*given, strict=True):
        assert one.text == other.text
        assert other.confidence == pytest.approx(one.confidence, abs=1e-4)


@pytest.mark.parametrize("family", ["t5", "bart", "llama"])
@pytest.mark.parametrize("variant", ["greedy", "beam", "beam, long"])
def test_confidence_is_the_mean_probability_of_the_written_tokens(
    tiny: Artefacts, opened: list[Engine], family: str, variant: str
) -> None:
    decoding = Decoding(max_new_tokens=12, **VARIANTS[variant])
    engine = load_engine(tiny.converted(family, "float32"), backend="ctranslate2")
    opened.append(engine)
    assert isinstance(engine, CTranslate2Engine)
    source = engine._encode(requests(1)[0], prompt(family), decoding, engine._limits(decoding)).input_ids
    (written,) = engine.write([source], decoding)
    assert written.log_probability is not None
    targets = [*written.ids, *([engine.special.ends[0]] if written.ended else [])]
    (probabilities,) = _logprobs(engine, [source], [targets])
    assert written.log_probability == pytest.approx(sum(probabilities) / len(probabilities), abs=1e-3)
    (generation,) = engine.generate(requests(1), prompt=prompt(family), decoding=decoding)
    assert generation.confidence == pytest.approx(math.exp(written.log_probability), abs=1e-6)
    (lead,) = LeadEngine().generate(requests(1), prompt=DEFAULT_CHAT, decoding=SHORT)
    assert lead.confidence is None
