"""The policy on its pages: who sees it, who changes it, what is refused where, and its history."""

from __future__ import annotations

import html
import re
from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.gates import policies
from models_app.gates.metrics import JUDGED
from models_app.gates.policy import SECTIONS, Policy
from models_app.models import AuditEvent
from models_app.models.releases import Environment
from models_app.releases.approving import may_decide
from models_app.releases.hands import involved
from reviews.examples.references import freeze_test_set
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = pytest.mark.django_db
EDIT = "/policies/production/edit/"
FREEZES = "approvals.freezes"


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def editor() -> User:
    return make.user("petra", "policy editor")


def words(answer: Any) -> str:
    """What is read on a page, without tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup(answer))).split())


def sent(**changes: Any) -> dict[str, Any]:
    """What the form sends where nothing was changed on it, but for `changes` ("primary.margin" as primary__margin)."""
    data: dict[str, Any] = {"expected": held(), "reason": "Too narrow."}
    for section, values in policies.policy_of(production()).as_settings().items():
        for field, value in values.items():
            name = f"{section}.{field}"
            if field == "freezes":
                data |= windows(*[(one["from"][:16], one["to"][:16], one["reason"]) for one in value])
            elif field == "steps":
                for row, step in enumerate(value, 1):
                    data |= {f"{name}.{row}.{part}": str(size) for part, size in step.items()}
            elif isinstance(value, dict):
                data |= {f"{name}.{key}": str(size) for key, size in value.items()}
            elif value is not False and value is not None:
                data[name] = "on" if value is True else value
    return data | {name.replace("__", "."): value for name, value in changes.items()}


def windows(*rows: tuple[str, str, str]) -> dict[str, Any]:
    """Freeze windows as the form sends them: from, to and reason of each."""
    found: dict[str, Any] = {f"{FREEZES}.row": [str(place) for place in range(len(rows))]}
    for place, row in enumerate(rows):
        found |= {
            f"{FREEZES}.{place}-{name}": one
            for name, one in zip(("since", "until", "reason"), row, strict=True)
        }
    return found


def frozen() -> list[dict[str, str]]:
    return policies.policy_of(production()).as_settings()["approvals"]["freezes"]


def production() -> Environment:
    return Environment.objects.get(name="production")


def held() -> int:
    return policies.holding(production()).number


def test_the_policy_is_shown_to_all_who_see_releases_with_each_setting_in_words() -> None:
    page = words(signed_in(make.user("ada", "approver")).get("/policies/", follow=True))
    for expected in (
        "Primary metric",
        "Loss that still counts as not worse",
        "ROUGE-2",
        "It comes with Galley.",
    ):
        assert expected in page
    assert "Edit policy" not in page


def test_an_editor_changes_one_number_and_nothing_else(editor: User) -> None:
    client = signed_in(editor)
    before = policies.policy_of(production()).as_settings()
    assert client.get(EDIT).status_code == 200
    answer = client.post(EDIT, sent(primary__margin="0.8"))
    assert (answer.status_code, answer["Location"]) == (302, "/policies/production/")
    before["primary"]["margin"] = 0.8
    assert policies.policy_of(production()).as_settings() == before
    page = words(client.get("/policies/production/"))
    assert "Primary metric, Loss that still counts as not worse: 0.5 → 0.8" in page
    assert "Too narrow." in page
    assert AuditEvent.objects.get(action="policy.change").door == "page"


def test_a_guard_is_taken_away_and_a_gate_allowed_to_be_waived_no_more(editor: User) -> None:
    data = sent(waivers__allowed=["guards"])
    data["guards.margins.rouge1"] = ""
    assert signed_in(editor).post(EDIT, data).status_code == 302
    now = policies.policy_of(production())
    assert "rouge1" not in now.guards.margins
    assert now.waivers.allowed == ("guards",)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("primary.margin", "much", "From 0 to 100."),
        ("primary.margin", "nan", "From 0 to 100."),
        ("primary.margin", "-1", "From 0 to 100."),
        ("primary.margin", "9" * 400, "From 0 to 100."),
        ("primary.metric", "bleu", "bleu is not one of the available choices"),
        ("primary.metric", "x\x00", "is not one of the available choices"),
        ("guards.margins.rouge1", "inf", "A number from 0 to 100 each"),
        ("approvals.approvers", "0", "From 1 to 5."),
        ("waivers.allowed", "integrity", "integrity is not one of the available choices"),
        ("slices.fields", "colour", "colour is not one of the available choices"),
        ("forgetting.test_set", "987654", "There is no test set 987654."),
        ("forgetting.test_set", "-1", "From 1 to"),
        ("primary.test_set", "987654", "There is no test set 987654."),
        ("cases.case_set", "Nowhere", "There is no set “Nowhere” with cases."),
        ("cases.required", "on", "Nobody has written cases"),
        ("reason", "", "This field is required."),
        ("reason", "x" * 2001, "at most 2000 characters"),
        ("reason", " \ufeff ", "Write why"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field_and_nothing_is_saved(
    editor: User, name: str, value: str, said: str
) -> None:
    answer = signed_in(editor).post(EDIT, {**sent(primary__margin="0.8"), name: value})
    assert answer.status_code == 422
    assert said in words(answer)
    assert held() == 1


def test_sets_are_chosen_by_their_names(editor: User) -> None:
    client = signed_in(editor)
    make.document(split="test")
    made = freeze_test_set(actor=None)
    page = markup(client.get(EDIT))
    for name in ("primary.test_set", "forgetting.test_set"):
        (choices,) = re.findall(rf'<select name="{name}".*?</select>', page, re.DOTALL)
        assert f'value="{made.pk}"' in choices
        assert made.name in choices


# ---------------------------------------------------------------- freeze windows

HOLIDAYS = ("2026-12-24T12:00", "2026-12-27T08:00", "Holidays.")


def test_freeze_windows_are_typed_as_moments_and_a_reason(editor: User) -> None:
    client = signed_in(editor)
    assert client.post(EDIT, sent() | windows(HOLIDAYS)).status_code == 302
    (window,) = policies.policy_of(production()).approvals.windows
    assert window.since == datetime(2026, 12, 24, 12, tzinfo=timezone.get_current_timezone())
    shown = "24 December 2026, 12:00 to 27 December 2026, 08:00 UTC: Holidays"
    assert shown in words(client.get("/policies/production/"))
    page = markup(client.get(EDIT))
    for name, value in zip(("since", "until", "reason"), HOLIDAYS, strict=True):
        assert re.search(rf'name="{FREEZES}.0-{name}" value="{value}"', page), name
    assert client.post(EDIT, sent() | windows()).status_code == 302
    assert frozen() == []


def test_a_window_that_nobody_touched_stays_as_it_was_written(editor: User) -> None:
    """With another offset, and seconds, that its fields do not show."""
    settings = policies.policy_of(production()).as_settings()
    written = {"from": "2026-12-24T12:00:30+01:00", "to": "2026-12-27T08:00:00+01:00", "reason": "Holidays."}
    settings["approvals"]["freezes"] = [written]
    policies.change_policy(
        environment=production(), settings=settings, reason="Holidays.", expected=held(), actor=None
    )
    same = windows(("2026-12-24T11:00", "2026-12-27T07:00", "Holidays."))
    assert "Nothing would change" in words(signed_in(editor).post(EDIT, sent() | same))
    assert signed_in(editor).post(EDIT, sent(primary__margin="0.8") | same).status_code == 302
    assert frozen() == [written]


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        (("", HOLIDAYS[1], "x"), "since", "This field is required."),
        (("Christmas", HOLIDAYS[1], "x"), "since", "Enter a valid date/time."),
        ((HOLIDAYS[0], HOLIDAYS[0], "x"), "until", "It ends after it begins."),
        ((HOLIDAYS[1], HOLIDAYS[0], "x"), "until", "It ends after it begins."),
        (("0026-12-24T12:00", HOLIDAYS[1], "x"), "since", "Between the years 2000 and 2199."),
        ((HOLIDAYS[0], "9999-12-24T12:00", "x"), "until", "Between the years 2000 and 2199."),
        ((HOLIDAYS[0], HOLIDAYS[1], " "), "reason", "This field is required."),
        ((HOLIDAYS[0], HOLIDAYS[1], "x" * 301), "reason", "at most 300 characters"),
    ],
)
def test_what_is_no_window_is_refused_at_its_field(
    editor: User, row: tuple[str, str, str], field: str, said: str
) -> None:
    answer = signed_in(editor).post(EDIT, sent(primary__margin="0.8") | windows(HOLIDAYS, row))
    assert (answer.status_code, held()) == (422, 1)
    errors = re.search(
        rf'<ul class="errorlist" id="id_{FREEZES}\.1-{field}_error">(.*?)</ul>', markup(answer), re.DOTALL
    )
    assert errors, "at its field"
    assert said in errors[1]


@pytest.mark.parametrize("fragment", [True, False], ids=["with script", "without script"])
def test_rows_come_and_go_and_what_else_was_typed_stays(editor: User, fragment: bool) -> None:
    client = signed_in(editor)
    headers = {"HX-Request": "true"} if fragment else {}
    half = sent(primary__margin="much", slices__fields=["language"]) | windows(HOLIDAYS, ("", "", "Half"))
    data = {**half, "reason": ""}
    more = markup(client.post(EDIT, {**data, f"{FREEZES}.add": "1"}, headers=headers))
    assert len(re.findall(f'name="{FREEZES}.row"', more)) == 3
    less = markup(client.post(EDIT, {**data, f"{FREEZES}.remove": "0"}, headers=headers))
    assert re.findall(rf'name="{FREEZES}.row" value="(\d)"', less) == ["1"]
    for page in (more, less):
        assert 'value="Half"' in page
        assert "errorlist" not in page, "what is half written is no mistake"
        assert ("<html" in page) is not fragment
        if not fragment:
            assert 'value="much"' in page
            assert re.search(r'name="slices.fields" value="language"[^>]* checked', page)
            assert not re.search(r'name="slices.fields" value="domain"[^>]* checked', page)
    assert held() == 1


def test_there_are_at_most_so_many_windows_and_each_has_a_number(editor: User) -> None:
    client = signed_in(editor)
    many = windows(*[HOLIDAYS] * 50)
    page = markup(
        client.post(EDIT, {**sent(), **many, f"{FREEZES}.add": "1"}, headers={"HX-Request": "true"})
    )
    assert len(re.findall(f'name="{FREEZES}.row"', page)) == 50
    assert "Add a freeze window" not in page
    answer = client.post(EDIT, sent() | windows(*[HOLIDAYS] * 51))
    assert (answer.status_code, held()) == (422, 1)
    assert "at most 50" in words(answer)
    assert client.post(EDIT, {**sent(), f"{FREEZES}.row": "../0"}).status_code == 422


def test_the_enter_key_saves_and_removes_no_row(editor: User) -> None:
    """A browser presses the first button of the form."""
    page = markup(signed_in(editor).get(EDIT))
    form = page[page.index(f'action="{EDIT}"') :]
    assert re.search(r"<button[^>]*>\s*([^<]*?)\s*</button>", form)[1] == "Save policy"  # type: ignore[index]


def test_slices_may_be_cut_by_fields_that_documents_of_test_sets_have(editor: User) -> None:
    client = signed_in(editor)
    wanted = {"slices.fields": ["domain", "author"]}
    refused = client.post(EDIT, sent() | wanted)
    assert refused.status_code == 422
    assert "author is not one of the available choices" in words(refused)
    make.document(split="test", fields={"author": "R. Holm"})
    freeze_test_set(actor=None)
    assert "author" in words(client.get(EDIT))
    assert client.post(EDIT, sent() | wanted).status_code == 302
    assert policies.policy_of(production()).slices.fields == ("domain", "author")
    assert "author" in words(client.get("/policies/production/"))


def test_half_a_form_saves_nothing(editor: User) -> None:
    answer = signed_in(editor).post(EDIT, {"expected": "1", "reason": "Oops."})
    assert answer.status_code == 422
    assert held() == 1


def test_who_looked_at_an_earlier_version_saves_nothing_and_is_told_who_was_faster(editor: User) -> None:
    data = sent(primary__margin="0.8")
    signed_in(make.user("paul", "policy editor")).post(EDIT, sent(primary__margin="0.9"))
    answer = signed_in(editor).post(EDIT, data)
    assert answer.status_code == 409
    assert "paul saved policy 2 meanwhile" in words(answer)
    assert policies.policy_of(production()).primary.margin == 0.9


def test_pressing_save_without_a_change_says_so(editor: User) -> None:
    answer = signed_in(editor).post(EDIT, sent())
    assert (answer.status_code, held()) == (409, 1)
    assert "Nothing would change" in words(answer)


@pytest.mark.parametrize("who", ["ml_engineer", "approver", "operator", "reviewer", "stranger"])
def test_nobody_else_edits_it(who: str) -> None:
    client = signed_in(getattr(make.cast(), who))
    assert {client.get(EDIT).status_code, client.post(EDIT, sent(primary__margin="0.8")).status_code} == {403}
    assert held() == 1


def test_every_setting_has_a_control_on_the_form(editor: User) -> None:
    page = markup(signed_in(editor).get(EDIT))
    for section, kind in SECTIONS.items():
        for field in fields(kind):
            assert f'name="{section}.{field.name}' in page, f"{section}.{field.name}"
    for metric in JUDGED:
        assert f'name="guards.margins.{metric}"' in page


def test_two_versions_are_compared_and_an_earlier_one_is_shown_as_such(editor: User) -> None:
    client = signed_in(editor)
    for margin in ("0.8", "0.9"):
        client.post(EDIT, sent(primary__margin=margin))
    first_to_last = words(client.get("/policies/production/changes/?before=1&after=3"))
    assert "0.5 0.9" in first_to_last
    assert "0.8 0.9" in words(client.get("/policies/production/changes/"))
    assert "Both say the same." in words(client.get("/policies/production/changes/?before=2&after=2"))
    early = words(client.get("/policies/production/1/"))
    assert "This is an earlier version." in early
    assert "Edit policy" not in early
    assert client.get("/policies/production/9/").status_code == 404
    assert client.get("/policies/production/changes/?before=9").status_code == 422
    assert client.get("/policies/nowhere/").status_code == 404


def test_a_long_history_takes_no_more_queries(editor: User) -> None:
    client = signed_in(editor)

    def queries() -> int:
        client.get("/policies/production/")  # shows the messages of what was saved
        with CaptureQueriesContext(connection) as found:
            assert client.get("/policies/production/").status_code == 200
        return len(found)

    few = queries()
    for number in range(12):
        client.post(EDIT, sent(primary__margin=str(1 + number)))
    assert queries() == few


# ---------------------------------------------------------------- who edits does not approve


@pytest.fixture
def waiting() -> Scene:
    return scenes.waiting()


def edits(person: User, margin: str) -> None:
    person.groups.add(*make.user(f"groups-of-{person.username}", "policy editor").groups.all())
    answer = signed_in(User.objects.get(pk=person.pk)).post(EDIT, sent(primary__margin=margin))
    assert answer.status_code == 302


def test_who_saved_the_policy_that_holds_does_not_approve_what_it_judges(waiting: Scene) -> None:
    ada = waiting.cast.approver
    assert may_decide(waiting.candidate, ada)[0]
    edits(ada, "0.8")
    may, why = may_decide(waiting.candidate, User.objects.get(pk=ada.pk))
    assert not may
    assert "edited the policy that judges it" in why


def test_an_approver_is_told_that_the_policy_was_changed_by_who_asks(waiting: Scene) -> None:
    """Both may be one person's work; that it is, stands first."""
    asks = waiting.cast.ml_engineer
    asks.groups.add(Group.objects.get(name="policy editor"))
    saved = policies.read(policies.holding(production())).as_settings()
    saved["guards"]["margins"]["rouge1"] = 50.0
    policies.change_policy(
        environment=production(), settings=saved, reason="Roomier.", expected=held(),
        actor=User.objects.get(pk=asks.pk),
    )  # fmt: skip
    waiting.submitted(release=waiting.candidate, comparison=waiting.comparison)
    page = words(signed_in(waiting.cast.approver).get(f"/releases/{waiting.candidate.pk}/"))
    assert "Weigh before you sign mila changed the policy that judges it, and composed it" in page


