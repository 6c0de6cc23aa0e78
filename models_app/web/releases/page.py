"""One release with everything that a decision on it stands on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from models_app import queries
from models_app.evaluation.people import preferences, said_when_submitted
from models_app.evidence import storing
from models_app.evidence.envelope import fingerprint
from models_app.evidence.keys import public_key
from models_app.foundation.roles import allowed
from models_app.gates.comparing import other_test_set
from models_app.models import Approval, Comparison, EvaluationSet, Incident, Release, Rollout, Slot
from models_app.releases.approvers import too_few_left
from models_app.releases.approving import confirmation, may_decide
from models_app.releases.deploying import kept_from_starting
from models_app.releases.emergency import may_declare, may_review
from models_app.releases.standing import Stand, evidence_problem
from models_app.web.human_evaluation import asked_about
from models_app.web.pages import capability, is_fragment, page_or_fragment
from models_app.web.releases.evidence import evidence_context
from models_app.web.releases.forms import CommentForm, DecisionForm, ReviewForm
from models_app.web.releases.lineage import lineage_of
from models_app.web.releases.listing import MOVING
from models_app.web.trail import tell

HEADINGS = {
    "draft": "is a draft",
    "evaluating": "is being evaluated",
    "blocked": "is blocked",
    "needs evidence": "needs evidence",
    "awaiting approval": "waits for approval",
    "changes requested": "needs changes",
    "rejected": "was rejected",
    "expired": "has expired",
    "withdrawn": "was withdrawn",
    "approved": "is approved",
    "warming": "is warming up",
    "canary": "is rolling out",
    "held": "is on hold",
    "baking": "has all requests on trial",
    "live": "is live",
    "failed": "could not be loaded",
    "superseded": "was superseded",
    "rolled back": "was rolled back",
}


#: What is submitted again with the same comparison, to have the gates judge it again.
JUDGED_AGAIN = (Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE, Release.State.AWAITING)


#: Submitted, and nobody decides on it as it is.
OPEN = (
    Release.State.EVALUATING,
    Release.State.BLOCKED,
    Release.State.NEEDS_EVIDENCE,
    Release.State.CHANGES,
)
#: What has been live, by now or before.
SERVED = (Release.State.LIVE, Release.State.SUPERSEDED, Release.State.ROLLED_BACK)
#: What counts approvals still: once it has been live, what let it go live is history.
JUDGED = (Release.State.AWAITING, Release.State.APPROVED, Release.State.WARMING, *Release.ROLLING_OUT)


def release_for_page(pk: int) -> Release:
    """Two queries: a join of all these tables takes PostgreSQL longer to plan than all else that the page asks."""
    comparisons = Comparison.objects.select_related(
        "lead", "candidate__evaluation_set", "baseline__release__model_version",
        "baseline__release__prompt_version__prompt",
    ).defer("baseline__release__evidence")  # fmt: skip
    releases = Release.objects.select_related(
        "model_version__parent", "model_version__training_run__snapshot", "prompt_version__prompt",
        "prompt_version__parent", "environment", "created_by", "requested_by",
    )  # fmt: skip
    return get_object_or_404(releases.prefetch_related(Prefetch("comparison", comparisons)), pk=pk)


@require_safe
@capability("view_models")
def release_page(request: HttpRequest, pk: int) -> HttpResponse:
    context = page_context(request, release_for_page(pk))
    answer = page_or_fragment(
        request, "models_app/releases/release.html", "models_app/releases/_release.html", context
    )
    if is_fragment(request) and not context["moving"]:
        answer["HX-Refresh"] = "true"  # it has arrived: heading and buttons change too
    return answer


def page_context(
    request: HttpRequest,
    release: Release,
    *,
    decision: DecisionForm | None = None,
    comment: CommentForm | None = None,
    review: tuple[int, ReviewForm] | None = None,
) -> dict[str, Any]:
    """The forms as they were filled in, where they were refused; `review` with its incident's number."""
    user, stand = request.user, Stand(release)
    live, no_judges = stand.live, stand.circle.no_judges
    comparisons = queries.comparisons_of(release)
    comparison = release.comparison or next(
        (row for row in comparisons if live is None or row.baseline.release_id == live.pk), None
    )
    baseline = _baseline(release, comparison, live)
    comparing = queries.comparing(release)
    decided = _decisions(release, stand)
    waiting = release.state == Release.State.AWAITING
    at = None if waiting else _decided_at(decided["decisions"])
    return {
        "release": release,
        "heading": "is a baseline" if release.origin == Release.Origin.BASELINE else HEADINGS[release.state],
        "this": f"release {release.pk}",
        "live": live,
        "baseline": baseline,
        "comparison": comparison,
        "comparing": comparing,
        "newer": _newer(release, comparisons, live),
        "same": _same(release, live),
        "other_set": _other_set(release),
        "others": [row for row in comparisons if comparison is None or row.pk != comparison.pk],
        **_changes(baseline, release),
        **evidence_context(release, comparison, stand.gates, at=at, hands=stand.circle.hands),
        "people": preferences(candidate=release, hands=no_judges),
        "asked": asked_about(release, comparison, stand),
        "may_let_choose": allowed(user, "manage_queues"),
        "submitted": said_when_submitted(release),
        **decided,
        **_deciding(release, user, stand, decision),
        "comments": queries.comments(release),
        "comment_form": comment or CommentForm(),
        "incidents": _incidents(stand, user, review),
        "lineage": lineage_of(release, comparison, comparing is not None, decided["held"], decided["needed"]),
        "trail": tell(queries.trail(release, comparisons)),
        "times": queries.times_live(release) if release.state in SERVED else [],
        "slot": Slot.objects.filter(release=release).first()
        if release.state == Release.State.WARMING
        else None,
        "rollout": _newest_rollout(release),
        "evidence_key": (key := public_key()),
        "evidence_fingerprint": fingerprint(key),
        "carried": release.state in storing.CARRIED,
        "card": storing.told(release) if release.state in (*storing.CARRIED, *SERVED) else None,
        "open": release.state in OPEN,
        # where a form came back with what is wrong, nothing takes it away again
        "moving": (decision or comment or review) is None
        and (release.state in MOVING or (comparing is not None and not waiting)),
        "is_baseline": release.origin == Release.Origin.BASELINE,
        "ended": release.state in Release.ENDED,
        "may_withdraw": release.state in Release.SUBMITTABLE and allowed(user, "submit_release"),
    }


