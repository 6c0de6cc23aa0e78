from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models_app.ml import convert as converting
from models_app.ml.artefacts import WEIGHTS, import_base, read_manifest, verify
from models_app.ml.convert import TOLERANCE, convert
from models_app.ml.engines import load_engine
from models_app.ml.errors import OutOfDisk
from models_app.ml.families import load_model, load_tokenizer
from tests.ml.conftest import Artefacts, strengthen
from tests.tiny_models import CHAT_TEMPLATE, make_tiny_bart, make_tiny_t5, make_tokenizer


@pytest.fixture
def t5(tiny: Artefacts, tmp_path: Path) -> Path:
    """An unconverted artefact of its own for the test to change."""
    return Path(shutil.copytree(tiny.base("t5"), tmp_path / "artefact"))


@pytest.mark.parametrize("family", ["t5", "flan-t5", "bart", "pegasus", "gpt2", "llama"])
def test_a_conversion_computes_the_same_and_is_recorded(family: str, tiny: Artefacts) -> None:
    artefact = tiny.converted(family)
    manifest = verify(artefact)
    (conversion,) = manifest.conversions
    assert (conversion["engine"], conversion["precision"], conversion["path"]) == (
        "ctranslate2",
        "int8",
        "ct2-int8",
    )
    parity = conversion["parity"]
    assert parity["tokenizer"] is True
    assert parity["greedy"] == parity["beam"] == parity["probes"] == 3
    assert 0 < parity["logprob"] <= TOLERANCE
    assert 0 < parity["int8"]["logprob_mean"] <= parity["int8"]["logprob_largest"]
    assert "ct2-int8/model.bin" in conversion["files"]
    assert manifest.digest == read_manifest(tiny.base(family)).digest
    assert {path.name for path in artefact.iterdir()} == {WEIGHTS, "ct2-int8", "manifest.json"}
    size = {name: entry["bytes"] for name, entry in conversion["files"].items()}
    assert size["ct2-int8/model.bin"] < sum(entry["bytes"] for entry in manifest.files.values())


@pytest.mark.parametrize("family", ["prophetnet", "bert2bert"])
def test_what_ctranslate2_cannot_run_is_left_to_transformers_with_the_reason(
    family: str, tiny: Artefacts
) -> None:
    (entry,) = verify(tiny.converted(family)).conversions
    assert (entry["engine"], entry["path"]) == ("transformers", WEIGHTS)
    assert "cannot run" in entry["reason"]


