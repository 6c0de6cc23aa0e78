"""Where a release comes from and how far it is, as a picture: from the documents to live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models_app import queries
from models_app.models import Comparison, Release
from models_app.web.trail import page_url


@dataclass(frozen=True)
class Station:
    """Of the picture: `lane` is top (what trains), low (what tests) or mid; `kind` done, now, bad, or nothing where it
    has not been reached."""

    name: str
    note: str
    kind: str
    url: str
    column: int
    lane: str


@dataclass(frozen=True)
class Path:
    d: str
    done: bool


@dataclass(frozen=True)
class LineagePicture:
    stations: Sequence[Station]
    paths: Sequence[Path]


COLUMNS = 9
UPPER = {1: (5,), 2: (3, 5), 3: (2, 3, 5), 4: (2, 3, 4, 5)}


def lineage_picture(
    origins: Sequence[Step], later: Sequence[Step], *, test_set: Step | None, documents: str
) -> LineagePicture:
    """`origins` lead to the model and `later` from the comparison on; both lanes begin with the documents."""
    stations = [Station("Documents", documents, "done", "", 1, "mid")]
    stations += [
        Station(step.name, step.note, step.kind, step.url, column, "top")
        for step, column in zip(origins, UPPER[len(origins)], strict=True)
    ]
    if test_set is not None:
        stations.append(Station(test_set.name, test_set.note, test_set.kind, test_set.url, 2, "low"))
    stations += [
        Station(step.name, step.note, step.kind, step.url, 6 + at, "mid") for at, step in enumerate(later)
    ]
    return LineagePicture(stations, _paths(later, tested=test_set is not None))


def _paths(later: Sequence[Step], *, tested: bool) -> list[Path]:
    def x(column: int) -> float:
        return round((column - 0.5) / COLUMNS * 100, 2)

    one, two, five, six = x(1), x(2), x(5), x(6)
    paths = [
        Path(
            f"M{one} 52C{one + 5} 52 {two - 6} 12 {two} 12H{five - 2}C{five + 3} 12 {six - 6} 52 {six - 3} 52H{six}",
            later[0].kind == "done",
        )
    ]
    if tested:
        paths.append(
            Path(
                f"M{one} 52C{one + 5} 52 {two - 6} 92 {two} 92H{five - 5}C{five} 92 {six - 8} 52 {six - 4} 52H{six}",
                later[0].kind == "done",
            )
        )
    paths += [
        Path(f"M{x(6 + at)} 52H{x(7 + at)}", step.kind in ("done", "bad", "now"))
        for at, step in enumerate(later[1:])
    ]
    return paths


@dataclass(frozen=True)
class Step:
    """A station of the loop. `kind`: done, now, bad, or nothing where it has not been reached."""

    name: str
    note: str
    kind: str = ""
    url: str = ""


def lineage_of(
    release: Release, comparison: Comparison | None, comparing: bool, held: int, needed: int
) -> LineagePicture:
    later = [
        _compared(comparison, comparing),
        _gated(release),
        _decided(release, comparison, held, needed),
        _live(release),
    ]
    tested = None
    documents = "split once"
    if comparison is not None:
        test_set = comparison.candidate.evaluation_set
        tested = Step(
            f"Test set {test_set.pk}", f"{test_set.rows:,} documents, held out", "done",
            page_url("test_set", test_set.pk),
        )  # fmt: skip
    return lineage_picture(_origins(release), later, test_set=tested, documents=documents)


def _origins(release: Release) -> list[Step]:
    """Where the weights come from; for a new prompt, the prompt first."""
    model = release.model_version
    size = f"{model.precision}, {model.size_bytes / 1e6:,.0f} MB" if model.size_bytes else model.architecture
    model_step = Step(f"Model {model.pk}", size, "done", page_url("model", model.pk))
    if release.origin == Release.Origin.PROMPT:
        version = release.prompt_version
        return [Step(str(version), "prompt", "done", page_url("prompt_version", version.pk)), model_step]
    found = queries.lineage(release)
    if found.run is None or found.snapshot is None:
        return [Step("Base model", model.base, "done"), model_step]
    seconds = found.run.summary.get("seconds")
    took = f"{seconds / 60:.0f} min, {found.run.device}" if seconds else found.run.device or found.run.state
    return [
        Step("Feedback", f"{found.corrections:,} examples", "done", page_url("snapshot", found.snapshot.pk)),
        Step(
            f"Snapshot {found.snapshot.pk}",
            f"{found.rows:,} rows",
            "done",
            page_url("snapshot", found.snapshot.pk),
        ),
        Step(f"Training {found.run.pk}", took, "done", page_url("training_run", found.run.pk)),
        model_step,
    ]


def _compared(comparison: Comparison | None, comparing: bool) -> Step:
    if comparison is None:
        return Step("Comparison", "under way" if comparing else "–", "now" if comparing else "")
    kind = "bad" if comparison.verdict == "worse" else "done"
    url = page_url("comparison", comparison.pk)
    return Step(f"Comparison {comparison.pk}", comparison.verdict, kind, url)


def _gated(release: Release) -> Step:
    state = release.state
    if state == Release.State.EVALUATING:
        return Step("Gates", "being judged", "now")
    if state in (Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE):
        return Step("Gates", state, "bad" if state == Release.State.BLOCKED else "now")
    if state == Release.State.DRAFT or not release.evidence.get("gates"):
        return Step("Gates", "–")
    return Step("Gates", "passed", "done")


def _decided(release: Release, comparison: Comparison | None, held: int, needed: int) -> Step:
    if release.state == Release.State.DRAFT:
        return Step("Approval", "not asked for", "now" if comparison is not None else "")
    if release.state == Release.State.AWAITING:
        return Step("Approval", f"{held} of {needed}", "now")
    if release.state in (Release.State.EVALUATING, Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE):
        return Step("Approval", "–")
    if release.state == Release.State.CHANGES:
        return Step("Approval", release.state, "now")
    if release.state in (Release.State.REJECTED, Release.State.EXPIRED, Release.State.WITHDRAWN):
        return Step("Approval", release.state, "bad")
    if not release.evidence_digest:
        return Step("Approval", "installed by Galley", "done")
    return Step("Approval", f"{held} of {needed}", "done")


def _live(release: Release) -> Step:
    url = page_url("deployments")
    state = release.state
    if state == Release.State.APPROVED:
        return Step("Live", "waits to be started", "now", url)
    if state == Release.State.WARMING:
        return Step("Live", "its model is loading", "now", url)
    if state in Release.ROLLING_OUT:
        return Step("Live", "on hold" if state == Release.State.HELD else "rolling out", "now", url)
    if state in (Release.State.FAILED, Release.State.ROLLED_BACK):
        return Step("Live", state, "bad", url)
    if state in (Release.State.LIVE, Release.State.SUPERSEDED):
        return Step("Live", "now" if state == Release.State.LIVE else "superseded", "done", url)
    return Step("Live", "–")
