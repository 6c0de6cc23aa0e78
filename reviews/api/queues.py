"""Reviewing by program: what waits, the next item, keeping it, submitting it, skipping it.

The use cases are the desk's, and so are their refusals. What a queue keeps from its reviewers (who else answered what,
which model wrote it, why it is in the queue) is in no answer.
"""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api import views
from models_app.api.authentication import token_of
from models_app.api.fields import Text
from models_app.foundation.errors import NotFound, Refused, StaleState
from reviews.api.texts import MarkedSerializer, SentenceSerializer
from reviews.desk import claims, queries
from reviews.desk.claims import Lease
from reviews.desk.reviews import Answers, submit_review
from reviews.models import Assignment, QueueItem, Review, ReviewQueue, Skip
from reviews.queues.rubrics import criteria_of, version_of
from reviews.texts.spans import sentences

LARGEST = 2**31 - 1


# ---------------------------------------------------------------- what goes in and comes out


class QueueSerializer(serializers.Serializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    kind = serializers.CharField(
        help_text="rate and edit; or prompt trial: reviewers also try another prompt, at the desk"
    )
    waiting = serializers.IntegerField(
        help_text="items that you could claim or have checked out; counted up to 1,000"
    )
    done_today = serializers.IntegerField(help_text="by you")
    lease_minutes = serializers.IntegerField(help_text="how long an item stays yours without activity")


class QueuesSerializer(serializers.Serializer):
    results = QueueSerializer(many=True)


class AssignmentSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    token = serializers.UUIDField(
        help_text="proves that the assignment is yours; send it with `renew` and `skip`"
    )
    until = serializers.DateTimeField(help_text="somebody else may be asked after it")


class CriterionSerializer(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    question = serializers.CharField()
    anchors = serializers.ListField(
        child=serializers.CharField(), help_text="the points from 1 to 5 in words"
    )


class RubricSerializer(serializers.Serializer):
    id = serializers.IntegerField(help_text="send it back as `rubric`")
    number = serializers.IntegerField()
    instructions = serializers.CharField(allow_blank=True)
    criteria = CriterionSerializer(many=True)


class ClaimedDocumentSerializer(serializers.Serializer):
    title = serializers.CharField(allow_blank=True)
    domain = serializers.CharField(allow_blank=True)
    text = serializers.CharField()


class ClaimSerializer(serializers.Serializer):
    item = serializers.IntegerField()
    assignment = AssignmentSerializer()
    document = ClaimedDocumentSerializer()
    summary = serializers.CharField()
    sentences = SentenceSerializer(
        many=True, help_text="of the summary, by code points, end exclusive: what `support` judges"
    )
    rubric = RubricSerializer()
    revision = serializers.IntegerField(help_text="of your draft at the desk; 0 for none")


class AnswersSerializer(MarkedSerializer):
    stars = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=-LARGEST, max_value=LARGEST,
        help_text="1 to 5; what the ratings come to, where it is left out",
    )  # fmt: skip
    verdict = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=20, help_text="good, fair or poor, as stars"
    )
    ratings = serializers.DictField(
        child=serializers.IntegerField(min_value=-LARGEST, max_value=LARGEST),
        help_text="1 to 5 for each criterion's key",
    )
    edited_text = Text(
        max_length=Review.LONGEST_EDIT_CHARACTERS,
        help_text="the corrected summary; as it was where nothing is wrong",
    )
    comment = Text(required=False, default="", allow_blank=True)
    wants_retrain = serializers.BooleanField(required=False, default=False)
    wants_refine = serializers.BooleanField(required=False, default=False)
    active_seconds = serializers.IntegerField(required=False, default=0, min_value=0, max_value=LARGEST)
    rubric = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST, help_text="as claimed")


class SubmittedSerializer(serializers.Serializer):
    review = serializers.IntegerField()
    revision = serializers.IntegerField()
    late = serializers.BooleanField(
        help_text="others had finished the item meanwhile; kept as an extra review"
    )


class HoldSerializer(serializers.Serializer):
    assignment = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    token = serializers.UUIDField()


class SkipSerializer(HoldSerializer):
    meaning = serializers.ChoiceField(
        choices=list(Skip.SAID),
        help_text="`snooze`: it comes back to you in two hours; `skip`: others get it; `flag`: an engineer looks at it",
    )
    reason = Text(required=False, default="", allow_blank=True, help_text="needed for `flag`")


