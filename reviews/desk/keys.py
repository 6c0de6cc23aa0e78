"""Keys of the two desks: what each does, and which a person may choose instead. Pure.

A key is written as `e`, `alt+shift+e`, `ctrl+enter` or `f8`. A single key works outside of text boxes as it is, and
with Alt everywhere; a key with a modifier works everywhere as it is. The desks share the keys of what they both do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum


class Desk(Enum):
    RATE_AND_EDIT = "rate and edit"
    PAIRWISE = "pairwise"


RATE_AND_EDIT = frozenset({Desk.RATE_AND_EDIT})
PAIRWISE = frozenset({Desk.PAIRWISE})
BOTH = RATE_AND_EDIT | PAIRWISE


@dataclass(frozen=True)
class Action:
    name: str
    does: str
    key: str
    #: Has to work while somebody types, without a second key of its own.
    anywhere: bool = False
    desks: frozenset[Desk] = RATE_AND_EDIT


@dataclass(frozen=True)
class ActionGroup:
    name: str
    actions: tuple[Action, ...]
    note: str = ""


GROUPS = (
    ActionGroup(
        "Submit",
        (
            Action(
                "submit", "submit and get the next, from anywhere", "ctrl+enter", anywhere=True, desks=BOTH
            ),
            Action("save", "save now (it saves by itself)", "ctrl+s", anywhere=True, desks=BOTH),
            Action("undo", "undo: take back what was just submitted or skipped", "u", desks=BOTH),
            Action("later", "snooze for two hours", "l", desks=BOTH),
            Action("not_for_me", "skip", "n", desks=BOTH),
            Action("flag", "flag the item", "f", desks=BOTH),
        ),
    ),
    ActionGroup(
        "Go",
        (
            Action("edit", "correct the summary", "e"),
            Action("comment", "comment", "c", desks=BOTH),
            Action("article", "the article: scroll with arrows and space", "a", desks=BOTH),
            Action("line_up", "select the row above (also ↑)", "k"),
            Action("line_down", "select the row below (also ↓)", "j"),
            Action("older", "back: the review I submitted before", "o"),
            Action("newer", "forward again, to where I was", "w"),
            Action("recent", "recent reviews", "r"),
        ),
    ),
    ActionGroup(
        "Check",
        (
            Action("next_sentence", "the next sentence of the summary, and what supports it", "s"),
            Action("supported", "the source supports this sentence", "v"),
            Action("unsupported", "the source does not support this sentence", "x"),
            Action("proof", "the summary: ← and → choose words, Shift adds more", "q"),
            Action("mark", "mark what is selected, else this sentence, as an error", "m"),
            Action("confirm_label", "confirm the label that the desk suggests", "y"),
            Action("dismiss_label", "dismiss it", "d"),
            Action("next_change", "the next change in my correction", "g"),
            Action("revert_change", "put the summary's words back for this change", "z"),
        ),
    ),
    ActionGroup(
        "Say",
        (
            Action("retrain", "needs retraining, on and off", "t"),
            Action("refine", "prompt problem, on and off", "b"),
            Action("prompt", "try another prompt on this article", "p"),
        ),
    ),
    ActionGroup(
        "Pairwise",
        (
            Action("left_much", "left: much better", "1", desks=PAIRWISE),
            Action("left_clearly", "left: clearly better", "2", desks=PAIRWISE),
            Action("left_slightly", "left: slightly better", "3", desks=PAIRWISE),
            Action("right_slightly", "right: slightly better", "4", desks=PAIRWISE),
            Action("right_clearly", "right: clearly better", "5", desks=PAIRWISE),
            Action("right_much", "right: much better", "6", desks=PAIRWISE),
            Action("tie", "no difference", "t", desks=PAIRWISE),
            Action("both_bad", "both are bad", "b", desks=PAIRWISE),
            Action("differences", "mark the differences, on and off", "d", desks=PAIRWISE),
        ),
        note="The keys of “Submit”, of the comment (there the reason) and of the article hold here too.",
    ),
)
ACTIONS = {action.name: action for group in GROUPS for action in group.actions}

_MODIFIERS = ("ctrl", "alt", "shift")
_NAMED = {
    "enter": "↵", "arrowup": "↑", "arrowdown": "↓", "arrowleft": "←", "arrowright": "→", "space": "Space",
    "home": "Home", "end": "End", "pageup": "Page up", "pagedown": "Page down", "delete": "Del", "insert": "Ins",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip
_FUNCTION = {f"f{number}" for number in range(1, 13)}
#: A desk's own, for everybody.
_FIXED = {
    "?": "? shows the keys",
    "arrowup": "the arrows select the rows and scroll",
    "arrowdown": "the arrows select the rows and scroll",
    "arrowleft": "the arrows move in the text",
    "arrowright": "the arrows move in the text",
    "enter": "Enter presses the button that has the focus",
    "space": "Space presses the button that has the focus",
    "escape": "Esc leaves a text box",
    "tab": "Tab goes to the next control",
}
_ANSWERS = {str(digit): "1 to 5 answer the selected row" for digit in range(1, 6)}
#: What browsers keep for themselves or what people use them for while they work in a page.
_BROWSER = {
    "ctrl+a", "ctrl+c", "ctrl+d", "ctrl+f", "ctrl+g", "ctrl+h", "ctrl+j", "ctrl+k", "ctrl+l", "ctrl+n", "ctrl+o",
    "ctrl+p", "ctrl+q", "ctrl+r", "ctrl+t", "ctrl+u", "ctrl+v", "ctrl+w", "ctrl+x", "ctrl+y", "ctrl+z", "ctrl+0",
    *(f"ctrl+{digit}" for digit in range(1, 10)), "ctrl++", "ctrl+-", "ctrl+=",
    "ctrl+shift+n", "ctrl+shift+t", "ctrl+shift+w", "ctrl+shift+r", "ctrl+shift+i", "ctrl+shift+j", "ctrl+shift+c",
    "ctrl+shift+p", "ctrl+shift+z", "ctrl+shift+delete", "ctrl+shift+b", "ctrl+shift+o", "ctrl+shift+q",
    "ctrl+arrowleft", "ctrl+arrowright", "ctrl+arrowup", "ctrl+arrowdown", "ctrl+home", "ctrl+end",
    "ctrl+pageup", "ctrl+pagedown", "ctrl+delete", "ctrl+insert", "shift+insert", "shift+delete",
    "alt+arrowleft", "alt+arrowright", "alt+home", "alt+f4", "alt+space", "alt+enter",
    "home", "end", "pageup", "pagedown", "delete", "insert",
    "f1", "f3", "f5", "f6", "f7", "f10", "f11", "f12", "ctrl+f4", "ctrl+f5", "shift+f10",
}  # fmt: skip


def _parts(key: str) -> tuple[list[str], str]:
    """Modifiers, and the key they modify: `ctrl++` is Ctrl and the plus sign."""
    if key == "+" or key.endswith("++"):
        before, last = key[:-1].removesuffix("+"), "+"
    else:
        before, _, last = key.rpartition("+")
    return before.split("+") if before else [], last


def written(key: str) -> str:
    """The one way of writing a key: lower case, modifiers in a fixed order. Empty where it is no key."""
    before, last = _parts(key.strip().lower())
    if not last or any(part not in _MODIFIERS for part in before) or len(set(before)) < len(before):
        return ""
    if last not in _NAMED and last not in ("escape", "tab") and not (len(last) == 1 and last.isprintable()):
        return ""
    if last == " ":
        last = "space"
    return "+".join([*(modifier for modifier in _MODIFIERS if modifier in before), last])


def shown(key: str) -> str:
    """As a page writes it on a key cap: `Ctrl ↵`, `E`."""
    before, last = _parts(key)
    return " ".join([*(part.capitalize() for part in before), _NAMED.get(last, last.upper())])


def keys_of(chosen: Mapping[str, str]) -> dict[str, str]:
    """The key of every action. What is chosen for an action there is no longer is left out; an action that came later
    than the choice, and whose key somebody had chosen for another, has none until one is chosen."""
    taken = {
        (desk, _everywhere(key))
        for name, key in chosen.items()
        if name in ACTIONS
        for desk in ACTIONS[name].desks
    }
    return {
        name: chosen.get(name)
        or ("" if any((desk, _everywhere(action.key)) in taken for desk in action.desks) else action.key)
        for name, action in ACTIONS.items()
    }


def keys_at(desk: Desk, keys: Mapping[str, str]) -> dict[str, str]:
    """Those of one desk."""
    return {name: key for name, key in keys.items() if desk in ACTIONS[name].desks}


def groups_of(desk: Desk) -> list[ActionGroup]:
    """Those in which a desk has actions, with these alone."""
    own = [replace(group, actions=tuple(a for a in group.actions if desk in a.desks)) for group in GROUPS]
    return [group for group in own if group.actions]


def changed(keys: Mapping[str, str]) -> dict[str, str]:
    """Only what differs from how the desk comes."""
    return {name: key for name, key in keys.items() if name in ACTIONS and key != ACTIONS[name].key}


def _everywhere(key: str) -> str:
    """The key that fires also inside a text box."""
    return key if "+" in key[:-1] or key in _FUNCTION else f"alt+{key}"


def wrong_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """By action, why its key cannot be. `keys` are as `written`; an action that is missing has its own."""
    wrong = {name: "There is no such action." for name in keys if name not in ACTIONS}
    whole = {name: keys.get(name) or action.key for name, action in ACTIONS.items()}
    for name, key in whole.items():
        if reason := _objection(ACTIONS[name], key):
            wrong[name] = reason
    users: dict[tuple[Desk, str], list[str]] = {}
    for name, key in whole.items():
        for desk in ACTIONS[name].desks:
            users.setdefault((desk, _everywhere(key)), []).append(name)
    for names in users.values():
        for name in names:
            others = [ACTIONS[other].does for other in names if other != name]
            if others:
                wrong.setdefault(name, f"The same key as “{others[0]}”.")
    return wrong


def _objection(action: Action, key: str) -> str:
    if not key or written(key) != key:
        return "Not a key. Write for example e, alt+shift+e or ctrl+enter."
    single = "+" not in key[:-1]
    fixed = _FIXED | _ANSWERS if Desk.RATE_AND_EDIT in action.desks else _FIXED
    if taken := fixed.get(key.removeprefix("alt+")):
        return f"Taken: {taken}."
    if key in _BROWSER:
        return "The browser keeps this key for itself."
    if single and key not in _FUNCTION and action.anywhere:
        return "This has to work in text boxes too, where this key types. Add Ctrl or Alt."
    if key.startswith("shift+") and key[6:] not in _FUNCTION:
        return "This types in text boxes. Add Ctrl or Alt, or leave Shift away."
    if single and key not in _FUNCTION and not key.isalnum() and key not in "-,.;'/[]\\`=":
        return "This key is not on every keyboard. Choose a letter or a digit."
    return ""
