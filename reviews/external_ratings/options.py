"""What is said of a file of ratings before it comes in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from models_app.foundation.errors import InvalidInput
from models_app.texts.needs import Between, mistakes
from reviews.external_ratings import rows
from reviews.external_ratings.rows import Rules
from reviews.ingest.life import FileOptions
from reviews.models import Criterion, ReviewQueue, RubricVersion

_NAME = re.compile(r"[\w.@+-]{1,150}")


@dataclass(frozen=True, kw_only=True)
class Options(FileOptions):
    """`queue` names the queue that holds them, the file's name unless given; `rubric` is a version's number, the newest
    unless given. With `propose`, edits become feedback examples to be decided on."""

    kind: str = "reviews"
    scale: tuple[float, float] = (1.0, 5.0)
    rounding: bool = False
    raters: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    queue: Annotated[str, Between(0, ReviewQueue.LONGEST_NAME_CHARACTERS)] = ""
    rubric: int | None = None
    propose: bool = True

    @property
    def rules(self) -> Rules:
        return Rules(self.kind, self.mapping, self.scale, self.rounding, self.raters, self.choices)


def rubric_of(options: Options) -> RubricVersion:
    rubrics = RubricVersion.objects.order_by("-number")
    found = rubrics.filter(number=options.rubric).first() if options.rubric else rubrics.first()
    if found is None:
        raise InvalidInput("There is no such version of the questions.", fields={"rubric": "There is none."})
    return found


def criteria_of(options: Options) -> list[str]:
    return list(
        Criterion.objects.filter(rubric=rubric_of(options)).order_by("position").values_list("key", flat=True)
    )


def check(options: Options, columns: Sequence[str]) -> None:
    """Raises InvalidInput that names each field which is wrong for a file with these columns."""
    wrong = {**mistakes(options), **rows.mistakes(options.rules, columns, criteria_of(options))}
    for name in options.raters.values():
        if not _NAME.fullmatch(name):
            wrong["raters"] = f"{name[:40]!r} is no name for an account: letters, digits, @ . + - _"
    if wrong:
        raise InvalidInput(" ".join(f"{name}: {words}" for name, words in wrong.items()), fields=wrong)
