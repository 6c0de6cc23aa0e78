from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from models_app.ml import families
from models_app.ml.errors import MLError, ModelUnavailable, OutOfDisk, UnsafeModel, UnsupportedModel
from models_app.ml.families import (
    check_model_directory,
    detect_family,
    load_model,
    load_tokenizer,
    position_limit,
    resolve_base,
)
from tests.tiny_models import MAKERS, make_tiny_t5

LIMITS = {
    "bart": 128,
    "pegasus": 128,
    "prophetnet": 128,
    "bert2bert": 128,
    "gpt2": 128,
    "llama": 256,
    "t5": None,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture
def model(tiny: dict[str, Path], tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny["t5"], tmp_path / "model"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", MAKERS)
def test_every_family_is_recognised_loaded_and_padded(tiny: dict[str, Path], name: str) -> None:
    family = check_model_directory(tiny[name])
    assert family is detect_family(tiny[name]) is families.FAMILIES[name]
    assert position_limit(tiny[name]) == LIMITS[name]
    model, tokenizer = load_model(tiny[name]), load_tokenizer(tiny[name])
    assert not model.training
    assert model.dtype == torch.float32
    assert tokenizer.pad_token_id is not None
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    for path in family.layers:
        assert len(model.get_submodule(path)) == 2
    if family.kind == "encoder-decoder":
        assert model.config.decoder_start_token_id is not None
        assert model.config.eos_token_id is not None


def test_the_checks_need_no_torch(tiny: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from models_app.ml.families import check_model_directory\n"
        "check_model_directory(Path(sys.argv[1])); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny["t5"])], check=True, timeout=60)


def refusal(path: Path) -> MLError:
    with pytest.raises(MLError) as refused:
        check_model_directory(path)
    return refused.value


def test_a_directory_without_tokenizer_is_refused(model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()
    error = refusal(model)
    assert isinstance(error, UnsupportedModel)
    assert "tokenizer.save_pretrained" in error.message


def test_pickle_weights_are_refused_with_what_to_do(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    error = refusal(model)
    assert isinstance(error, UnsafeModel)
    assert "save_pretrained" in error.message
    with pytest.raises(UnsafeModel):
        load_model(model)


def test_other_or_no_weights_are_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "has no weights" in refusal(model).message
    (model / "model.gguf").write_bytes(b"GGUF")
    assert "other programs" in refusal(model).message


@pytest.mark.parametrize("model_type", ["bloom", "gemma2", None])
def test_an_unknown_architecture_is_refused_with_the_known_ones(model: Path, model_type: str | None) -> None:
    change_json(model / "config.json", model_type=model_type)
    error = refusal(model)
    assert isinstance(error, UnsupportedModel)
    assert str(model_type) in error.message
    assert "pegasus" in error.message


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_that_brings_code_is_refused(model: Path, file: str) -> None:
    change_json(model / file, auto_map={"AutoModel": "modeling_evil.Evil"})
    error = refusal(model)
    assert isinstance(error, UnsafeModel)
    assert "auto_map" in error.message


def test_quantized_weights_are_refused(model: Path) -> None:
    change_json(model / "config.json", quantization_config={"quant_method": "gptq"})
    assert "quantized" in refusal(model).message


def test_a_pair_of_other_models_is_refused(tiny: dict[str, Path], tmp_path: Path) -> None:
    pair = Path(shutil.copytree(tiny["bert2bert"], tmp_path / "pair"))
    change_json(pair / "config.json", encoder={"model_type": "vit"})
    assert "not vit with bert" in refusal(pair).message


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-10],
        lambda data: b"",
        lambda data: b"\xff" * 100,
        lambda data: (20_000).to_bytes(8, "little") + b"[" * 20_000,
    ],
)
def test_a_broken_copy_is_refused_before_it_is_loaded(model: Path, damage: Callable[[bytes], bytes]) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    assert "not a whole safetensors file" in refusal(model).message


def test_missing_shards_are_named(model: Path) -> None:
    load_model(model).save_pretrained(model / "sharded", max_shard_size="100KB")
    load_tokenizer(model).save_pretrained(model / "sharded")
    check_model_directory(model / "sharded")
    next((model / "sharded").glob("model-00002*.safetensors")).unlink()
    assert "model-00002-of" in refusal(model / "sharded").message
    index = {"weight_map": {"shared.weight": "../../model.safetensors"}}
    (model / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks parts" in refusal(model / "sharded").message


def test_broken_configurations_are_refused(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text("{")
    assert "not valid JSON" in refusal(model).message
    (model / "config.json").write_text("[" * 20_000)
    assert "not valid JSON" in refusal(model).message
    (model / "config.json").write_text("[]")
    assert "not a JSON object" in refusal(model).message
    (model / "config.json").unlink()
    assert "has no config.json" in refusal(model).message
    assert "no directory" in refusal(tmp_path / "nowhere").message


def test_a_local_directory_is_a_base(model: Path, tmp_path: Path) -> None:
    assert resolve_base(str(model), tmp_path / "cache") == model.resolve()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UnsafeModel):
        resolve_base(str(model), tmp_path / "cache")


@pytest.mark.parametrize(
    "reference", ["/no/such/model", "./model", "../model", "~/nothing-here", "a b", "a/b/c", ""]
)
def test_what_is_neither_a_directory_nor_a_name_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no model directory"):
        resolve_base(reference, tmp_path)


# ------------------------------------------------------------------- the hub, played by a server on loopback


class _Hub(BaseHTTPRequestHandler):
    """The calls of the Hugging Face hub that fetching a model makes: what is there, and each file."""

    root: Path
    requested: list[str]
    commit = "0" * 39 + "1"

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer(head=False)

    def _answer(self, head: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/gated"):
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, head)
        elif path.startswith(("/api/models/toy/", "/api/models/pickled/")):
            self._model_info(path.split("/")[3], "/tree/" in path, head)
        elif path.startswith("/toy/model/resolve/"):
            name = path.rsplit("/", 1)[1]
            self.requested.append(name)
            data = (self.root / name).read_bytes()
            self._send(200, data, {"ETag": f'"{name}-1"', "X-Repo-Commit": self.commit}, head)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, head)

    def _model_info(self, owner: str, tree: bool, head: bool) -> None:
        names = ["pytorch_model.bin", "config.json"]
        if owner == "toy":
            names = [path.name for path in self.root.iterdir()]
        answer: object = {
            "id": f"{owner}/model",
            "sha": self.commit,
            "siblings": [{"rfilename": name, "size": 10} for name in names],
        }
        if tree:
            answer = [{"type": "file", "path": name, "size": 10, "oid": f"{name}-1"} for name in names]
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, head)

    def _send(self, status: int, body: bytes, headers: dict[str, str], head: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing on the terminal of the tests."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    make_tiny_t5(tmp_path / "remote")
    (tmp_path / "remote" / "evil.py").write_text("raise SystemExit")
    (tmp_path / "remote" / "optimizer.pt").write_bytes(b"pickle")
    handler = type("Handler", (_Hub,), {"root": tmp_path / "remote", "requested": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def nobody_listens() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_hub_name_is_fetched_without_code_or_pickles_and_found_again_offline(
    hub: type[_Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = resolve_base("toy/model", tmp_path / "cache")
    assert check_model_directory(path).name == "t5"
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(hub.requested)
    assert not {"evil.py", "optimizer.pt"} & set(hub.requested)
    assert resolve_base("toy/model", tmp_path / "cache", offline=True) == path
    monkeypatch.setenv("HF_ENDPOINT", nobody_listens())
    assert resolve_base("toy/model", tmp_path / "cache") == path


def test_a_hub_model_with_pickles_only_is_refused_before_anything_is_fetched(
    hub: type[_Hub], tmp_path: Path
) -> None:
    with pytest.raises(UnsafeModel, match="pickle"):
        resolve_base("pickled/model", tmp_path / "cache")
    assert hub.requested == []


def test_missing_and_gated_models_are_told_apart(hub: type[_Hub], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no model nobody/nothing"):
        resolve_base("nobody/nothing", tmp_path / "cache")
    with pytest.raises(ModelUnavailable, match="accept its terms"):
        resolve_base("gated/model", tmp_path / "cache")


def test_a_model_larger_than_the_disk_is_not_begun(
    hub: type[_Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(OutOfDisk, match="Free some space"):
        resolve_base("toy/model", tmp_path / "cache")
    assert hub.requested == []


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", nobody_listens())
    with pytest.raises(ModelUnavailable, match="could not be reached") as error:
        resolve_base("google-t5/t5-small", tmp_path / "cache", offline=False)
    assert "needs no network" in error.value.message
    with pytest.raises(ModelUnavailable, match="switched off"):
        resolve_base("google-t5/t5-small", tmp_path / "cache", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="switched off"):
        resolve_base("google-t5/t5-small", tmp_path / "cache")
