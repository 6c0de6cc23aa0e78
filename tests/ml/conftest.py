from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from models_app.ml import artefacts, engines, families, starter
from models_app.ml import convert as converting
from models_app.ml.artefacts import import_base
from models_app.ml.convert import Precision, convert
from models_app.ml.families import load_model
from tests.tiny_models import MAKERS, make_tiny_t5


@pytest.fixture(scope="session")
def starter_dir(pytestconfig: pytest.Config) -> Path:
    """The starter model, kept between test runs as long as the code that makes it stays the same."""
    return starter.prepare_starter(_cache(pytestconfig, "starter", starter))


@pytest.fixture(scope="session")
def starter_artefact(pytestconfig: pytest.Config, starter_dir: Path) -> Path:
    """The starter as it is registered: converted to int8. Kept likewise."""
    path = (
        _cache(pytestconfig, "starter-artefact", starter, artefacts, converting, engines, families)
        / "artefact"
    )
    if not path.exists():
        beside = path.with_name(f"artefact-{os.getpid()}")
        import_base(starter_dir, beside, base="starter")
        # The proof that both back ends write the same, on one short article: on long ones it is given for tiny models,
        # and takes half a minute for this one.
        with mock.patch.object(converting, "_PROBES", converting._PROBES[-1:]):
            convert(beside, "int8")
        beside.replace(path)
    return path


def _cache(pytestconfig: pytest.Config, name: str, *modules: ModuleType) -> Path:
    code = hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in modules)).hexdigest()
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir(f"{name}-{code[:12]}"))


class Artefacts:
    """Artefacts of tiny models whose random weights are strong enough that every article gets another answer."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def base(self, family: str) -> Path:
        """As registered, without a conversion."""
        path = self._root / family
        if not path.exists():
            model_dir = self._root / f"{family}-model"
            make_tiny_t5(model_dir, tied=False) if family == "flan-t5" else MAKERS[family](model_dir)
            strengthen(model_dir, seed=2 if family == "pegasus" else 1)
            import_base(model_dir, path)
        return path

    def converted(self, family: str, precision: Precision = "int8") -> Path:
        """Converted, or served by transformers where that is impossible."""
        path = self._root / f"{family}-{precision}"
        if not path.exists():
            shutil.copytree(self.base(family), path)
            convert(path, precision)
        return path


def strengthen(model_dir: Path, seed: int = 1) -> None:
    import torch

    model = load_model(model_dir)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.25)
    model.save_pretrained(model_dir)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    return Artefacts(tmp_path_factory.mktemp("artefacts"))
