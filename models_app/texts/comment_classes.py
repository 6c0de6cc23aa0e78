"""What a comment on a summary is about."""

from __future__ import annotations

from models_app.texts.comment_cues import CommentClass, balance, find_cues

COMPLAINTS = tuple(c for c in CommentClass if c not in (CommentClass.PRAISE, CommentClass.OTHER))


def comment_classes(text: str) -> tuple[CommentClass, ...]:
    """Everything a comment is about, gravest first; OTHER alone where no rule applies.

    Praise counts only where nothing is found fault with. A mere topic ("the tone") counts unless it is praised.
    """
    cues = find_cues(text)
    pleased = balance(text, cues) > 0
    about = {
        cue.about
        for cue in cues
        if cue.about is not None and (cue.weight < 0 or (cue.weight == 0 and not pleased))
    }
    if not about and any(cue.about is CommentClass.PRAISE for cue in cues) and pleased:
        about = {CommentClass.PRAISE}
    return tuple(c for c in CommentClass if c in about) or (CommentClass.OTHER,)


def classify_comment(text: str) -> CommentClass:
    """The gravest thing a comment is about."""
    return comment_classes(text)[0]