def test_an_untied_t5_is_not_scaled_and_the_check_would_notice(
    tiny: Artefacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers says of every T5 that it is tied; the converter of CTranslate2 believes it."""
    model = load_model(tiny.base("flan-t5") / WEIGHTS)
    assert model.config.tie_word_embeddings
    assert not model.config.scale_decoder_outputs
    artefact = Path(shutil.copytree(tiny.base("flan-t5"), tmp_path / "artefact"))
    monkeypatch.setattr(converting, "_scales_outputs", lambda config: config.tie_word_embeddings)
    assert convert(artefact, "int8") is None
    (entry,) = verify(artefact).conversions
    assert entry["engine"] == "transformers"
    assert "log-probabilities" in entry["reason"]
    assert not (artefact / "ct2-int8").exists()
    assert load_engine(artefact, device="cpu").name == "transformers"


def test_another_tokenizer_than_the_models_own_is_noticed(tmp_path: Path) -> None:
    make_tiny_t5(tmp_path / "t5")
    make_tiny_bart(tmp_path / "bart")
    ours, theirs = load_tokenizer(tmp_path / "t5"), load_tokenizer(tmp_path / "bart")
    assert converting._same_tokenizer(ours, ours)
    assert not converting._same_tokenizer(ours, theirs)
    parity = {"tokenizer": False, "logprob": 0.0, "beam_score": 0.0}
    assert "the tokenizer" in converting._refusal(parity)["refused"]


@pytest.mark.parametrize(("logprob", "beam_score"), [(0.1, 0.0), (0.0, 0.1), (float("nan"), 0.0)])
def test_a_conversion_that_is_off_is_refused(logprob: float, beam_score: float) -> None:
    parity = {"tokenizer": True, "logprob": logprob, "beam_score": beam_score}
    assert "differs from transformers" in converting._refusal(parity)["refused"]
    assert not converting._refusal({"tokenizer": True, "logprob": 1e-5, "beam_score": -0.2})


def test_embeddings_with_more_rows_than_the_tokenizer_has_tokens(tmp_path: Path) -> None:
    model_dir = make_tiny_t5(tmp_path / "model")
    model = load_model(model_dir)
    model.resize_token_embeddings(model.config.vocab_size + 13)
    model.save_pretrained(model_dir)
    strengthen(model_dir)
    import_base(model_dir, tmp_path / "artefact")
    conversion = convert(tmp_path / "artefact", "int8")
    assert conversion is not None
    assert conversion.parity["greedy"] == 3


RELATIVES = {"mt5": "MT5", "umt5": "UMT5", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}


@pytest.mark.parametrize("model_type", [*RELATIVES, "phi3"])
def test_relatives_of_the_families_convert_or_say_why_not(model_type: str, tmp_path: Path) -> None:
    _make_relative(model_type, tmp_path / "model")
    import_base(tmp_path / "model", tmp_path / "artefact")
    conversion = convert(tmp_path / "artefact", "int8")
    if model_type in RELATIVES:
        assert conversion is not None
        assert conversion.parity["beam"] == conversion.parity["greedy"] == 3
    else:
        (entry,) = verify(tmp_path / "artefact").conversions
        assert "CTranslate2 cannot read this model" in entry["reason"]


def _make_relative(model_type: str, path: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    name = RELATIVES.get(model_type, "Phi3")
    sizes: dict[str, Any]
    if model_type.endswith("t5"):
        specials = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        tokenizer = make_tokenizer(path, specials=specials, suffix="</s>")
        kind = "ForConditionalGeneration"
        sizes = {
            "d_model": 64,
            "d_kv": 16,
            "d_ff": 128,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        }
    else:
        specials = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<unk>"}
        tokenizer = make_tokenizer(path, specials=specials, chat_template=CHAT_TEMPLATE)
        kind = "ForCausalLM"
        sizes = {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
        }
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id or 0}
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer) + 3, **sizes, **ids)
    getattr(transformers, f"{name}{kind}")(config).eval().save_pretrained(path)
    strengthen(path)


def test_leftovers_of_a_killed_conversion_are_removed(t5: Path) -> None:
    (t5 / ".converting" / "float32").mkdir(parents=True)
    (t5 / ".converting" / "float32" / "model.bin").write_bytes(b"half")
    assert convert(t5, "int8") is not None
    assert not (t5 / ".converting").exists()
    verify(t5)


def test_converting_again_replaces_and_another_precision_adds(t5: Path) -> None:
    convert(t5, "int8")
    convert(t5, "int8")
    convert(t5, "float32")
    assert [entry["path"] for entry in verify(t5).conversions] == ["ct2-int8", "ct2-float32"]


def test_without_room_nothing_is_changed(t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads((t5 / "manifest.json").read_text())
    usage = shutil.disk_usage(t5)
    monkeypatch.setattr("models_app.ml.storage.shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OutOfDisk, match="Converting the model needs"):
        convert(t5, "int8")
    assert json.loads((t5 / "manifest.json").read_text()) == before
    assert {path.name for path in t5.iterdir()} == {WEIGHTS, "manifest.json"}


def test_a_disk_that_fills_while_converting_leaves_the_artefact_as_it_was(
    t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converting, "_write_model", full)
    with pytest.raises(OutOfDisk):
        convert(t5, "int8")
    assert {path.name for path in t5.iterdir()} == {WEIGHTS, "manifest.json"}
    assert not read_manifest(t5).conversions
