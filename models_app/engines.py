"""A release's engine in this process: what is evaluated and drafted with is what a slot would serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings

from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.models import PromptVersion, Release
from models_app.training.registering import artefact_path

if TYPE_CHECKING:
    from models_app.ml.engines import Engine, Generation


def prompt_spec(version: PromptVersion) -> PromptSpec:
    return PromptSpec(version.prompt.kind, version.system, version.template)  # type: ignore[arg-type]


class ReleaseEngine:
    """Engine, prompt and decoding settings of one release."""

    def __init__(self, release: Release, engine: Engine) -> None:
        self.engine = engine
        self.prompt = prompt_spec(release.prompt_version)
        self.decoding = Decoding.from_dict(release.decoding)

    def write(self, articles: Sequence[tuple[str, str, str]]) -> list[Generation]:
        """Summaries of (text, title, domain) triples, in the same order."""
        from models_app.ml.engines import GenerationRequest

        requests = [
            GenerationRequest(text=text, title=title, domain=domain) for text, title, domain in articles
        ]
        return self.engine.generate(requests, prompt=self.prompt, decoding=self.decoding)


def load_release_engine(release: Release, *, threads: int) -> Engine:
    """The engine for the release's artefact; leading sentences need none."""
    from models_app.ml import engines

    if release.model_version.family == "lead":
        return engines.LeadEngine(sentences=3)
    backend: Any = release.model_version.engine
    return engines.load_engine(
        artefact_path(release.model_version), backend=backend, threads=threads, device=settings.GALLEY_DEVICE
    )


@contextmanager
def open_engine(release: Release, *, threads: int) -> Iterator[ReleaseEngine]:
    engine = load_release_engine(release, threads=threads)
    try:
        yield ReleaseEngine(release, engine)
    finally:
        engine.close()
