"""The model families that can be trained and served: recognised, checked, fetched and loaded.

Everything up to loading reads only JSON and file headers and imports no torch. Nothing that a model brings
along is ever run: safetensors only, no remote code.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from models_app.ml.errors import MLError, ModelUnavailable, OutOfDisk, UnsafeModel, UnsupportedModel
from models_app.ml.prompting import PromptSpec, default_prompt
from models_app.ml.starter import prepare_starter

Kind = Literal["encoder-decoder", "decoder-only"]

STARTER = "starter"


@dataclass(frozen=True)
class Family:
    name: str
    kind: Kind
    model_types: tuple[str, ...]  #: of config.json
    layers: tuple[str, ...]  #: where the blocks are, as attribute paths inside the model
    lora_targets: tuple[str, ...]  #: the projections that LoRA adapts, by last part of their name

    @property
    def default_prompt(self) -> PromptSpec:
        return default_prompt(self.name)


#: Llama-type models are those whose logits are the output embedding times the last hidden state, with nothing
#: in between (Gemma 2 caps them, Cohere scales them): training computes logits only where there is a label.
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "t5",
            "encoder-decoder",
            ("t5", "mt5", "umt5"),
            ("encoder.block", "decoder.block"),
            ("q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"),
        ),
        Family(
            "bart",
            "encoder-decoder",
            ("bart",),
            ("model.encoder.layers", "model.decoder.layers"),
            ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        ),
        Family(
            "pegasus",
            "encoder-decoder",
            ("pegasus",),
            ("model.encoder.layers", "model.decoder.layers"),
            ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        ),
        Family(
            "prophetnet",
            "encoder-decoder",
            ("prophetnet",),
            ("prophetnet.encoder.layers", "prophetnet.decoder.layers"),
            ("query_proj", "key_proj", "value_proj", "out_proj", "intermediate", "output"),
        ),
        Family(
            "bert2bert",
            "encoder-decoder",
            ("encoder-decoder",),
            ("encoder.encoder.layer", "decoder.bert.encoder.layer"),
            ("query", "key", "value", "dense"),
        ),
        Family("gpt2", "decoder-only", ("gpt2",), ("transformer.h",), ("c_attn", "c_proj", "c_fc")),
        Family(
            "llama",
            "decoder-only",
            ("llama", "mistral", "qwen2", "qwen3", "phi3", "smollm3"),
            ("model.layers",),
            (
                "q_proj",
                "k_proj",
                "v_proj",
                "o_proj",
                "gate_proj",
                "up_proj",
                "down_proj",
                "qkv_proj",
                "gate_up_proj",
            ),
        ),
    )
}

_TOKENIZER_FILES = (
    "tokenizer.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "prophetnet.tokenizer",
)
_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_OTHER_WEIGHTS = ("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.npz")
#: What is fetched from a hub: weights as safetensors, configuration and tokenizer, from the top of the repository.
_HUB_FILES = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "prophetnet.tokenizer",
)
_HUB_NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?)(@(?P<revision>[\w./-]+))?")
_LARGEST_JSON = 64 * 2**20


def read_config(model_dir: Path) -> dict[str, Any]:
    """config.json, or UnsupportedModel saying what is wrong with it."""
    return _read_json(
        Path(model_dir) / "config.json",
        "A model directory needs the config.json that save_pretrained writes.",
    )


def detect_family(model_dir: Path) -> Family:
    """By config.json alone."""
    config = read_config(model_dir)
    model_type = config.get("model_type")
    for family in FAMILIES.values():
        if model_type in family.model_types:
            if family.name == "bert2bert":
                _check_bert_pair(config)
            return family
    known = ", ".join(sorted(name for family in FAMILIES.values() for name in family.model_types))
    raise UnsupportedModel(
        f"The architecture “{model_type}” is not one that Galley can train and serve. Choose a model whose "
        f"type is one of {known}."
    )


def _check_bert_pair(config: Mapping[str, Any]) -> None:
    parts = [config.get(part) for part in ("encoder", "decoder")]
    types = [part.get("model_type") if isinstance(part, dict) else None for part in parts]
    if types != ["bert", "bert"]:
        raise UnsupportedModel(
            f"Of the encoder-decoder pairs only BERT with BERT is supported, not {types[0]} with {types[1]}."
        )


def position_limit(model_dir: Path) -> int | None:
    """The most tokens the model has positions for, in one sequence; None where positions are relative (T5).

    For an encoder-decoder it holds for source and target each, for a decoder-only model for both together.
    """
    config = read_config(model_dir)
    if config.get("model_type") == "encoder-decoder":
        limits = [config[part].get("max_position_embeddings") for part in ("encoder", "decoder")]
        return min((limit for limit in limits if limit), default=None)
    if config.get("model_type") in FAMILIES["t5"].model_types:
        return None
    return config.get("max_position_embeddings") or config.get("n_positions")


def check_model_directory(path: Path) -> Family:
    """Refuses a directory that cannot be loaded safely, with what to do about it; returns its family."""
    path = Path(path)
    if not path.is_dir():
        raise ModelUnavailable(f"There is no directory {path}.")
    config = read_config(path)
    tokenizer_config = (
        _read_json(path / "tokenizer_config.json", "") if (path / "tokenizer_config.json").is_file() else {}
    )
    if "auto_map" in config or "auto_map" in tokenizer_config:
        raise UnsafeModel(
            "This model needs its author's own code (auto_map in its configuration), which Galley does not "
            "run. Choose a model of a standard architecture."
        )
    family = detect_family(path)
    if "quantization_config" in config:
        raise UnsupportedModel(
            "These weights are quantized, so they cannot be trained. Use the original, unquantized model."
        )
    _check_tokenizer(path)
    _check_one_set(path, config)
    _check_weights(path)
    return family


def _check_one_set(path: Path, config: Mapping[str, Any]) -> None:
    """What is loaded lies where everything here looks for it, and nothing is loaded on top of it."""
    if "transformers_weights" in config:
        raise UnsupportedModel(
            f"The configuration of {path.name} names the file of its weights (transformers_weights). Save the model "
            "again: model.save_pretrained(directory) writes model.safetensors."
        )
    if (path / "adapter_config.json").is_file():
        raise UnsupportedModel(
            f"{path.name} has an adapter beside its weights. Merge it first: model.merge_and_unload(), then "
            "save_pretrained(directory) to another directory."
        )


def weight_files(path: Path) -> list[Path]:
    """The files that a model is loaded from: model.safetensors, or where that is missing what the index names."""
    single = path / "model.safetensors"
    index = path / "model.safetensors.index.json"
    if single.is_file() or not index.is_file():
        return [single]
    return [path / name for name in sorted(set(_read_json(index, "").get("weight_map", {}).values()))]


def _check_tokenizer(path: Path) -> None:
    if not any((path / name).is_file() for name in _TOKENIZER_FILES):
        raise UnsupportedModel(
            f"{path.name} has no tokenizer. Save it beside the weights with "
            "tokenizer.save_pretrained(directory), or copy "
            f"tokenizer.json (or {', '.join(_TOKENIZER_FILES[1:4])}) from where the model came from."
        )


def _check_weights(path: Path) -> None:
    files = weight_files(path)
    missing = [file.name for file in files if file.parent != path or not file.is_file()]
    if missing and files == [path / "model.safetensors"]:
        raise _no_safetensors(path.name, (entry.name for entry in path.iterdir()))
    if missing or not files:
        raise ModelUnavailable(
            f"{path.name} lacks parts of its weights: {', '.join(missing) or 'all'}. Copy the directory again."
        )
    for file in files:
        _check_safetensors(file)


def _no_safetensors(name: str, files: Iterable[str]) -> MLError:
    present = [Path(file) for file in files]
    if any(file.match(pattern) for file in present for pattern in _PICKLE_PATTERNS):
        return UnsafeModel(
            f"{name} has its weights only as pickle files, which can run code when they are opened, so "
            "Galley does not open them. "
            "Convert them where you trust them: model.save_pretrained(directory) writes model.safetensors."
        )
    if any(file.match(pattern) for file in present for pattern in _OTHER_WEIGHTS):
        return UnsupportedModel(
            f"{name} has no model.safetensors, only weights for other programs. Save the model with "
            "transformers: model.save_pretrained(directory)."
        )
    return ModelUnavailable(f"{name} has no weights: model.safetensors is missing.")


def _check_safetensors(file: Path) -> None:
    """The header's promise against the file's size: a copy that broke off is refused before anything is "
    "loaded."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            if length > min(size, _LARGEST_JSON):
                raise ValueError
            header = json.loads(stream.read(length))
        end = max(
            (tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"),
            default=0,
        )
        if size != 8 + length + end:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        raise ModelUnavailable(f"{file.name} is not a whole safetensors file. Copy it again.") from None


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    if not path.is_file():
        raise UnsupportedModel(f"{path.parent.name} has no {path.name}. {hint}".strip())
    if path.stat().st_size > _LARGEST_JSON:
        raise UnsupportedModel(
            f"{path.name} is larger than {_LARGEST_JSON >> 20} MB; that is not a model's {path.name}."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise UnsupportedModel(f"{path.name} is not valid JSON. Copy the model again.") from None
    if not isinstance(values, dict):
        raise UnsupportedModel(f"{path.name} is not a JSON object. Copy the model again.")
    return values


def resolve_base(reference: str, cache_dir: Path, offline: bool | None = None) -> Path:
    """The checked directory of "starter", of a directory (that begins with /, . or ~), or of a Hugging Face name
    (perhaps name@revision).

    `offline` None follows HF_HUB_OFFLINE. A hub name that was fetched before resolves without a network.
    """
    reference = reference.strip()
    if reference == STARTER:
        return prepare_starter(Path(cache_dir))
    directory = Path(reference).expanduser()
    if reference.startswith((".", "/", "~")) and directory.is_dir():
        check_model_directory(directory)
        return directory.resolve()
    match = _HUB_NAME.fullmatch(reference)
    if match is None or reference.startswith((".", "/", "~")):
        raise ModelUnavailable(
            f"There is no model directory “{reference}”. Give “{STARTER}”, a directory on this machine, or "
            "a Hugging Face name such as google-t5/t5-small."
        )
    if offline is None:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    path = _fetch(match["repo"], match["revision"], Path(cache_dir) / "hub", offline)
    check_model_directory(path)
    return path


def _fetch(repo: str, revision: str | None, cache: Path, offline: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    reached = not offline and _check_on_hub(repo, revision, cache)
    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                cache_dir=cache,
                allow_patterns=list(_HUB_FILES),
                endpoint=_hub(),
                token=_hub_token(),
                local_files_only=not reached,
            )
        )
    except errors.LocalEntryNotFoundError:
        state = "is switched off (HF_HUB_OFFLINE)" if offline else f"could not be reached at {_hub()}"
        raise ModelUnavailable(
            f"{repo} is not on this machine, and the model hub {state}. Connect to the network and try "
            "again, or copy the model's directory to where models may lie and give its path, or use "
            f"“{STARTER}”, which needs no network."
        ) from None
    except (errors.HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfDisk(
                f"The disk of {cache} filled while {repo} was fetched. Free some space."
            ) from error
        raise ModelUnavailable(
            f"Fetching {repo} from {_hub()} broke off: {error}. Try again; what has arrived is kept."
        ) from error


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _hub_token() -> str | Literal[False]:
    return os.environ.get("HF_TOKEN") or False


def _check_on_hub(repo: str, revision: str | None, cache: Path) -> bool:
    """Refuses what cannot be used before anything is fetched; False where the hub cannot be reached."""
    from huggingface_hub import HfApi, errors

    try:
        api = HfApi(endpoint=_hub(), token=_hub_token())
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=10)
    except errors.HfHubHTTPError as error:
        if error.response.status_code >= 500:
            return False
        raise _hub_refusal(repo, revision, error) from error
    except (errors.HTTPError, OSError):
        return False
    sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
    wanted = [name for name in sizes if any(fnmatch(name, pattern) for pattern in _HUB_FILES)]
    if not any(name.endswith(".safetensors") for name in wanted):
        raise _no_safetensors(repo, sizes)
    _check_room(cache, repo, sum(sizes[name] for name in wanted))
    return True


def _hub_refusal(repo: str, revision: str | None, error: Exception) -> ModelUnavailable:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        what = f"{repo} is gated: accept its terms on {_hub()}/{repo}, then set HF_TOKEN to a token of yours."
    elif isinstance(error, errors.RevisionNotFoundError):
        what = f"{repo} has no revision “{revision}”."
    else:
        what = (
            f"{_hub()} shows no model {repo}, or only to those with a token (HF_TOKEN). "
            "Check the name, owner/model."
        )
    return ModelUnavailable(what)


def _check_room(cache: Path, repo: str, size: int) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < size + 200 * 2**20:
        raise OutOfDisk(
            f"{repo} needs {size / 1e9:.1f} GB, and {cache} has {free / 1e9:.1f} GB left. Free some space "
            "and try again."
        )


def load_tokenizer(model_dir: Path) -> Any:
    """The transformers tokenizer, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:  # GPT-2, Llama: padding is masked by position, so any token will do
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(model_dir: Path, device: str = "cpu", dtype: str = "float32") -> Any:
    """A transformers model in eval mode. `dtype` is torch's name of it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would fill the logs of jobs
    family = check_model_directory(model_dir)
    loader = AutoModelForSeq2SeqLM if family.kind == "encoder-decoder" else AutoModelForCausalLM
    model = loader.from_pretrained(
        model_dir,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    if family.name == "bert2bert":
        _complete_bert_pair(model, model_dir)
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = load_tokenizer(model_dir).pad_token_id
    return model.eval().to(device)


def _complete_bert_pair(model: Any, model_dir: Path) -> None:
    """A pair put together from two BERTs names no start, end or padding; training and generation need all "
    "three."""
    tokenizer = load_tokenizer(model_dir)
    ids = {
        "decoder_start_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, value in ids.items():
        for config in (model.config, model.generation_config):
            if getattr(config, name, None) is None:
                setattr(config, name, value)
