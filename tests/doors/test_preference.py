"""What people prefer cannot be bent: not by reading it often, by training documents, by one's own vote, or by SQL."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app.evaluation import people as in_people
from models_app.evaluation.people import count_votes, preferences, said_when_submitted
from models_app.foundation import audit
from models_app.foundation.errors import Refused, StaleState
from models_app.models import AuditEvent, Comparison, EvaluationExample, EvaluationRun, HumanVote, Release
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release, submit_release
from models_app.releases.hands import advocates, involved
from models_app.releases.standing import evidence_problem
from reviews.desk.choices import Judgement, begin, choose, revise_choice, take_back
from reviews.desk.claims import claim_next, hold, skip
from reviews.filling.pairs import pair_comparison, pair_releases, pairwise_queue
from reviews.models import Assignment, Preference, QueueItem, ReviewQueue, Skip
from reviews.queues.judges import left_to_others
from reviews.queues.statements import items_waiting
from tests import make
from tests.database import without_guards
from tests.kept import kept
from tests.pages import markup
from tests.releases import scene as scenes
from tests.reviews.external_ratings.test_imports import imported, written


@kept
def scene() -> scenes.Scene:
    """Compared on 24 documents; for the first four both wrote the same."""
    the = scenes.scene(documents=2)
    on = scenes.evaluation_set(24)
    scenes.evaluated(
        the.candidate, on, level=0.16,
        wrote=lambda position: scenes.WRITTEN if position < 4 else f"The pier is closed, part {position}.",
    )  # fmt: skip
    return replace(the, on=on, comparison=scenes.compared(the.candidate, the.live, on))


@dataclass(frozen=True)
class Begun:
    the: scenes.Scene
    queue: ReviewQueue
    pairs: list[QueueItem]


@kept
def paired() -> Begun:
    """Pairs of all test documents wait for judges."""
    the = scene()
    queue = pairwise_queue(actor=the.cast.ml_engineer)
    return Begun(the, queue, put_in(the.comparison, queue, the.cast.ml_engineer))


@kept
def liked() -> Begun:
    """Of 16 of them the newer one was preferred by who may judge them."""
    begun = paired()
    for item in begun.pairs[:16]:
        prefer("after", item, begun.the.cast.another_reviewer)
    return begun


@pytest.fixture
def begun(db: None, request: pytest.FixtureRequest) -> Begun:
    return liked() if "sixteen_for_it" in request.fixturenames else paired()


@pytest.fixture
def the(db: None, request: pytest.FixtureRequest) -> scenes.Scene:
    if "pairs" not in request.fixturenames:
        return scene()
    begun: Begun = request.getfixturevalue("begun")
    return begun.the


@pytest.fixture
def judge(the: scenes.Scene) -> User:
    """Somebody who reviews and wrote nothing that the candidate learnt from; Rita did."""
    assert the.cast.another_reviewer.pk not in involved(the.candidate)
    return the.cast.another_reviewer


@pytest.fixture
def queue(the: scenes.Scene) -> ReviewQueue:
    return pairwise_queue(actor=the.cast.ml_engineer)


@pytest.fixture
def pairs(begun: Begun) -> list[QueueItem]:
    return begun.pairs


@pytest.fixture
def sixteen_for_it(begun: Begun) -> list[QueueItem]:
    return begun.pairs[:16]


def put_in(comparison: Comparison, queue: ReviewQueue, actor: Any) -> list[QueueItem]:
    examples = EvaluationExample.objects.filter(evaluation_set=comparison.candidate.evaluation_set)
    for example in examples:
        make.document(example.source, split="test", content_hash=example.document_hash)
    pair_comparison(comparison=comparison, queue=queue, limit=100, actor=actor)
    return list(QueueItem.objects.filter(queue=queue).order_by("pk"))


def below_the_triggers(statement: str) -> None:
    """As the owner of the tables could."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE models_app_humanvote DISABLE TRIGGER USER")
        cursor.execute(statement)
        cursor.execute("ALTER TABLE models_app_humanvote ENABLE TRIGGER USER")


def prefer(what: str, item: QueueItem, judge: User) -> Preference:
    """`what` is after, before, tie or both bad."""
    hold(item=item, reviewer=judge)
    mine = begin(item=item, reviewer=judge)
    assert mine is not None
    return choose(item=item, answers=on_its_side(what, mine), reviewer=judge)


def on_its_side(what: str, mine: Preference) -> Judgement:
    if what not in ("after", "before"):
        return Judgement(what)
    return Judgement("left" if (what == "after") is mine.after_was_left else "right", 2)


