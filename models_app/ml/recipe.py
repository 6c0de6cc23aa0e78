"""Everything about how a model is trained and how it writes, as values that refuse contradictions when "
"built."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

Method = Literal["full", "lora"]
Optimizer = Literal["adamw", "adafactor", "adam"]
Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["auto", "fp32", "bf16"]
Keep = Literal["best", "last"]


class _Settings:
    """Plain values with a digest; builds from a dict only if every key is known and of the right type."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload]

    @property
    def digest(self) -> str:
        """sha256 over canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _refuse(self, field: str, why: str) -> None:
        raise ValueError(f"{field}: {why} (it is {getattr(self, field)!r}).")

    def _whole(self, field: str, least: int, most: int) -> None:
        value = getattr(self, field)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._refuse(field, f"has to be a whole number from {least} to {most}")

    def _number(self, field: str, least: float, most: float, *, above: bool = False) -> None:
        """Also turns a whole number into a float, so that 1 and 1.0 have one digest."""
        value = getattr(self, field)
        right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not right or not least <= value <= most or (above and value == least):
            self._refuse(
                field,
                f"has to be a number {'above' if above else 'from'} {least:g}{' and up' if above else ''} "
                f"to {most:g}",
            )
        object.__setattr__(self, field, float(value))

    def _one_of(self, field: str, choices: tuple[str, ...]) -> None:
        if getattr(self, field) not in choices:
            self._refuse(field, f"has to be one of {', '.join(choices)}")

    def _flag(self, field: str) -> None:
        if not isinstance(getattr(self, field), bool):
            self._refuse(field, "has to be true or false")


@dataclass(frozen=True, kw_only=True)
class Decoding(_Settings):
    """How a release writes. Lengths are in the model's tokens, `max_words` is what the prompt asks for."""

    max_new_tokens: int = 96
    min_new_tokens: int = 0
    max_words: int = 60
    beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    max_input_tokens: int = 512

    def __post_init__(self) -> None:
        self._whole("max_new_tokens", 1, 1024)
        self._whole("min_new_tokens", 0, 1024)
        self._whole("max_words", 5, 500)
        self._whole("beams", 1, 16)
        self._number("length_penalty", -5, 5)
        self._number("repetition_penalty", 0.5, 3)
        self._whole("no_repeat_ngram", 0, 20)
        self._whole("max_input_tokens", 16, 32768)
        if self.min_new_tokens > self.max_new_tokens:
            self._refuse("min_new_tokens", f"is more than max_new_tokens, {self.max_new_tokens}")