def _changes(baseline: Release | None, release: Release) -> dict[str, Any]:
    settings = queries.settings_beside(baseline, release)
    return {
        "data": queries.data_beside(baseline, release),
        "settings": settings,
        "decoding_changed": any(setting.changed for setting in settings),
    }


def _decisions(release: Release, stand: Stand) -> dict[str, Any]:
    """What was decided, and how many approvals hold of those it needs."""
    decisions = queries.decisions_told(release, stand=stand)
    judged = release.state in JUDGED
    held = sum(
        told.row.decision == Approval.Decision.APPROVED
        and told.row.voided_at is None
        and not (judged and told.problem)
        for told in decisions
    )
    return {"decisions": decisions, "judged": judged, "held": held, "needed": stand.needed}


def _deciding(release: Release, user: Any, stand: Stand, form: DecisionForm | None) -> dict[str, Any]:
    """Whether this reader may decide now, and by what form."""
    waiting = release.state == Release.State.AWAITING
    may, why = may_decide(release, user, stand=stand) if waiting else (False, "")
    declares, why_no_emergency = may_declare(release, user, stand=stand)
    return {
        "may": may,
        "why": why,
        "may_declare": declares,
        "why_no_emergency": why_no_emergency,
        "problem": evidence_problem(release, stand=stand) if waiting else "",
        "too_few": too_few_left(release, stand=stand),
        "form": form or (DecisionForm(release=release, user=user) if may or declares else None),
        "confirmation": confirmation(release),
        "freeze": stand.freeze if waiting else None,
        "kept": kept_from_starting(release, stand) if release.state == Release.State.APPROVED else None,
    }


def _newest_rollout(release: Release) -> Rollout | None:
    sent_back = release.state == Release.State.AWAITING and release.reason
    if not sent_back and release.state not in (*Release.ROLLING_OUT, *SERVED):
        return None
    return Rollout.objects.filter(release=release).first()


def _incidents(
    stand: Stand, user: Any, given: tuple[int, ReviewForm] | None
) -> list[tuple[Incident, str, ReviewForm | None]]:
    """Each with why this reader does not review it, or the form by which they do."""
    found: list[tuple[Incident, str, ReviewForm | None]] = []
    for incident in stand.incidents:
        may, why = may_review(incident, user) if incident.reviewed_by_id is None else (False, "")
        form = None
        if may:
            mine = given is not None and given[0] == incident.pk
            form = given[1] if mine and given else ReviewForm(user=user, auto_id=f"incident_{incident.pk}_%s")
        found.append((incident, why, form))
    return found


def _baseline(release: Release, comparison: Comparison | None, live: Release | None) -> Release | None:
    """What the release is set beside: what it was compared with, what it replaced, or what is live."""
    if comparison is not None:
        return comparison.baseline.release
    if release.state in Release.SUBMITTABLE:
        return live if live is not None and live.pk != release.pk else None
    return queries.before_in_service(release)


def _newer(release: Release, comparisons: list[Comparison], live: Release | None) -> Comparison | None:
    """A comparison with what is live that a release can be submitted with: a draft, or one that waits on an older."""
    if release.state not in Release.SUBMITTABLE:
        return None
    for row in comparisons:
        if row.pk != release.comparison_id and (live is None or row.baseline.release_id == live.pk):
            return row
    return None


def _same(release: Release, live: Release | None) -> Comparison | None:
    """The comparison that it was submitted with, where the gates can be judged on it again."""
    comparison = release.comparison
    if comparison is None or release.state not in JUDGED_AGAIN:
        return None
    return comparison if live is None or comparison.baseline.release_id == live.pk else None


def _other_set(release: Release) -> EvaluationSet | None:
    """On which another comparison can be made, where changes were asked for on the one that it was submitted with."""
    if release.state != Release.State.CHANGES or release.comparison is None:
        return None
    return other_test_set(release.comparison)


def _decided_at(decisions: list[queries.Decision]) -> datetime | None:
    given = [told.row.at for told in decisions if told.row.decision == Approval.Decision.APPROVED]
    return max(given, default=None)
