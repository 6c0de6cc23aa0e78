"""A policy: what it may say, what is refused at which field, who changes it, what becomes of the earlier ones."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from models_app.evaluation.comparing import COMPARED
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.gates import policies
from models_app.gates.catalogue import GATES
from models_app.gates.metrics import JUDGED
from models_app.gates.policy import Policy, changes, from_settings
from models_app.models import AuditEvent, GatePolicy
from models_app.models.gates import WAIVABLE
from models_app.models.releases import Environment
from tests import make
from tests.cases.scene import case_set, draft
from tests.releases.scene import evaluation_set


def test_what_is_not_said_is_as_the_code_has_it() -> None:
    assert from_settings({}) == Policy()
    assert from_settings({"primary": {"margin": 1}}).primary.margin == 1.0
    assert from_settings(Policy().as_settings()) == Policy()


def test_a_whole_number_gives_the_same_digest_as_one_with_a_point() -> None:
    assert (
        from_settings({"primary": {"margin": 1}}).digest == from_settings({"primary": {"margin": 1.0}}).digest
    )
    one, other = ({"guards": {"margins": {"rouge1": size}}} for size in (2, 2.0))
    assert from_settings(one).digest == from_settings(other).digest
    as_kept = json.loads(json.dumps(Policy().as_settings()))
    assert from_settings(as_kept).digest == Policy().digest


WRONG: dict[str, tuple[Any, str]] = {
    "an unknown section": ({"speeds": {}}, "speeds"),
    "an unknown setting": ({"primary": {"margins": 1}}, "primary.margins"),
    "an unknown primary metric": ({"primary": {"metric": "bleu"}}, "primary.metric"),
    "a primary metric that is not judged": ({"primary": {"metric": "copied_share"}}, "primary.metric"),
    "an unknown guard": ({"guards": {"margins": {"rouge9": 1.0}}}, "guards.margins"),
    "a guard that is not judged": ({"guards": {"margins": {"summary_words": 1.0}}}, "guards.margins"),
    "a margin that is no number": ({"primary": {"margin": "much"}}, "primary.margin"),
    "a negative margin": ({"primary": {"margin": -0.1}}, "primary.margin"),
    "a margin of not a number": ({"primary": {"margin": math.nan}}, "primary.margin"),
    "an endless margin": ({"guards": {"margins": {"rouge1": math.inf}}}, "guards.margins"),
    "a margin that is true": ({"guards": {"margins": {"rouge1": True}}}, "guards.margins"),
    "more documents than there will be": (
        {"primary": {"least_documents": 10**12}},
        "primary.least_documents",
    ),
    "half a document": ({"primary": {"least_documents": 10.5}}, "primary.least_documents"),
    "no approver": ({"approvals": {"approvers": 0}}, "approvals.approvers"),
    "a waiver of what is never waived": ({"waivers": {"allowed": ["integrity"]}}, "waivers.allowed"),
    "a waiver that lasts for ever": ({"waivers": {"longest_days": 10_000}}, "waivers.longest_days"),
    "the same gate twice": ({"waivers": {"allowed": ["guards", "guards"]}}, "waivers.allowed"),
    "a tolerance of nothing": ({"integrity": {"logprob_tolerance": 0}}, "integrity.logprob_tolerance"),
    "a section that is a list": ({"primary": []}, "primary"),
    "nothing": ({"primary": {"metric": None}}, "primary.metric"),
    "half a character": ({"primary": {"metric": "\ud800"}}, "primary.metric"),
    "a megabyte": ({"primary": {"metric": "x" * 1_000_000}}, "primary.metric"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused_at_its_field(what: str) -> None:
    settings, field = WRONG[what]
    with pytest.raises(InvalidInput) as refused:
        from_settings(settings)
    assert field in refused.value.fields
    assert len(refused.value.message) < 3000


@pytest.mark.parametrize("settings", [[], "primary", None, 3])
def test_a_policy_is_an_object(settings: Any) -> None:
    with pytest.raises(InvalidInput, match="object"):
        from_settings(settings)


def test_the_metrics_of_a_policy_are_those_that_comparisons_judge() -> None:
    assert set(JUDGED) <= set(COMPARED)


def test_the_gates_that_may_be_waived_are_those_that_say_so() -> None:
    waivable = {gate.name for gate in GATES if gate.waivable}
    assert waivable <= set(WAIVABLE)
    assert not {gate.name for gate in GATES if not gate.waivable} & set(WAIVABLE)
    assert not {"integrity", "leakage", "personal_data", "safety"} & set(WAIVABLE)


def test_comparisons_are_made_by_the_margins_of_the_policy() -> None:
    policy = from_settings(
        {
            "primary": {"metric": "rougeL", "margin": 0.7}, "guards": {"margins": {"rouge2": 2}},
            "slices": {"fields": ["licence"], "floor": 50},
        }
    )  # fmt: skip
    assert policy.terms.as_json() == {
        "primary": "rougeL", "margins": {"rouge2": 2.0, "rougeL": 0.7}, "fields": ["licence"], "floor": 50,
    }  # fmt: skip


def test_what_two_policies_have_otherwise_is_named_field_by_field() -> None:
    other = from_settings({"primary": {"margin": 0.7}, "waivers": {"failures": True}})
    assert [(one.section, one.field, one.before, one.after) for one in changes(Policy(), other)] == [
        ("primary", "margin", 0.5, 0.7), ("waivers", "failures", False, True),
    ]  # fmt: skip
    assert changes(other, other) == []


# ---------------------------------------------------------------- changing one


@pytest.fixture
def production() -> Environment:
    return Environment.objects.get(name="production")


def change(production: Environment, actor: Any, **fields: Any) -> GatePolicy:
    return policies.change_policy(
        **{
            "environment": production, "settings": {"primary": {"margin": 0.7}}, "reason": "Too narrow.",
            "expected": policies.holding(production).number, "actor": actor, **fields,
        }
    )  # fmt: skip


@pytest.mark.django_db
class TestChanging:
    def test_every_environment_has_one_from_the_start(self, production: Environment) -> None:
        held = policies.holding(production)
        assert (held.number, held.made_by, policies.read(held)) == (1, None, Policy())

    def test_a_change_is_another_version_with_its_reason_and_an_event(self, production: Environment) -> None:
        editor = make.user("petra", "policy editor")
        made = change(production, editor)
        assert (made.number, made.reason, made.made_by) == (2, "Too narrow.", editor)
        assert policies.policy_of(production).primary.margin == 0.7
        event = AuditEvent.objects.get(action="policy.change")
        assert (event.actor, event.reason, event.data["changes"]) == (
            editor, "Too narrow.", [["primary.margin", 0.5, 0.7]],
        )  # fmt: skip
        newest, first = policies.history(production)
        assert [one.field for one in newest.changes] == ["margin"]
        assert first.changes == []

    @pytest.mark.parametrize(
        "role", ["", "reviewer", "ml engineer", "approver", "operator"], ids=lambda role: role or "none"
    )
    def test_only_who_may_edit_policies_changes_one(self, production: Environment, role: str) -> None:
        person = make.user("stan", *([role] if role else []))
        with pytest.raises(NotAllowed, match="edit the policy"):
            change(production, person)
        assert policies.holding(production).number == 1

    @pytest.mark.parametrize("reason", ["", "  \n", "\x00", "x" * 2001])
    def test_a_change_needs_a_reason(self, production: Environment, reason: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            change(production, None, reason=reason)
        assert set(refused.value.fields) == {"reason"}

    def test_what_an_encoding_does_not_have_is_taken_out_of_a_reason(self, production: Environment) -> None:
        assert change(production, None, reason="Too\x00 narrow\ud800.").reason == "Too narrow."

    def test_who_looked_at_an_earlier_version_is_told_so(self, production: Environment) -> None:
        change(production, make.user("petra", "policy editor"))
        with pytest.raises(StaleState, match="petra saved policy 2 meanwhile"):
            change(production, None, expected=1, settings={"primary": {"margin": 0.9}})

    def test_nothing_is_no_change(self, production: Environment) -> None:
        with pytest.raises(Refused, match="Nothing would change"):
            change(production, None, settings={})

    def test_what_a_policy_names_has_to_be_there(self, production: Environment) -> None:
        for settings, field, said in (
            ({"forgetting": {"test_set": 987_654}}, "forgetting.test_set", "There is no test set 987654."),
            ({"cases": {"case_set": "Nowhere"}}, "cases.case_set", "There is no set “Nowhere” with cases."),
            ({"cases": {"required": True}}, "cases.required", "Nobody has written cases"),
            (
                {"slices": {"fields": ["domain", "autor"]}},
                "slices.fields",
                "has a field “autor”",
            ),
            (
                {"slices": {"fields": ["\x00\ud800"]}},
                "slices.fields",
                "No document of a test set has a field",
            ),
        ):
            with pytest.raises(InvalidInput) as refused:
                change(production, None, settings=settings)
            assert list(refused.value.fields) == [field]
            assert said in refused.value.fields[field]
        assert policies.holding(production).number == 1
        case_set("Empty")
        with pytest.raises(InvalidInput, match="no set “Empty” with cases"):
            change(production, None, settings={"cases": {"case_set": "Empty"}})
        case_set("Acceptance", draft())
        change(production, None, settings={"cases": {"case_set": "Acceptance", "required": True}})

    def test_a_general_test_set_has_documents_enough_to_tell_anything(self, production: Environment) -> None:
        nine, ten = evaluation_set(9), evaluation_set(10)
        with pytest.raises(InvalidInput) as refused:
            change(production, None, settings={"forgetting": {"test_set": nine.pk}})
        assert refused.value.fields["forgetting.test_set"] == (
            f"Test set {nine.pk} has 9 documents, and nothing is told from fewer than 10."
        )
        change(production, None, settings={"forgetting": {"test_set": ten.pk}})

    def test_how_many_approve_is_what_the_database_asks_for(self, production: Environment) -> None:
        change(production, None, settings={"approvals": {"approvers": 3}})
        production.refresh_from_db()
        assert production.approvals_required == 3

    def test_a_policy_that_another_version_wrote_judges_nothing_until_it_is_replaced(
        self, production: Environment
    ) -> None:
        GatePolicy.objects.create(
            environment=production,
            number=2,
            settings={"astrology": {}},
            digest="x",
            reason="From the future.",
        )
        with pytest.raises(Refused, match="astrology"):
            policies.policy_of(production)
        change(production, None, settings={})
        assert policies.policy_of(production) == Policy()

    @pytest.mark.parametrize("column", ["number", "settings", "digest", "reason", "made_by_id", "made_at"])
    def test_the_database_keeps_every_version_as_it_was(self, production: Environment, column: str) -> None:
        value = {"settings": "'{}'", "made_at": "now()", "number": "9", "made_by_id": "NULL"}.get(
            column, "'other'"
        )
        for statement in (
            f"UPDATE models_app_gatepolicy SET {column} = {value}",
            "DELETE FROM models_app_gatepolicy",
        ):
            with (
                pytest.raises(DatabaseError, match="append-only"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(statement)


@pytest.mark.django_db
def test_editors_are_who_made_what_holds_and_who_changed_it_meanwhile(production: Environment) -> None:
    first, second = make.user("petra", "policy editor"), make.user("paul", "policy editor")
    assert policies.editors(production) == []
    mine = change(production, first)
    change(production, second, settings={"primary": {"margin": 0.8}})
    assert policies.editors(production) == [second.pk]
    assert policies.editors(production, since=mine.made_at) == [second.pk, first.pk]