# ---------------------------------------------------------------- the views

_ASSIGNMENT = {
    "id": 4711,
    "token": "6f1c0a4e-6a3b-4a53-9f40-5b9a3c1d2e7f",
    "until": "2026-11-24T09:30:00Z",
}
_HELD = {"assignment": _ASSIGNMENT["id"], "token": _ASSIGNMENT["token"]}
_CLAIM = {
    "item": 17,
    "assignment": _ASSIGNMENT,
    "document": {"title": "Old pier to close", "domain": "news", "text": "The harbour authority …"},
    "summary": "The old pier 👷🏽 of Nordhaven will close. 410 piles are rotten.",
    "sentences": [{"start": 0, "end": 40}, {"start": 41, "end": 62}],
    "rubric": {
        "id": 1,
        "number": 1,
        "instructions": "Rate the summary as it stands.",
        "criteria": [
            {
                "key": "consistency",
                "name": "Consistency",
                "question": "Does the summary say only what the source says?",
                "anchors": [
                    "most statements are not in the source",
                    "…",
                    "…",
                    "…",
                    "everything is supported",
                ],
            }
        ],
    },
    "revision": 0,
}
_ANSWERS = {
    "stars": 4,
    "verdict": "good",
    "ratings": {"consistency": 4, "relevance": 5, "coherence": 5, "fluency": 5},
    "edited_text": "The old pier 👷🏽 of Nordhaven will close. 140 piles are rotten.",
    "rubric": 1,
    "marks": [
        {
            "side": "summary",
            "start": 41,
            "end": 44,
            "quote": "410",
            "error_type": "wrong entity or number",
            "severity": "major",
            "note": "140, says the source.",
        }
    ],
    "support": [
        {"start": 0, "end": 40, "supported": True},
        {"start": 41, "end": 62, "supported": False},
    ],
}
_ERRORS = {401: views.UNAUTHORIZED, 403: views.FORBIDDEN, 404: views.NOT_FOUND, 429: views.THROTTLED}
_NOT_YOURS = views.failure("You do not have the item checked out, or no longer.", "stale", Skip.NOT_HELD)
_WRONG = views.failure(
    "Something is missing or out of range.",
    "invalid",
    "Some answers are out of range.",
    {"stars": "From 1 to 5."},
)


class QueuesView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="queues_list",
        summary="Open queues of the review desk, with what waits for you",
        tags=["reviews"],
        responses={
            200: OpenApiResponse(
                QueuesSerializer,
                "Those where something waits come first.",
                [
                    OpenApiExample(
                        "queues",
                        value={
                            "results": [
                                {
                                    "slug": "new-drafts", "name": "New drafts", "description": "",
                                    "kind": "rate and edit", "waiting": 12,
                                    "done_today": 3, "lease_minutes": 30,
                                }
                            ]
                        },
                    )
                ],
            ),
            401: views.UNAUTHORIZED,
            403: views.FORBIDDEN,
            429: views.THROTTLED,
        },
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = [
            {
                "slug": row.queue.slug,
                "name": row.queue.name,
                "description": row.queue.description,
                "kind": row.queue.kind,
                "waiting": row.waiting,
                "done_today": row.done_today,
                "lease_minutes": row.queue.lease_minutes,
            }
            for row in queries.queues_for(token_of(request).user)
        ]
        return Response(QueuesSerializer({"results": rows}).data)