@dataclass(frozen=True, kw_only=True)
class Recipe(_Settings):
    """One training run. Refuses nonsense and contradictions with a ValueError that names the field."""

    base: str = "starter"  #: "starter", a directory, or a Hugging Face name, optionally with @revision
    method: Method = "full"
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-4
    schedule: Schedule = "linear"  #: after the warm-up: down to zero in a line, along a cosine, or not at all
    warmup_fraction: float = 0.1  #: of all steps
    epochs: float | None = 2.0  #: a fraction is fine; either this or max_steps
    max_steps: int | None = None
    batch_tokens: int = 4096  #: padded source and target tokens that one batch may have
    gradient_accumulation: int = 1  #: batches that make a step
    max_source_tokens: int = 512  #: of the whole prompt
    max_target_tokens: int = 128
    weight_decay: float = 0.0
    clip: float = 1.0  #: the largest norm of a step's gradient; 0 does not clip
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    seed: int = 13
    validations_per_epoch: int = 2
    validation_examples: int = 200  #: at most so many of the validation documents, always the same ones
    patience: int | None = 3  #: stop after so many validations without a better loss; None never stops early
    keep: Keep = "best"  #: the weights of the lowest validation loss, or those of the end
    train_last_layers: int | None = (
        None  #: only the last so many blocks and the final norm; None trains everything
    )
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    preset: str = ""  #: the name of the preset that this was made from

    def __post_init__(self) -> None:
        for field in ("base", "preset"):
            if not isinstance(getattr(self, field), str):
                self._refuse(field, "has to be text")
        if not self.base.strip():
            self._refuse("base", "has to name a model: starter, a directory or a Hugging Face name")
        self._one_of("method", get_args(Method))
        self._one_of("optimizer", get_args(Optimizer))
        self._one_of("schedule", get_args(Schedule))
        self._one_of("precision", get_args(Precision))
        self._one_of("keep", get_args(Keep))
        self._number("learning_rate", 0, 1, above=True)
        self._number("warmup_fraction", 0, 0.9)
        self._whole("batch_tokens", 16, 4_000_000)
        self._whole("gradient_accumulation", 1, 1024)
        self._whole("max_source_tokens", 8, 32768)
        self._whole("max_target_tokens", 4, 2048)
        self._number("weight_decay", 0, 1)
        self._number("clip", 0, 1000)
        self._flag("gradient_checkpointing")
        self._whole("seed", 0, 2**31 - 1)
        self._whole("validations_per_epoch", 1, 100)
        self._whole("validation_examples", 1, 100_000)
        self._check_length_of_run()
        self._check_trained_weights()

    def _check_length_of_run(self) -> None:
        if self.epochs is not None:
            self._number("epochs", 0, 1000, above=True)
        if self.max_steps is not None:
            self._whole("max_steps", 1, 10_000_000)
        if (self.epochs is None) == (self.max_steps is None):
            self._refuse("epochs", "give either epochs or max_steps, and leave the other empty")
        if self.patience is not None:
            self._whole("patience", 1, 1000)
            if self.keep == "last":
                self._refuse("patience", "waits for a lower validation loss; leave it empty with keep=last")
        if self.batch_tokens < self.max_source_tokens + self.max_target_tokens:
            longest = self.max_source_tokens + self.max_target_tokens
            self._refuse(
                "batch_tokens",
                f"has to hold at least one example of {longest} tokens (max_source_tokens + "
                "max_target_tokens)",
            )

    def _check_trained_weights(self) -> None:
        self._whole("lora_rank", 1, 1024)
        self._whole("lora_alpha", 1, 4096)
        self._number("lora_dropout", 0, 0.9)
        if self.train_last_layers is not None:
            self._whole("train_last_layers", 1, 1000)
            if self.method == "lora":
                self._refuse(
                    "train_last_layers", "means nothing with LoRA, which freezes all layers; leave it empty"
                )

    def but(self, **changes: Any) -> Recipe:
        """This recipe with some fields changed, checked again."""
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            raise ValueError(f"Recipe has no field {', '.join(unknown)}.")
        return replace(self, **changes)


#: Named starting points. Those of the starter were chosen by experiment on CNN/DailyMail validation articles.
PRESETS: Mapping[str, Recipe] = {
    recipe.preset: recipe
    for recipe in (
        # Validation loss is lowest after one epoch, while ROUGE of the validation articles goes on rising in the
        # second: a model that is surer of its words is not a worse writer. So the end is kept.
        Recipe(
            preset="starter-cpu",
            learning_rate=3e-4,
            epochs=2.0,
            train_last_layers=12,
            batch_tokens=3200,
            max_source_tokens=300,
            max_target_tokens=120,
            keep="last",
            patience=None,
        ),
        Recipe(
            preset="starter-gpu",
            learning_rate=1e-4,
            epochs=3.0,
            batch_tokens=32768,
            max_source_tokens=1024,
            max_target_tokens=128,
            weight_decay=0.01,
        ),
        Recipe(
            preset="t5-default",
            base="google-t5/t5-small",
            optimizer="adafactor",
            learning_rate=1e-3,
            schedule="constant",
            warmup_fraction=0.0,
            epochs=3.0,
            batch_tokens=8192,
        ),
        Recipe(
            preset="seq2seq-default",
            base="facebook/bart-base",
            learning_rate=3e-5,
            epochs=3.0,
            batch_tokens=8192,
            weight_decay=0.01,
        ),
        Recipe(
            preset="decoder-default",
            base="openai-community/gpt2",
            learning_rate=5e-5,
            epochs=3.0,
            batch_tokens=8192,
            max_source_tokens=896,
            weight_decay=0.01,
        ),
        Recipe(
            preset="paper-adam",
            base="google-t5/t5-small",
            optimizer="adam",
            learning_rate=1e-3,
            schedule="constant",
            warmup_fraction=0.0,
            epochs=3.0,
            batch_tokens=8192,
        ),
        Recipe(
            preset="lora",
            method="lora",
            learning_rate=3e-4,
            epochs=3.0,
            max_source_tokens=420,
            max_target_tokens=92,
        ),
    )
}


def default_recipe(base_family: str, device: str) -> Recipe:
    """The preset for a family ("t5", "llama", …) on "cpu" or "cuda"."""
    if base_family == "llama":
        return PRESETS["starter-gpu" if device.startswith("cuda") else "starter-cpu"]
    if base_family == "t5":
        return PRESETS["t5-default"]
    return PRESETS["decoder-default" if base_family == "gpt2" else "seq2seq-default"]
