"""Weights of a version that was registered before weights had fingerprints are recognised as its own, too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from models_app.foundation.errors import Refused
from models_app.ml.fingerprints import TensorPrint
from models_app.models import AuditEvent, ModelVersion, WeightMatch, WeightTensor
from models_app.releases.hands import involved
from models_app.training.job import _recognised
from models_app.training.recognising import Registered, keep
from models_app.training.registering import artefact_path, fingerprint_earlier_ones, register_base
from tests import make
from tests.database import without_guards
from tests.doors.test_evidence import refusal
from tests.doors.test_lineage import base, cast, moved, places, released, rewrite, trained, trained_from
from tests.tiny_models import make_tiny_llama

__all__ = ["base", "cast", "places", "trained"]
pytestmark = pytest.mark.django_db


def without_fingerprint(*versions: ModelVersion) -> None:
    """As if they were registered before there were any."""
    with without_guards(ModelVersion, WeightTensor, WeightMatch):
        WeightMatch.objects.filter(version__in=versions).delete()
        WeightTensor.objects.filter(version__in=versions).delete()
        ModelVersion.objects.filter(pk__in=[version.pk for version in versions]).update(weights_digest="")


def copied(version: ModelVersion, to: Path) -> Path:
    shutil.copytree(artefact_path(version) / "weights", to)
    rewrite(to, lambda _, tensor: moved(tensor, 1e-3))
    return to


def test_the_weights_of_an_earlier_version_keep_its_lineage_when_they_are_registered_again(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    without_fingerprint(base, trained)
    again = register_base(
        reference=str(copied(trained, places / "fresh")), name="fresh", actor=cast.administrator
    )
    assert again.parent == trained
    assert "started its training" in involved(released(again, cast.administrator))[cast.ml_engineer.pk]
    for version in (base, trained):
        version.refresh_from_db()
        assert len(version.weights_digest) == 64
        assert version.tensors.count() > 10
        assert AuditEvent.objects.filter(
            action="model.fingerprinted", subject=f"modelversion:{version.pk}"
        ).exists()


def test_a_training_on_the_weights_of_an_earlier_version_continues_its_lineage(
    trained: ModelVersion, places: Path
) -> None:
    without_fingerprint(trained)
    assert _recognised(copied(trained, places / "fresh")) == trained


def test_what_was_registered_again_meanwhile_is_recognised_when_its_origin_gets_a_fingerprint(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    for origin_came_first in (False, True):
        with transaction.atomic():
            without_fingerprint(base, trained)
            with without_guards(ModelVersion):  # so that registering does not look at them
                hidden = dict(ModelVersion.objects.values_list("pk", "artefact"))
                ModelVersion.objects.update(artefact="")
            again = register_base(
                reference=str(copied(trained, places / f"{origin_came_first}")),
                name="fresh",
                actor=cast.administrator,
            )
            assert again.parent is None
            with without_guards(ModelVersion):
                for pk in (base.pk, trained.pk):
                    ModelVersion.objects.filter(pk=pk).update(artefact=hidden[pk])
            if origin_came_first:
                without_fingerprint(again)
            fingerprint_earlier_ones()
            assert WeightMatch.objects.filter(version=again, of=trained).exists()
            assert cast.ml_engineer.pk in involved(released(again, cast.administrator))
            assert not WeightMatch.objects.filter(version__in=[base, trained]).exists()
            transaction.set_rollback(True)


def test_a_checkpoint_without_a_fingerprint_is_recognised_as_of_the_model_whose_training_it_is_from(
    cast: make.Cast, base: ModelVersion, places: Path
) -> None:
    """Also where the model was registered after it, and has a fingerprint."""
    checkpoint = places / "checkpoint"
    shutil.copytree(artefact_path(base) / "weights", checkpoint)
    rewrite(checkpoint, lambda _, tensor: moved(tensor, 0.1, 5))
    rewrite(checkpoint, lambda _, tensor: moved(tensor, 0.01, 8))
    early = register_base(reference=str(checkpoint), name="early", actor=cast.administrator)
    without_fingerprint(early)
    later = trained_from(base, cast, places, seed=5)
    assert not WeightMatch.objects.filter(version=early).exists()
    fingerprint_earlier_ones()
    assert WeightMatch.objects.filter(version=early, of=later).exists()
    assert not WeightMatch.objects.filter(version=later).exists()
    assert cast.ml_engineer.pk in involved(released(early, cast.administrator))


def test_nothing_is_registered_while_the_files_of_an_earlier_version_are_gone(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    fresh = copied(trained, places / "fresh")
    without_fingerprint(trained)
    backup = places / "backup"
    shutil.move(artefact_path(trained), backup)
    number = ModelVersion.objects.count()
    for act in (
        lambda: register_base(reference=str(fresh), name="fresh", actor=cast.ml_engineer),
        lambda: _recognised(fresh),
    ):
        with pytest.raises(
            Refused, match=rf"Model {trained.pk} · tuned .* files are gone\. Restore "
        ) as refused:
            act()
        assert refused.value.code == "no_fingerprint"
    assert ModelVersion.objects.count() == number
    shutil.move(backup, Path(str(refused.value).split("Restore ")[1].split(" from ")[0]))
    assert register_base(reference=str(fresh), name="fresh", actor=cast.ml_engineer).parent == trained


def test_a_training_from_a_registered_version_goes_on_meanwhile(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    without_fingerprint(trained)
    shutil.rmtree(artefact_path(trained))
    assert trained_from(base, cast, places, seed=9).parent == base


@pytest.mark.parametrize("how", ["other weights in its files", "another model's directory"])
def test_other_files_in_the_place_of_an_earlier_version_s_do_not_stand_for_it(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path, how: str
) -> None:
    fresh = copied(trained, places / "fresh")
    without_fingerprint(trained)
    directory = artefact_path(trained)
    if how.startswith("other"):
        rewrite(directory / "weights", lambda _, tensor: moved(tensor, 5.0))
    else:
        shutil.rmtree(directory)
        shutil.copytree(artefact_path(base), directory)
    with pytest.raises(Refused, match=rf"Model {trained.pk} · tuned .*(damaged|another model).* backup"):
        register_base(reference=str(fresh), name="fresh", actor=cast.ml_engineer)


def test_a_fingerprint_is_given_once(trained: ModelVersion) -> None:
    change = f"UPDATE models_app_modelversion SET weights_digest = 'other' WHERE id = {trained.pk}"
    assert refusal(change) == "23001"
    without_fingerprint(trained)
    assert refusal(change) == ""
    assert refusal(f"{change}; {change.replace('other', 'third')}") == "23001"


# ---------------------------------------------------------------- many versions

SIZES = (4096, 4096, 1024, 256, 100)


def family(number: int, seed: int = 0) -> list[ModelVersion]:
    """A base and `number` versions: trained from it or from one another, copies, mixtures, some of another base."""
    random = np.random.default_rng(seed)
    weights: list[list[Any]] = []
    versions: list[ModelVersion] = []
    for place in range(number + 1):
        of = int(random.integers(len(versions))) if versions and random.random() < 0.8 else None
        if of is None:
            mine = [random.normal(size=64) for _ in SIZES]
        else:
            share, other = random.choice([0.0, 0.01, 0.3, 0.8]), weights[int(random.integers(len(weights)))]
            mixed = random.choice([0.0, 0.4])
            mine = [
                (1 - mixed) * one + mixed * two + share * random.normal(size=64)
                for one, two in zip(weights[of], other, strict=True)
            ]
        weights.append(mine)
        version = ModelVersion.objects.create(
            name=f"v{place}", family="llama", architecture="x", base="x", digest=f"{seed}-{place}", engine="lead",
            weights_digest=f"{seed}-{place}", parent=versions[of] if of is not None and random.random() < 0.7 else None,
        )  # fmt: skip
        keep(version, prints(mine, f"{seed}-{place}"))
        versions.append(version)
    return versions


def prints(weights: list[Any], name: str) -> list[TensorPrint]:
    return [
        TensorPrint(size, f"{name}-{place}", values.astype("f4"))
        for place, (size, values) in enumerate(zip(SIZES, weights, strict=True))
    ]


@pytest.mark.parametrize("seed", range(4))
def test_two_looks_say_of_which_versions_all_others_need_not_be_looked_at(db: None, seed: int) -> None:
    """The short way finds what the long way finds, which compares each version with every other."""
    versions = family(16, seed)
    registered = Registered()
    found = {version.pk: registered.made_from(version.pk) for version in versions}
    for version in versions:
        whole = []
        for other in versions:
            if other.pk in (version.pk, *registered.ancestors(version.pk)):
                continue
            known = registered.recognise_registered(other.pk)
            if known is not None and known.pk == version.pk:
                whole.append((other.pk, known))
        assert found[version.pk] == whole
    assert any(found.values())


def test_registering_beside_more_versions_asks_no_more_statements(
    cast: make.Cast, places: Path, base: ModelVersion
) -> None:
    counts = []
    for number in (2, 30):
        family(number, seed=number)
        directory = make_tiny_llama(places / f"new-{number}", seed=50 + number)
        with CaptureQueriesContext(connection) as asked:
            register_base(reference=str(directory), name="new", actor=cast.administrator)
        counts.append(len(asked))
    assert counts[0] == counts[1]