def said(the: scenes.Scene) -> Any:
    (people,) = preferences(
        candidate=the.candidate,
        baseline=the.live,
        hands=advocates(involved(the.candidate)),
        evaluation_set=the.on,
    )
    return people


# ---------------------------------------------------------------- evidence


@pytest.mark.usefixtures("sixteen_for_it")
def test_what_people_had_said_when_a_release_was_submitted_is_part_of_its_evidence(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    release = the.submitted()
    people = release.evidence["people"]
    assert (people["documents"], people["candidate_preferred"], people["identical"]) == (20, 16, 4)
    said_then = said_when_submitted(release)
    assert said_then is not None
    assert said_then.verdict == "improved"
    assert said_then.e >= 20
    assert people["votes_up_to"] == HumanVote.objects.latest("pk").pk
    assert evidence_problem(release) == ""


def test_later_votes_neither_change_the_evidence_nor_void_what_was_decided_on_it(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    for item in pairs[:5]:
        prefer("after", item, judge)
    release = the.submitted()
    for item in pairs[5:20]:
        prefer("before", item, judge)
    revise_choice(
        item=pairs[0], answers=on_its_side("before", Preference.objects.get(item=pairs[0], reviewer=judge)),
        reviewer=judge,
    )  # fmt: skip
    assert said(the).tally.lost == 16
    assert evidence_problem(release) == ""
    approved = the.approved_by(the.cast.approver)
    assert approved.evidence["people"]["candidate_preferred"] == 5


@pytest.mark.usefixtures("sixteen_for_it")
def test_other_words_and_figures_for_the_same_votes_make_nothing_void(
    the: scenes.Scene, judge: User, pairs: list[QueueItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade that says it in another way, or whose libraries round otherwise."""
    release = the.submitted()
    assert all(isinstance(value, int | str | list) for value in release.evidence["people"].values())
    then = said_when_submitted(release)
    assert then is not None
    said_then = AuditEvent.objects.get(action="release.submit").data["people"]
    assert said_then == then.sentence
    monkeypatch.setattr(in_people, "_conclusion", lambda *_: "the newer one is liked better")
    monkeypatch.setattr(in_people, "METHOD", "another method")
    monkeypatch.setattr(in_people, "interval", lambda won, lost: (0.61803, 0.99999))
    monkeypatch.setattr(in_people, "e_value", lambda won, lost: 123.456)
    now = said_when_submitted(release)
    assert now is not None
    assert now.sentence != then.sentence
    assert evidence_problem(release, thorough=True) == ""
    assert the.approved_by(the.cast.approver).state == "warming"


def test_another_vote_below_those_that_were_counted_is_another_digest(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    prefer("after", pairs[0], judge)
    release = the.submitted()
    vote = HumanVote.objects.get(judge=judge)
    for change in (
        "preferred = 'baseline'",
        "candidate_left = NOT candidate_left",
        "origin = 'elsewhere'",
        "at = at + interval '1 second'",
    ):
        with transaction.atomic():
            below_the_triggers(f"UPDATE models_app_humanvote SET {change} WHERE id = {vote.pk}")
            assert "not what it was" in evidence_problem(release)
            transaction.set_rollback(True)
    assert evidence_problem(release) == ""


def test_a_count_that_is_rewritten_in_the_release_s_own_row_is_found(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    """With its trigger off: what the row shows is looked at."""
    prefer("before", pairs[0], judge)
    release = the.submitted()
    release.evidence["people"] |= {"candidate_preferred": 20, "baseline_preferred": 0}
    with without_guards(Release):
        Release.objects.filter(pk=release.pk).update(evidence=release.evidence)
    release.refresh_from_db()
    assert "not what it was" in evidence_problem(release)
    with pytest.raises(Refused, match="not what it was"):
        the.approved_by(the.cast.approver)


@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE models_app_humanvote SET preferred = 'candidate' WHERE preferred = 'baseline'",
        "DELETE FROM models_app_humanvote WHERE preferred = 'baseline'",
    ],
)
def test_votes_that_are_rewritten_below_the_triggers_are_found_before_a_release_goes_live(
    the: scenes.Scene, judge: User, pairs: list[QueueItem], rewrite: str
) -> None:
    for number, item in enumerate(pairs[:16]):
        prefer("after" if number % 2 else "before", item, judge)
    release = the.submitted()
    below_the_triggers(rewrite)
    assert "not what it was" in evidence_problem(release)
    with pytest.raises(Refused, match="not what it was"):
        the.approved_by(the.cast.approver)
    release.refresh_from_db()
    assert release.state == "awaiting approval"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models_app_humanvote SET preferred = 'candidate'",
        "UPDATE models_app_humanvote SET judge_id = NULL",
        "DELETE FROM models_app_humanvote",
        "TRUNCATE models_app_humanvote",
    ],
)
def test_the_database_refuses_to_change_a_vote(
    the: scenes.Scene, judge: User, pairs: list[QueueItem], statement: str
) -> None:
    prefer("before", pairs[0], judge)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
    assert HumanVote.objects.filter(preferred="baseline").count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"judge": None},
        {"preferred": "identical"},
        {"preferred": "mine"},
        {"candidate_left": None},
        {"same": True},
    ],
)
def test_a_vote_of_nobody_or_on_one_release_cannot_be_inserted(
    the: scenes.Scene, judge: User, wrong: dict[str, Any]
) -> None:
    baseline = the.candidate if wrong.pop("same", False) else the.live
    values: dict[str, Any] = {
        "candidate": the.candidate, "baseline": baseline, "document_hash": "d", "judge": judge,
        "preferred": "candidate", "candidate_left": True, **wrong,
    }  # fmt: skip
    with pytest.raises(DatabaseError), transaction.atomic():
        HumanVote.objects.create(**values)


# ---------------------------------------------------------------- what counts


def test_choices_on_training_documents_never_count(
    the: scenes.Scene, judge: User, queue: ReviewQueue
) -> None:
    for split in ("train", "validation"):
        document = make.document(split=split)
        make.summary(document, "Before.", release=the.live)
        make.summary(document, "After.", release=the.candidate)
    pair_releases(
        before=the.live, after=the.candidate, queue=queue, limit=10, actor=the.cast.ml_engineer
    )  # fmt: skip
    items = list(QueueItem.objects.filter(queue=queue))
    assert len(items) == 2
    for item in items:
        prefer("after", item, judge)
    assert not HumanVote.objects.exists()
    assert the.submitted().evidence["people"]["documents"] == 0


def test_a_vote_on_a_document_that_is_not_in_the_test_set_does_not_count_for_the_comparison(
    the: scenes.Scene, judge: User
) -> None:
    HumanVote.objects.create(
        candidate=the.candidate, baseline=the.live, document_hash=scenes.digest("trained on"), judge=judge,
        preferred="candidate", candidate_left=True,
    )  # fmt: skip
    assert the.submitted().evidence["people"]["documents"] == 0


def test_documents_for_which_both_wrote_the_same_are_ties_and_nobody_is_asked(
    the: scenes.Scene, judge: User, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    assert len(pairs) == 20
    prefer("after", pairs[0], judge)
    counted = said(the).tally
    assert (counted.identical, counted.won, counted.documents) == (4, 1, 5)
    again = pair_comparison(comparison=the.comparison, queue=queue, limit=100, actor=None)
    assert (again.identical, again.put_in) == (4, 0)
    assert said(the).tally.identical == 4


def test_one_who_takes_a_choice_back_has_no_vote(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    prefer("after", pairs[0], judge)
    take_back(item=pairs[0], reviewer=judge)
    assert count_votes(candidate=the.candidate.pk, baseline=the.live.pk, hands=()).tally.choices == 0
    assert HumanVote.objects.filter(judge=judge).count() == 2


def test_imported_choices_are_no_votes(the: scenes.Scene, pairs: list[QueueItem], tmp_path: Path) -> None:
    """Nobody here knows whether they were blind; also where they are about the same texts of a test document."""
    item = pairs[0]
    assert item.other is not None
    row = {
        "text": item.summary.document.text, "before": item.summary.text, "after": item.other.text,
        "choice": "model_b", "rater": "w 1",
    }  # fmt: skip
    path = written(tmp_path / "choices.jsonl", row)
    mapping = {name: name for name in row}
    report = imported(path, the.cast.ml_engineer, kind="pairwise", mapping=mapping, queue="Elsewhere")
    assert report.imported == 1
    assert Preference.objects.get(reviewer__username="w-1").choice == "after"
    assert not HumanVote.objects.exclude(preferred="identical").exists()


# ---------------------------------------------------------------- who votes


def test_who_wants_the_release_to_win_is_offered_none_of_its_pairs(
    the: scenes.Scene, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    trainer = the.cast.ml_engineer
    assert trainer.pk in advocates(involved(the.candidate))
    assert items_waiting(reviewer=trainer, queue=queue)[queue.pk] == 0
    assert claim_next(queue=queue, reviewer=trainer, kind="pairwise") is None
    assert hold(item=pairs[0], reviewer=trainer) is None
    with pytest.raises(StaleState):
        choose(item=pairs[0], answers=Judgement("tie"), reviewer=trainer)
    assert items_waiting(reviewer=the.cast.another_reviewer, queue=queue)[queue.pk] == 20


def test_a_reviewer_whose_corrections_it_learnt_from_judges_blind_and_does_not_decide(
    the: scenes.Scene, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    author = the.cast.reviewer
    assert author.pk in involved(the.candidate)
    assert author.pk not in advocates(involved(the.candidate))
    assert items_waiting(reviewer=author, queue=queue)[queue.pk] == 20
    for item in pairs[:16]:
        prefer("after", item, author)
    assert said(the).verdict == "improved"
    author.groups.add(Group.objects.get(name="approver"))
    may, why = may_decide(the.submitted(), User.objects.get(pk=author.pk))
    assert not may
    assert "curated its data" in why


def test_pairs_that_nobody_could_judge_are_not_made(the: scenes.Scene, queue: ReviewQueue) -> None:
    User.objects.exclude(pk__in=advocates(involved(the.candidate))).update(is_active=False)
    with pytest.raises(Refused, match="Nobody who reviews here may judge"):
        put_in(the.comparison, queue, the.cast.ml_engineer)
    assert not QueueItem.objects.filter(queue=queue).exists()


def test_pages_say_that_a_pair_is_for_others_and_offer_no_way_in(
    the: scenes.Scene, queue: ReviewQueue, pairs: list[QueueItem], client: Client
) -> None:
    client.force_login(the.cast.ml_engineer)
    page = markup(client.get(reverse("pairwise_next", args=[queue.slug])))
    assert "20 pairs are about a release that you had a hand in" in page
    answer = client.get(reverse("pairwise_item", args=[pairs[0].pk]))
    assert answer.status_code == 409
    assert "This pair is for others to judge" in markup(answer)
    answer = client.post(reverse("pairwise_submit", args=[pairs[0].pk]), {"choice": "left 3"})
    assert answer.status_code == 409
    answer = client.post(reverse("pairwise_take_back", args=[pairs[0].pk]), follow=True)
    assert answer.redirect_chain == [(reverse("pairwise"), 302)]
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert not Preference.objects.filter(reviewer=the.cast.ml_engineer).exists()
    assert not Assignment.objects.filter(reviewer=the.cast.ml_engineer).exists()


def test_an_assignment_kept_for_somebody_with_a_hand_goes_to_others(
    the: scenes.Scene, judge: User, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    Assignment.objects.filter(item=pairs[0]).update(assigned_to=the.cast.ml_engineer)
    Skip.objects.filter(item=pairs[0], reviewer=the.cast.ml_engineer).delete()
    assert claim_next(queue=queue, reviewer=the.cast.ml_engineer, kind="pairwise") is None
    assert hold(item=pairs[0], reviewer=judge) is not None


def test_votes_of_one_who_requests_the_release_later_are_left_out(
    the: scenes.Scene, pairs: list[QueueItem], queue: ReviewQueue
) -> None:
    """Voted first, then composed the request: 16 documents for the release, all by the one who wants it live."""
    wants_it = make.user("wanda", "reviewer", "ml engineer")
    for item in pairs[:16]:
        prefer("after", item, wants_it)
    assert said(the).verdict == "improved"
    release = scenes.submitted(the.candidate, the.comparison, note="Mine.", actor=wants_it)
    people = release.evidence["people"]
    assert (people["candidate_preferred"], people["choices_left_out"]) == (0, 16)
    said_then = said_when_submitted(release)
    assert said_then is not None
    assert said_then.verdict == "inconclusive"
    assert people["judges_left_out"] == [wants_it.pk]
    assert evidence_problem(release) == ""
    assert claim_next(queue=queue, reviewer=wants_it, kind="pairwise") is None


def of_another_release(the: scenes.Scene, queue: ReviewQueue, number: int, by: User) -> list[QueueItem]:
    """Pairs of one more release on the same documents, put in by Galley."""
    release = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"max_words": 30 + number},
        origin="decoding", actor=by,
    )  # fmt: skip
    scenes.evaluated(release, the.on, level=0.1, wrote=lambda position: f"Closed {number}, part {position}.")
    pair_comparison(comparison=scenes.compared(release, the.live, the.on), queue=queue, limit=100, actor=None)
    return list(QueueItem.objects.filter(queue=queue, other__release=release))


def test_who_has_a_hand_in_some_releases_of_a_queue_judges_the_pairs_of_others(
    the: scenes.Scene, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    """Nobody skipped them before: the hand came later than the pairs."""
    other = of_another_release(the, queue, 1, the.cast.ml_engineer)
    wants_it = make.user("wanda", "reviewer", "ml engineer")
    submit_release(release=the.candidate, comparison=the.comparison, actor=wants_it)
    Assignment.objects.filter(item=pairs[7]).update(assigned_to=wants_it)
    assert left_to_others(queue=queue.pk, judge=wants_it) == 0
    lease = claim_next(queue=queue, reviewer=wants_it, kind="pairwise")
    assert lease is not None
    assert lease.assignment.item in other
    assert left_to_others(queue=queue.pk, judge=wants_it) == len(pairs)
    assert not Assignment.objects.filter(item__in=pairs).exclude(state="free", assigned_to=None).exists()
    assert not Assignment.objects.filter(item__in=pairs, claimed_at__isnull=False).exists()


def test_what_is_for_others_is_told_where_nothing_else_is_left(
    the: scenes.Scene, judge: User, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    """Also of pairs that nobody could have taken, since somebody sits at them."""
    for item in pairs:
        assert hold(item=item, reviewer=judge) is not None
    wants_it = make.user("wanda", "reviewer", "ml engineer")
    submit_release(release=the.candidate, comparison=the.comparison, actor=wants_it)
    assert claim_next(queue=queue, reviewer=wants_it, kind="pairwise") is None
    assert left_to_others(queue=queue.pk, judge=wants_it) == len(pairs)


def test_a_claim_asks_no_more_statements_where_more_releases_wait_for_judges(
    the: scenes.Scene, judge: User, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    counts = []
    for number in range(3):
        with CaptureQueriesContext(connection) as asked:
            lease = claim_next(queue=queue, reviewer=judge, kind="pairwise")
        assert lease is not None
        skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=judge)
        counts.append(len(asked))
        of_another_release(the, queue, number, the.cast.ml_engineer)
    assert len(set(counts[1:])) == 1, counts
    assert counts[1] <= counts[0], "at first permissions are read"


@pytest.mark.usefixtures("sixteen_for_it")
def test_an_account_that_an_advocate_opened_while_the_work_went_on_is_offered_no_pair_and_its_votes_are_left_out(
    the: scenes.Scene, judge: User, queue: ReviewQueue, pairs: list[QueueItem]
) -> None:
    """Nobody votes for their own release under another name."""
    with transaction.atomic():
        audit.record(actor=the.cast.ml_engineer, action="person.create", subject=f"user:{judge.pk}", data={})
    assert claim_next(queue=queue, reviewer=judge, kind="pairwise") is None
    assert items_waiting(reviewer=judge, queue=queue)[queue.pk] == 0
    people = the.submitted().evidence["people"]
    assert (people["candidate_preferred"], people["judges_left_out"]) == (0, [judge.pk])


@pytest.mark.usefixtures("sixteen_for_it")
def test_a_judge_who_comes_to_have_a_hand_later_makes_nothing_void(
    the: scenes.Scene, judge: User, pairs: list[QueueItem]
) -> None:
    release = the.submitted()
    EvaluationRun.objects.create(
        release=release, evaluation_set=scenes.evaluation_set(1), signature="s", requested_by=judge
    )
    assert judge.pk in involved(release)
    assert evidence_problem(release) == ""
    assert the.approved_by(the.cast.approver).evidence["people"]["candidate_preferred"] == 16


# ---------------------------------------------------------------- at the same instant


@pytest.mark.django_db(transaction=True)
def test_votes_given_while_a_release_is_submitted_are_counted_wholly_or_not_at_all(
    transactional_db: None,
) -> None:
    the = scene()
    queue = pairwise_queue(actor=the.cast.ml_engineer)
    with transaction.atomic():
        pairs = put_in(the.comparison, queue, the.cast.ml_engineer)
    judges = [make.user(f"judge{number}", "reviewer") for number in range(4)]
    held = [(item, judges[number % 4]) for number, item in enumerate(pairs)]
    for item, judge in held:
        hold(item=item, reviewer=judge)
        begin(item=item, reviewer=judge)
    start, wrong = threading.Barrier(5), []

    def vote(mine: list[tuple[QueueItem, User]]) -> None:
        try:
            start.wait()
            for item, judge in mine:
                prefer("after", item, judge)
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=vote, args=[held[number::4]]) for number in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    release = the.submitted()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert HumanVote.objects.filter(preferred="candidate").count() == 20
    release = Release.objects.get(pk=release.pk)
    assert evidence_problem(release) == ""
