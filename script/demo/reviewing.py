"""What reviewers do: reviews, second opinions, gold, choices between two summaries."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection

from models_app.models import (
    Comparison,
)
from models_app.texts.measures import unsupported_numbers
from reviews.desk.choices import Judgement, begin, choose, save_choice
from reviews.desk.claims import claim_next
from reviews.desk.reviews import Answers, submit_review
from reviews.filling.pairs import pair_comparison, pairwise_queue
from reviews.models import (
    Assignment,
    QueueItem,
    ReviewQueue,
    Summary,
)
from reviews.quality.adjudication import Ruling, resolve_dispute
from reviews.quality.gold import Known, mark_gold, set_gold_percent, start_round
from reviews.queues.items import put_in_queue
from script.demo.clock import at, later
from script.demo.newsroom import Newsroom


class Reviewing(Newsroom):
    def reviews(self, count: int) -> None:
        queue = ReviewQueue.objects.get(slug="new-drafts")
        remarks = [row["comment"] for row in self.comments if row["author"] == "reviewer"]
        for number in range(count):
            if number % 7 == 0:
                at(12 - number // 7, 9, 30)
            later(self.rng.uniform(2, 9))
            reviewer = self.ruben if number % 3 == 2 else self.rita
            lease = claim_next(queue=queue, reviewer=reviewer)
            assert lease is not None
            item = lease.assignment.item
            document, draft = item.summary.document, item.summary.text
            wrong = bool(unsupported_numbers(document.text, draft))
            fine = not wrong and self.rng.random() < 0.35
            verdict, stars = (
                ("good", self.rng.choice((4, 5)))
                if fine
                else ("fair", 3)
                if not wrong
                else ("poor", self.rng.choice((1, 2)))
            )
            base = {"good": 4, "fair": 3, "poor": 2}[verdict]
            ratings = {
                criterion.key: min(
                    5, max(1, base + self.rng.choice((0, 0, 1)) + (criterion.key == "fluency"))
                )
                for criterion in queue.rubric.criteria.all()
            }
            submit_review(
                item=item,
                answers=Answers(
                    stars=stars, verdict=verdict, ratings=ratings,
                    edited_text=draft if fine else document.reference,
                    comment=self.rng.choice(remarks) if self.rng.random() < 0.5 else "",
                    wants_retrain=wrong and self.rng.random() < 0.6, wants_refine=not fine and self.rng.random() < 0.25,
                    active_seconds=self.rng.randint(70, 320),
                ),
                reviewer=reviewer,
            )  # fmt: skip

    def second_opinions(self) -> None:
        """A queue where two people review each item; Ruben is stricter, and some of it is in dispute."""
        at(1, 11)
        first = ReviewQueue.objects.get(slug="new-drafts")
        queue = ReviewQueue.objects.create(
            name="Second opinions", slug="second-opinions", rubric=first.rubric, reviews_per_item=2,
            description="Two people each, so that we see whether we mean the same.",
        )  # fmt: skip
        summaries = Summary.objects.filter(queue_items__state="done").order_by("document__content_hash")[:22]
        for summary in summaries:
            put_in_queue(summary=summary, queue_slug=queue.slug, reason="random share", actor=None)
        for number in range(len(summaries)):
            worth = self.rng.choice((2, 3, 3, 4, 4, 5))
            for reviewer in (self.rita, self.ruben):
                later(self.rng.uniform(1, 3))
                lease = claim_next(queue=queue, reviewer=reviewer)
                assert lease is not None
                strict = reviewer == self.ruben and number % 3 == 0
                self.opinion(lease.assignment.item, reviewer, worth - (1 + (number % 6 == 0)) * strict)
        disputes = QueueItem.objects.filter(state="disputed").order_by("-disagreement")
        disputed = disputes.last()
        assert disputed is not None
        seen = {review.pk: review.revision for review in disputed.reviews.all()}
        fixed = disputed.summary.document.reference.replace("\n", " ")
        resolve_dispute(
            item=disputed, seen=seen, actor=self.mila,
            ruling=Ruling(
                3, "fair", dict.fromkeys([c.key for c in queue.rubric.criteria.all()], 3), fixed,
                "The main point is there, but the sum in the second sentence is not the one in the article.",
            ),
        )  # fmt: skip
        self.places |= {"dispute_resolved": disputed.pk}

    def opinion(self, item: QueueItem, reviewer: User, worth: int) -> None:
        """Answers about `worth`, from 1 to 5."""
        worth = min(5, max(1, worth))
        verdict = "poor" if worth < 3 else "fair" if worth == 3 else "good"
        submit_review(
            item=item, reviewer=reviewer,
            answers=Answers(
                stars=worth, verdict=verdict,
                ratings={
                    criterion.key: min(5, max(1, worth + self.rng.choice((0, 0, 0, 1))))
                    for criterion in item.queue.rubric.criteria.all()
                },
                edited_text=item.summary.text if worth > 3 else item.summary.document.reference,
                comment="The sum is not the one in the article." if worth < 3 else "",
                active_seconds=self.rng.randint(60, 200),
            ),
        )  # fmt: skip

    def gold_items(self) -> None:
        """Four known answers, and a calibration round that Rita is half through."""
        later(30)
        queue = ReviewQueue.objects.get(slug="new-drafts")
        golds = []
        for summary in Summary.objects.filter(queue_items=None, document__split="test").order_by("pk")[:4]:
            wrong = bool(unsupported_numbers(summary.document.text, summary.text))
            worth = 2 if wrong else 4
            golds.append(
                mark_gold(
                    summary=summary, rubric=queue.rubric, actor=self.mila,
                    known=Known(
                        worth, "poor" if wrong else "good",
                        {one.key: worth + (one.key == "fluency") for one in queue.rubric.criteria.all()},
                        1,
                        "A number in the summary stands nowhere in the article: consistency is 2 at most, however well "
                        "the rest reads." if wrong else
                        "Everything in it is supported, and the main point comes first. It could name the date.",
                    ),
                )
            )  # fmt: skip
        calibration = start_round(
            name="Calibration, November", golds=golds, reviewers=[self.rita, self.ruben], actor=self.mila
        )
        for reviewer, count in ((self.rita, 3), (self.ruben, 2)):
            for number in range(count):
                later(3)
                lease = claim_next(queue=calibration, reviewer=reviewer)
                assert lease is not None
                self.opinion(lease.assignment.item, reviewer, 4 - (number == 1) - (reviewer == self.ruben))
        set_gold_percent(queue=ReviewQueue.objects.get(slug="second-opinions"), percent=5, actor=self.mila)

    def choices(self) -> None:
        """People choose between what was live and what went live then; one pair is begun."""
        at(2, 10)
        comparison = Comparison.objects.get(pk=self.places["comparison"])
        queue = pairwise_queue(actor=self.mila)
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.29)")  # the sides are drawn in the database
        pair_comparison(comparison=comparison, queue=queue, limit=80, actor=self.mila)
        reasons = (
            "The number is right here.",
            "Says by when.",
            "Nothing that is not in the article.",
            "",
            "",
            "",
        )
        left_to_do = 9
        while Assignment.objects.filter(queue=queue, state="free").count() > left_to_do:
            reviewer = self.jana
            lease = claim_next(queue=queue, reviewer=reviewer, kind="pairwise")
            assert lease is not None
            mine = begin(item=lease.assignment.item, reviewer=reviewer)
            assert mine is not None
            kind = self.rng.choices(["after", "before", "tie", "both bad"], [55, 24, 15, 6])[0]
            side = (
                {"after": "left", "before": "right"}
                if mine.after_was_left
                else {"after": "right", "before": "left"}
            )
            choose(
                item=lease.assignment.item,
                answers=Judgement(
                    answer=side.get(kind, kind),
                    strength=self.rng.choice([1, 2, 2, 3]) if kind in side else None,
                    reason=self.rng.choice(reasons),
                    active_seconds=self.rng.randrange(15, 80),
                ),
                reviewer=reviewer,
            )  # fmt: skip
            later(self.rng.uniform(0.4, 1.5))
        lease = claim_next(queue=queue, reviewer=self.jana, kind="pairwise")
        assert lease is not None
        save_choice(
            item=lease.assignment.item,
            answers=Judgement("right", 2, "It keeps to what the article says.", 41),
            reviewer=self.jana,
            base_revision=0,
        )
