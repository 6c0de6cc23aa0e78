from __future__ import annotations

from typing import Any

import pytest

from models_app.ml.families import FAMILIES
from models_app.ml.recipe import PRESETS, Decoding, Recipe, default_recipe


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("learning_rate", {"learning_rate": 0}),
        ("learning_rate", {"learning_rate": float("nan")}),
        ("learning_rate", {"learning_rate": "0.001"}),
        ("epochs", {"epochs": None}),
        ("epochs", {"max_steps": 10}),
        ("epochs", {"epochs": 0}),
        ("max_steps", {"epochs": None, "max_steps": 0}),
        ("optimizer", {"optimizer": "sgd"}),
        ("method", {"method": "prefix"}),
        ("schedule", {"schedule": "exponential"}),
        ("precision", {"precision": "fp16"}),
        ("batch_tokens", {"batch_tokens": 600}),
        ("batch_tokens", {"batch_tokens": 4096.5}),
        ("warmup_fraction", {"warmup_fraction": 1}),
        ("gradient_accumulation", {"gradient_accumulation": 0}),
        ("gradient_checkpointing", {"gradient_checkpointing": 1}),
        ("seed", {"seed": True}),
        ("seed", {"seed": -1}),
        ("patience", {"patience": 0}),
        ("patience", {"patience": 3, "keep": "last"}),
        ("keep", {"keep": "first"}),
        ("train_last_layers", {"train_last_layers": 2, "method": "lora"}),
        ("train_last_layers", {"train_last_layers": 0}),
        ("lora_dropout", {"lora_dropout": 1.0}),
        ("base", {"base": " "}),
        ("preset", {"preset": None}),
        ("validation_examples", {"validation_examples": 0}),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        Recipe(**values)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("beams", {"beams": 0}),
        ("min_new_tokens", {"min_new_tokens": 97}),
        ("max_new_tokens", {"max_new_tokens": 0}),
        ("repetition_penalty", {"repetition_penalty": 0}),
        ("max_input_tokens", {"max_input_tokens": 1}),
        ("max_words", {"max_words": "many"}),
    ],
)
def test_decoding_refuses_nonsense_by_the_name_of_its_field(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        Decoding(**values)


def test_a_recipe_survives_its_dict_with_the_same_digest() -> None:
    for recipe in PRESETS.values():
        again = Recipe.from_dict(recipe.to_dict())
        assert again == recipe
        assert again.digest == recipe.digest
    assert Recipe(epochs=2).digest == Recipe(epochs=2.0).digest
    assert Recipe().digest != Recipe(seed=14).digest
    assert Decoding.from_dict(Decoding(beams=4).to_dict()) == Decoding(beams=4)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="no field lr"):
        Recipe.from_dict({"lr": 0.1})
    with pytest.raises(ValueError, match="no field beam"):
        Decoding.from_dict({"beam": 1})
    with pytest.raises(ValueError, match="no field lr"):
        Recipe().but(lr=1)


def test_but_changes_and_checks_again() -> None:
    assert PRESETS["lora"].but(lora_rank=4).lora_rank == 4
    with pytest.raises(ValueError, match="batch_tokens"):
        Recipe().but(batch_tokens=20)


def test_the_named_presets_are_what_their_names_say() -> None:
    adam = PRESETS["paper-adam"]
    assert (adam.optimizer, adam.learning_rate) == ("adam", 0.001)
    assert PRESETS["lora"].method == "lora"
    assert PRESETS["t5-default"].base == "google-t5/t5-small"
    assert PRESETS["starter-cpu"].train_last_layers is not None
    assert all(name == recipe.preset for name, recipe in PRESETS.items())


def test_every_family_has_a_default_on_either_device() -> None:
    for family in FAMILIES:
        for device in ("cpu", "cuda"):
            assert default_recipe(family, device).preset in PRESETS
    assert default_recipe("llama", "cpu").preset == "starter-cpu"
    assert default_recipe("llama", "cuda:0").preset == "starter-gpu"
