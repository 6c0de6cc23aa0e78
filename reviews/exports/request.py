"""What may be exported, and what a request for it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any, Literal, get_args

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.roles import allowed, require
from models_app.models import DatasetSnapshot, PromptVersion
from models_app.texts.needs import Between, OneOf, mistakes
from reviews.models import ReviewQueue, Split

Reviewers = Literal["pseudonyms", "names"]

KINDS: dict[str, str] = {
    "reviews": "one row for each review, with everything in it",
    "ratings": "one row for each rating of each review",
    "spans": "one row for each marked error",
    "edits": "one row for each review that changed the summary",
    "preferences": "one row for each choice between two summaries",
    "sft": "training data: prompt and completion, from approved demonstrations",
    "chat": "training data: messages, from approved demonstrations",
    "dpo": "training data: prompt, chosen, rejected, from approved preferences and pairwise choices",
}
FORMATS: dict[str, str] = {
    "jsonl": "JSON Lines",
    "csv": "CSV",
    "datasets": "a folder for Hugging Face datasets (ZIP)",
}
TRAINING = ("sft", "chat", "dpo")


@dataclass(frozen=True)
class Request:
    """What to export. Dates are days of the installation's time zone, both included: of submitting, and for training
    data of the decision. Training data are what is approved now, or a frozen snapshot as it is."""

    kind: str
    format: str = "jsonl"
    compressed: bool = False
    queue: str = ""
    since: date | None = None
    until: date | None = None
    mine: bool = False
    reviewers: Annotated[Reviewers, OneOf(get_args(Reviewers), said="Choose pseudonyms or names.")] = (
        "pseudonyms"
    )
    texts: bool = True  #: with the article's text
    snapshot: int | None = None  #: training data: number of a snapshot; else what is approved now
    #: training data in a single file: train or validation
    split: Annotated[str, OneOf(Split.values, said="Choose train or validation.")] = "train"
    prompt: int | None = None  #: id of a prompt version; else the first that suits
    max_words: Annotated[int, Between(1, 2000)] = 60

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values, "since": _written(self.since), "until": _written(self.until)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Request:
        dates = {name: date.fromisoformat(day) for name in ("since", "until") if (day := values.get(name))}
        return cls(**{**values, "since": None, "until": None, **dates})

    @property
    def is_training(self) -> bool:
        return self.kind in TRAINING


def _written(day: date | None) -> str | None:
    return day.isoformat() if day else None


def check(request: Request, actor: Any | None) -> Request:
    """The request as this actor may make it. Raises InvalidInput with what is wrong where, NotAllowed."""
    wrong = _mistakes(request)
    if wrong:
        raise InvalidInput(" ".join(wrong.values()), fields=wrong)
    if request.is_training:
        require(actor, "decide_feedback")
        if request.snapshot is not None:
            require(actor, "view_models")
        return request
    if not may_export_all(actor):
        require(actor, "review")
        if not request.mine:
            raise NotAllowed(
                "You can export your own reviews; those of others need the right to manage queues."
            )
    return request


def may_export_all(actor: Any | None) -> bool:
    return allowed(actor, "manage_queues")


def _mistakes(request: Request) -> dict[str, str]:
    wrong = mistakes(request)
    if request.kind not in KINDS:
        wrong["kind"] = f"There is no kind {request.kind[:40]!r}; there are {', '.join(KINDS)}."
    if request.format not in FORMATS:
        wrong["format"] = f"There is no format {request.format[:40]!r}; there are {', '.join(FORMATS)}."
    if request.kind == "chat" and request.format == "csv":
        wrong["format"] = "Messages are a list; choose JSON Lines or a folder."
    if request.compressed and request.format == "datasets":
        wrong["compressed"] = "The files in the folder are packed already."
    if request.queue and not ReviewQueue.objects.filter(slug=request.queue).exists():
        wrong["queue"] = f"There is no queue {request.queue[:60]!r}."
    if request.since and request.until and request.until < request.since:
        wrong["until"] = "It ends before it begins."
    if request.split == Split.TEST and request.is_training:
        wrong["split"] = "Test documents judge models; nothing is learnt from them."
    if request.is_training and prompt_of(request) is None:
        wrong["prompt"] = "There is no such prompt version."
    if request.snapshot is not None:
        wrong |= _mistakes_about_snapshot(request, request.snapshot)
    return wrong


def _mistakes_about_snapshot(request: Request, snapshot: int) -> dict[str, str]:
    if not request.is_training:
        return {"snapshot": f"Snapshots are training data: choose {', '.join(TRAINING)}."}
    chosen = [name for name in ("queue", "since", "until") if getattr(request, name)]
    if chosen:
        return dict.fromkeys(chosen, "A snapshot is taken as it was frozen.")
    if not DatasetSnapshot.objects.filter(pk=snapshot).exists():
        return {"snapshot": f"There is no snapshot {snapshot}."}
    return {}


def prompt_of(request: Request) -> PromptVersion | None:
    rows = PromptVersion.objects.select_related("prompt").order_by("-pk")
    if request.prompt is not None:
        return rows.filter(pk=request.prompt).first()
    return rows.filter(prompt__kind="chat" if request.kind == "chat" else "prefix").first()
