from __future__ import annotations

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.models import AuditEvent, Prompt, PromptVersion
from models_app.prompts.versions import check_template, create_prompt, create_version
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def first(cast: make.Cast) -> PromptVersion:
    return PromptVersion.objects.get(prompt__name="news summary", number=1)


def test_a_new_prompt_begins_with_version_one(cast: make.Cast) -> None:
    prompt = create_prompt(
        name="  two   sentences ", kind="chat", system="Be brief.", template="Two sentences:\n{text}",
        note="For the ticker.", actor=cast.ml_engineer,
    )  # fmt: skip
    version = prompt.versions.get()
    assert (prompt.name, version.number, version.parent, version.created_by) == (
        "two sentences",
        1,
        None,
        cast.ml_engineer,
    )
    event = AuditEvent.objects.get(action="prompt.version", subject=f"promptversion:{version.pk}")
    assert event.data["prompt"] == "two sentences"


def test_versions_are_numbered_and_know_their_parent(cast: make.Cast, first: PromptVersion) -> None:
    second = create_version(prompt=first.prompt, template="A {text}", parent=first, actor=cast.ml_engineer)
    third = create_version(prompt=first.prompt, template="B {text}", parent=first, actor=cast.ml_engineer)
    fourth = create_version(prompt=first.prompt, template="C {text}", parent=None, actor=cast.ml_engineer)
    assert [(v.number, v.parent) for v in (second, third, fourth)] == [(2, first), (3, first), (4, third)]


def test_the_same_words_are_the_version_there_is(cast: make.Cast, first: PromptVersion) -> None:
    second = create_version(
        prompt=first.prompt, template="In short:\n{text}", parent=first, actor=cast.ml_engineer
    )
    again = create_version(
        prompt=first.prompt, template="In short:\r\n{text}", parent=second, actor=cast.administrator
    )
    assert again == second, "a browser's line breaks are no change"
    assert AuditEvent.objects.filter(action="prompt.version").count() == 1


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_only_engineers_write_prompts(cast: make.Cast, first: PromptVersion, who: str) -> None:
    actor = getattr(cast, who)
    with pytest.raises(NotAllowed):
        create_prompt(name="mine", kind="prefix", template="{text}", actor=actor)
    with pytest.raises(NotAllowed):
        create_version(prompt=first.prompt, template="A {text}", parent=first, actor=actor)
    assert PromptVersion.objects.count() == 2


@pytest.mark.parametrize(
    ("kind", "system", "template", "field", "words"),
    [
        ("chat", "", "Summarize.", "template", "exactly once"),
        ("chat", "", "{text} {text}", "template", "exactly once"),
        ("chat", "", "{{text}}", "template", "exactly once"),
        ("chat", "", "{text} for {reader}", "template", "{reader}"),
        ("chat", "", "{text} {", "template", "single"),
        ("chat", "About {text}", "{text}", "system", "into the template"),
        ("chat", "For {nobody}", "{text}", "system", "{nobody}"),
        ("prefix", "Be brief.", "{text}", "system", "Only a chat prompt"),
        ("chat", "", "x" * 8001 + "{text}", "template", "8,000"),
        ("chat", "x" * 8001, "{text}", "system", "8,000"),
        ("riddle", "", "{text}", "template", "prefix or chat"),
    ],
)
def test_a_template_that_cannot_work_is_refused_at_its_field(
    kind: str, system: str, template: str, field: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        check_template(kind=kind, system=system, template=template)
    assert list(refused.value.fields) == [field]


def test_a_refused_template_leaves_no_prompt_behind(cast: make.Cast) -> None:
    with pytest.raises(InvalidInput):
        create_prompt(name="half", kind="chat", template="no article", actor=cast.ml_engineer)
    with pytest.raises(InvalidInput):
        create_prompt(name="half", kind="chat", template="{text}", note="x" * 301, actor=cast.ml_engineer)
    assert not Prompt.objects.filter(name="half").exists()


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "news summary"])
def test_a_name_is_needed_and_is_taken_once(cast: make.Cast, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        create_prompt(name=name, kind="chat", template="{text}", actor=cast.ml_engineer)
    assert list(refused.value.fields) == ["name"]


def test_the_parent_is_a_version_of_the_same_prompt(cast: make.Cast, first: PromptVersion) -> None:
    other = PromptVersion.objects.get(prompt__name="summarize")
    with pytest.raises(InvalidInput, match="another prompt"):
        create_version(prompt=first.prompt, template="A {text}", parent=other, actor=cast.ml_engineer)


def test_the_database_refuses_to_change_a_version(first: PromptVersion) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        PromptVersion.objects.filter(pk=first.pk).update(template="Other {text}")
    with pytest.raises(DatabaseError), transaction.atomic():
        PromptVersion.objects.filter(pk=first.pk).update(authors=[1])
    with pytest.raises(DatabaseError), transaction.atomic():
        first.delete()


@pytest.mark.django_db(transaction=True)
def test_two_who_save_at_once_get_two_numbers(cast: make.Cast, first: PromptVersion) -> None:
    numbers: list[int] = []
    start = threading.Barrier(2)

    def act(words: str) -> None:
        try:
            start.wait()
            made = create_version(
                prompt=first.prompt, template=f"{words} {{text}}", parent=first, actor=cast.ml_engineer
            )
            numbers.append(made.number)
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=[words]) for words in ("A", "B")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [2, 3]
