"""Keys of one's own: what may be chosen, what is refused and why."""

from __future__ import annotations

import pytest

from models_app.foundation.errors import InvalidInput, NotAllowed
from reviews.desk.key_preferences import choose_keys, keys_for, use_single_keys
from reviews.desk.keys import ACTIONS, Desk, groups_of, keys_at, keys_of, shown, written, wrong_keys
from reviews.models import DeskPreferences
from tests import make


def test_the_desk_s_own_keys_clash_with_nothing() -> None:
    assert wrong_keys({}) == {}
    assert all(written(action.key) == action.key for action in ACTIONS.values())


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("E", "e"), (" Ctrl+Enter ", "ctrl+enter"), ("shift+ALT+x", "alt+shift+x"), ("f8", "f8"), ("+", "+"),
        ("ctrl++", "ctrl++"), ("", ""), ("ctrl+", ""), ("hyper+x", ""), ("ctrl+ctrl+x", ""), ("word", ""), ("ж", "ж"),
    ],
)  # fmt: skip
def test_keys_are_written_in_one_way(typed: str, key: str) -> None:
    assert written(typed) == key


def test_keys_are_shown_as_on_a_key_cap() -> None:
    assert [shown(key) for key in ("e", "ctrl+enter", "alt+shift+x", "f8", "ctrl++")] == [
        "E", "Ctrl ↵", "Alt Shift X", "F8", "Ctrl +",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "named", "why"),
    [
        ({"edit": "c"}, {"edit", "comment"}, "same key"),
        ({"edit": "alt+c"}, {"edit", "comment"}, "same key"),  # Alt+C is the comment's key in a text box
        ({"edit": "3"}, {"edit"}, "Taken"),
        ({"edit": "alt+3"}, {"edit"}, "Taken"),
        ({"edit": "?"}, {"edit"}, "Taken"),
        ({"edit": "tab"}, {"edit"}, "Taken"),
        ({"edit": "arrowup"}, {"edit"}, "Taken"),
        ({"submit": "i"}, {"submit"}, "types"),
        ({"edit": "shift+x"}, {"edit"}, "types"),
        ({"save": "ctrl+w"}, {"save"}, "browser"),
        ({"save": "ctrl+c"}, {"save"}, "browser"),
        ({"save": "f5"}, {"save"}, "browser"),
        ({"edit": "home"}, {"edit"}, "browser"),
        ({"edit": "é!"}, {"edit"}, "Not a key"),
        ({"edit": "€"}, {"edit"}, "every keyboard"),
        ({"dance": "x"}, {"dance"}, "no such action"),
        ({"tie": "b"}, {"tie", "both_bad"}, "same key"),
        ({"tie": "l"}, {"tie", "later"}, "same key"),  # both desks have it
        ({"later": "alt+6"}, {"later", "right_much"}, "same key"),
        (
            {"flag": "4"},
            {"flag", "right_slightly"},
            "",
        ),  # the review desk's digit, the pairwise desk's choice
        ({"tie": "?"}, {"tie"}, "Taken"),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_the_reason(
    keys: dict[str, str], named: set[str], why: str
) -> None:
    wrong = wrong_keys(keys)
    assert set(wrong) == named
    assert all(why in reason for reason in wrong.values())


def test_each_desk_has_its_own_room_for_keys() -> None:
    assert wrong_keys({"tie": "e", "both_bad": "t", "left_much": "6", "right_much": "1", "edit": "6"}) == {}
    assert (
        keys_at(Desk.PAIRWISE, keys_of({}))["tie"]
        == keys_at(Desk.RATE_AND_EDIT, keys_of({}))["retrain"]
        == "t"
    )
    assert "tie" not in keys_at(Desk.RATE_AND_EDIT, keys_of({}))
    (pairwise,) = [group for group in groups_of(Desk.PAIRWISE) if group.name == "Pairwise"]
    assert len(pairwise.actions) == 9
    assert [group.name for group in groups_of(Desk.RATE_AND_EDIT)] == ["Submit", "Go", "Check", "Say"]


def test_a_key_chosen_before_an_action_came_stays_with_whom_it_was_given_to() -> None:
    keys = keys_of({"later": "d", "dismiss_label": "i", "flag": "alt+b", "refine": "h"})
    assert (keys["later"], keys["differences"]) == ("d", "")
    assert (keys["flag"], keys["both_bad"]) == ("alt+b", "")
    assert shown("") == ""
    assert set(wrong_keys({"later": "d", "dismiss_label": "i"})) == {"later", "differences"}


def test_two_may_swap_their_keys() -> None:
    assert wrong_keys({"edit": "c", "comment": "e", "submit": "f8", "save": "alt+shift+s"}) == {}


def test_one_s_own_keys_are_kept_and_are_nobody_else_s(cast: make.Cast) -> None:
    choose_keys(keys={"edit": "I", "save": "", "later": "l"}, single=False, user=cast.reviewer)
    assert DeskPreferences.objects.get().keys == {"edit": "i"}, "only what differs"
    mine = keys_for(cast.reviewer)
    assert (mine.by_action["edit"], mine.by_action["save"], mine.single) == ("i", "ctrl+s", False)
    assert keys_for(cast.another_reviewer).by_action == keys_of({})
    use_single_keys(single=True, user=cast.reviewer)
    assert keys_for(cast.reviewer).by_action["edit"] == "i"
    assert keys_for(cast.reviewer).single


def test_what_is_refused_changes_nothing(cast: make.Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        choose_keys(keys={"edit": "c", "flag": "i"}, single=True, user=cast.reviewer)
    assert set(refused.value.fields) == {"edit", "comment"}
    for person in (cast.stranger, cast.approver):
        with pytest.raises(NotAllowed):
            choose_keys(keys={}, single=True, user=person)
        with pytest.raises(NotAllowed):
            use_single_keys(single=True, user=person)
    assert not DeskPreferences.objects.exists()


def test_a_key_of_an_action_that_is_gone_disturbs_nobody(cast: make.Cast) -> None:
    DeskPreferences.objects.create(user=cast.reviewer, keys={"dance": "x"})
    assert keys_for(cast.reviewer).by_action == keys_of({})