def test_two_who_change_it_one_after_the_other_do_not_free_each_other(waiting: Scene) -> None:
    edits(waiting.cast.approver, "90")
    edits(waiting.cast.another_approver, "0.8")
    hands = involved(waiting.candidate)
    for person in (waiting.cast.approver, waiting.cast.another_approver):
        assert "edited the policy that judges it" in hands[person.pk]


def test_the_policy_that_comes_with_galley_is_nobodys(waiting: Scene) -> None:
    assert policies.holding(production()).made_by is None
    assert not any("edited the policy that judges it" in did for did in involved(waiting.candidate).values())
    assert Policy().approvals.approvers >= 1


def test_the_steps_of_a_rollout_are_rows_of_which_empty_ones_are_none(editor: User) -> None:
    client = signed_in(editor)
    more = {"rollout.steps.4.weight": "80", "rollout.steps.4.requests": "900", "rollout.steps.4.minutes": "0"}
    assert client.post(EDIT, sent() | more).status_code == 302
    assert policies.policy_of(production()).rollout.steps[-1] == {"weight": 80, "requests": 900, "minutes": 0}
    assert "80 % for 900 requests and 0 minutes" in words(client.get("/policies/production/"))
    none = {name: "" for name in sent() if name.startswith("rollout.steps.")}
    assert client.post(EDIT, sent() | none).status_code == 302
    assert list(policies.policy_of(production()).rollout.steps) == []


@pytest.mark.parametrize("step", ["20 900 -", "120 5 5", "90 0 5", "91.5 5 5", "5 5 5"])
def test_a_step_that_is_none_is_refused_at_its_rows(editor: User, step: str) -> None:
    parts = zip(("weight", "requests", "minutes"), step.replace("-", "").split(" "), strict=True)
    answer = signed_in(editor).post(EDIT, sent() | {f"rollout.steps.3.{part}": size for part, size in parts})
    assert answer.status_code == 422
    assert "each more than the one before" in words(answer)
    assert len(policies.policy_of(production()).rollout.steps) == 2