class NextView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="queues_next",
        summary="The item that you have checked out in this queue, else the next one, which you check out by this",
        tags=["reviews"],
        request=None,
        responses={
            200: OpenApiResponse(ClaimSerializer, "The item.", [OpenApiExample("item", value=_CLAIM)]),
            204: OpenApiResponse(None, "Nothing waits for you here."),
            **_ERRORS,
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        queue = ReviewQueue.objects.filter(slug=slug, kind__in=ReviewQueue.AT_DESK).first()
        if queue is None:
            raise NotFound("There is nothing here.")
        lease = claims.claim_next(queue=queue, reviewer=token_of(request).user)
        return Response(status=204) if lease is None else Response(_claimed(lease))


def _claimed(lease: Lease) -> dict[str, Any]:
    item = lease.assignment.item
    begun = Review.objects.filter(item=item, reviewer=lease.assignment.reviewer_id, revision__gt=0)
    rubric_id, revision = begun.values_list("rubric", "revision").first() or (item.queue.rubric_id, 0)
    rubric = version_of(rubric_id)
    document = item.summary.document
    return ClaimSerializer(
        {
            "item": item.pk,
            "assignment": {"id": lease.assignment.pk, "token": lease.token, "until": lease.until},
            "document": {"title": document.title, "domain": document.domain, "text": document.text},
            "summary": item.summary.text,
            "sentences": [{"start": start, "end": end} for start, end in sentences(item.summary.text)],
            "rubric": {
                "id": rubric.pk,
                "number": rubric.number,
                "instructions": rubric.instructions,
                "criteria": criteria_of(rubric.pk),
            },
            "revision": revision,
        }
    ).data


class RenewView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="items_renew",
        summary="Keep the item for another while",
        tags=["reviews"],
        request=HoldSerializer,
        examples=[OpenApiExample("assignment", request_only=True, value=_HELD)],
        responses={
            200: OpenApiResponse(
                AssignmentSerializer, "Yours until then.", [OpenApiExample("assignment", value=_ASSIGNMENT)]
            ),
            409: _NOT_YOURS,
            422: _WRONG,
            **_ERRORS,
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        asked = HoldSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        assignment, token = _assignment(asked.validated_data, pk)
        lease = claims.renew_lease(assignment=assignment, token=token, reviewer=token_of(request).user)
        return Response(
            AssignmentSerializer({"id": assignment.pk, "token": lease.token, "until": lease.until}).data
        )


class SubmitView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="items_submit",
        summary="Submit your review of an item that you claimed",
        description="It closes your own assignment, of which there is one at an item. Sending the same again changes "
        "nothing. After your lease ran out and others finished the item, it is kept as an extra, late review.",
        tags=["reviews"],
        request=AnswersSerializer,
        examples=[OpenApiExample("answers", request_only=True, value=_ANSWERS)],
        responses={
            200: OpenApiResponse(
                SubmittedSerializer,
                "It is submitted.",
                [OpenApiExample("review", value={"review": 9, "revision": 1, "late": False})],
            ),
            409: _NOT_YOURS,
            422: _WRONG,
            **_ERRORS,
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        reviewer, asked = token_of(request).user, AnswersSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if pk >= 2**63:
            raise NotFound("There is nothing here.")
        answers = Answers(**asked.validated_data)
        try:
            review = submit_review(item=QueueItem(pk=pk), answers=answers, reviewer=reviewer)
        except Refused as error:
            if error.code == "pairwise":  # those are no items of this interface
                raise NotFound("There is nothing here.") from error
            raise
        return Response(
            SubmittedSerializer({"review": review.pk, "revision": review.revision, "late": review.late}).data
        )


class SkipView(views.ApiView):
    scope = "reviews:write"

    @extend_schema(
        operation_id="items_skip",
        summary="Snooze, skip or flag an item",
        tags=["reviews"],
        request=SkipSerializer,
        examples=[
            OpenApiExample(
                "snooze",
                request_only=True,
                value={**_HELD, "meaning": "snooze"},
            )
        ],
        responses={204: OpenApiResponse(None, "Done."), 409: _NOT_YOURS, 422: _WRONG, **_ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        asked = SkipSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        assignment, token = _assignment(asked.validated_data, pk)
        claims.skip(
            assignment=assignment,
            token=token,
            meaning=asked.validated_data["meaning"],
            reason=asked.validated_data["reason"],
            reviewer=token_of(request).user,
        )
        return Response(status=204)


def _item(pk: int) -> QueueItem:
    found = QueueItem.objects.filter(pk=pk, queue__kind__in=ReviewQueue.AT_DESK).only("pk")
    item = found.first() if pk < 2**63 else None
    if item is None:
        raise NotFound("There is nothing here.")
    return item


def _assignment(values: dict[str, Any], item: int) -> tuple[Assignment, uuid.UUID]:
    assignment = (
        Assignment.objects.select_related("item").filter(pk=values["assignment"], item=_item(item)).first()
    )
    if assignment is None:
        raise StaleState(Skip.NOT_HELD)
    return assignment, values["token"]
