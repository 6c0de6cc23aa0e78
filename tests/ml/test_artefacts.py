from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from models_app.ml.artefacts import (
    ArtefactInfo,
    DamagedArtefact,
    artefact_from_weights,
    import_base,
    read_manifest,
    record_conversion,
    verify,
)
from models_app.ml.errors import MLError, UnsafeModel
from models_app.ml.families import load_model, load_tokenizer
from models_app.ml.recipe import Recipe
from tests.tiny_models import make_tiny_llama, make_tiny_t5

INFO = ArtefactInfo(
    base="starter", parent_digest="p", snapshot_digest="s", recipe=Recipe().to_dict(), seed=13
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_t5(tmp_path_factory.mktemp("artefacts") / "tiny-t5")


@pytest.fixture
def artefact(base: Path, tmp_path: Path) -> Path:
    artefact_from_weights(base, tmp_path / "a" / "one", info=INFO)
    return tmp_path / "a" / "one"


def test_an_artefact_says_what_it_is(artefact: Path) -> None:
    manifest = read_manifest(artefact)
    assert (manifest.family, manifest.kind) == ("t5", "encoder-decoder")
    assert manifest.architecture == "T5ForConditionalGeneration"
    model = load_model(artefact / "weights")
    assert manifest.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (manifest.base, manifest.parent_digest, manifest.snapshot_digest, manifest.seed) == (
        "starter",
        "p",
        "s",
        13,
    )
    assert manifest.recipe is not None
    assert Recipe.from_dict(manifest.recipe) == Recipe()
    assert manifest.libraries["torch"] == torch.__version__
    assert "weights/model.safetensors" in manifest.files
    assert manifest.bytes == sum(path.stat().st_size for path in (artefact / "weights").iterdir())
    assert verify(artefact) == manifest


def test_nothing_is_left_beside_it(artefact: Path) -> None:
    assert [path.name for path in artefact.parent.iterdir()] == ["one"]
    assert {path.name for path in artefact.iterdir()} == {"weights", "manifest.json"}


def test_the_same_weights_and_origin_have_the_same_digest_and_others_do_not(
    artefact: Path, tmp_path: Path
) -> None:
    weights = artefact / "weights"
    same = artefact_from_weights(weights, tmp_path / "same", info=INFO)
    assert same.digest == read_manifest(artefact).digest
    other = artefact_from_weights(weights, tmp_path / "other", info=ArtefactInfo(base="starter", seed=14))
    assert other.digest != same.digest


def test_a_base_is_imported_without_what_does_not_belong_to_it(base: Path, tmp_path: Path) -> None:
    untidy = Path(shutil.copytree(base, tmp_path / "untidy"))
    for name in ("optimizer.pt", "modeling.py", "training_args.bin"):
        (untidy / name).write_bytes(b"x")
    manifest = import_base(untidy, tmp_path / "imported")
    assert manifest.base == "untidy"
    assert manifest.parent_digest is None
    assert manifest.digest == import_base(base, tmp_path / "again", base="untidy").digest
    assert {Path(name).suffix for name in manifest.files} == {".json", ".safetensors"}
    load_model(tmp_path / "imported" / "weights")


def test_a_chat_template_comes_along(tmp_path: Path) -> None:
    import_base(make_tiny_llama(tmp_path / "llama"), tmp_path / "imported")
    assert load_tokenizer(tmp_path / "imported" / "weights").chat_template


def test_an_unsafe_base_leaves_nothing(base: Path, tmp_path: Path) -> None:
    unsafe = Path(shutil.copytree(base, tmp_path / "unsafe"))
    (unsafe / "model.safetensors").rename(unsafe / "pytorch_model.bin")
    with pytest.raises(UnsafeModel):
        import_base(unsafe, tmp_path / "out" / "imported")
    assert not (tmp_path / "out").exists()


def test_a_failure_half_way_leaves_nothing(base: Path, tmp_path: Path) -> None:
    unwritable = ArtefactInfo(
        base="starter", recipe={"began": object()}
    )  # found out when the weights are copied
    with pytest.raises(TypeError, match="not JSON serializable"):
        artefact_from_weights(base, tmp_path / "out" / "one", info=unwritable)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_artefact_is_never_overwritten(artefact: Path, base: Path) -> None:
    with pytest.raises(MLError, match="never overwritten"):
        import_base(base, artefact)
    verify(artefact)


def test_a_directory_without_manifest_does_not_exist(artefact: Path) -> None:
    (artefact / "manifest.json").unlink()
    with pytest.raises(DamagedArtefact, match="not a finished artefact"):
        read_manifest(artefact)


@pytest.mark.parametrize("field", ["base", "seed", "recipe", "files"])
def test_an_altered_manifest_is_found_out(artefact: Path, field: str) -> None:
    path = artefact / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: None if field != "files" else {}}))
    with pytest.raises(DamagedArtefact, match="altered"):
        read_manifest(artefact)


def test_an_unreadable_manifest_is_an_error_in_words(artefact: Path) -> None:
    for text in ("{", "{}", "[]", '{"conversions": [], "surprise": 1}'):
        (artefact / "manifest.json").write_text(text)
        with pytest.raises(DamagedArtefact, match="cannot be read"):
            read_manifest(artefact)


def test_altered_missing_and_added_files_are_named(artefact: Path) -> None:
    config = artefact / "weights" / "config.json"
    text = config.read_text()
    config.write_text(text.replace("64", "65"))
    with pytest.raises(DamagedArtefact, match=r"config\.json"):
        verify(artefact)
    config.write_text(text)
    (artefact / "weights" / "added.json").write_text("{}")
    with pytest.raises(DamagedArtefact, match=r"added\.json"):
        verify(artefact)
    (artefact / "weights" / "added.json").unlink()
    (artefact / "weights" / "tokenizer.json").unlink()
    with pytest.raises(DamagedArtefact, match=r"tokenizer\.json"):
        verify(artefact)


def test_a_conversion_is_recorded_hashed_and_leaves_the_digest_alone(artefact: Path) -> None:
    digest = read_manifest(artefact).digest
    (artefact / "ct2-int8").mkdir()
    (artefact / "ct2-int8" / "model.bin").write_bytes(b"converted")
    entry = {"engine": "ctranslate2", "precision": "int8", "path": "ct2-int8", "parity": {"greedy": 1.0}}
    manifest = record_conversion(artefact, entry)
    assert manifest.digest == digest
    assert read_manifest(artefact).conversions[0]["parity"] == {"greedy": 1.0}
    assert len(record_conversion(artefact, entry).conversions) == 1
    verify(artefact)
    (artefact / "ct2-int8" / "model.bin").write_bytes(b"changed")
    with pytest.raises(DamagedArtefact, match=r"ct2-int8/model\.bin"):
        verify(artefact)
