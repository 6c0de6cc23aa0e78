"""Everything about how a model is trained and how it writes, as values that refuse contradictions when "
"built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, Self

from models_app.texts.needs import Between, needs_of, unmet

Method = Literal["full", "lora"]
Optimizer = Literal["adamw", "adafactor", "adam"]
Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["auto", "fp32", "bf16"]
Keep = Literal["best", "last"]
SEEDS = Between(0, 2**31 - 1)


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

    def _check(self) -> None:
        """Also turns whole numbers into floats where these are asked for, so that 1 and 1.0 have one digest."""
        for name, need in unmet(self).items():  # type: ignore[arg-type]
            self._refuse(name, f"has to be {need.noun}")
        for name, need in needs_of(type(self)).items():
            if need.kind is float and getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class Decoding(_Settings):
    """How a release writes. Lengths are in the model's tokens, `max_words` is what the prompt asks for."""

    max_new_tokens: Annotated[int, Between(1, 1024)] = 96
    min_new_tokens: Annotated[int, Between(0, 1024)] = 0
    max_words: Annotated[int, Between(5, 500)] = 60
    beams: Annotated[int, Between(1, 16)] = 1
    length_penalty: Annotated[float, Between(-5, 5)] = 1.0
    repetition_penalty: Annotated[float, Between(0.5, 3)] = 1.0
    no_repeat_ngram: Annotated[int, Between(0, 20)] = 0
    max_input_tokens: Annotated[int, Between(16, 32768)] = 512

    def __post_init__(self) -> None:
        self._check()
        if self.min_new_tokens > self.max_new_tokens:
            self._refuse("min_new_tokens", f"is more than max_new_tokens, {self.max_new_tokens}")


@dataclass(frozen=True, kw_only=True)
class Recipe(_Settings):
    """One training run. Refuses nonsense and contradictions with a ValueError that names the field."""

    base: str = "starter"  #: "starter", a directory, or a Hugging Face name, optionally with @revision
    method: Method = "full"
    optimizer: Optimizer = "adamw"
    learning_rate: Annotated[float, Between(0, 1, above=True)] = 1e-4
    schedule: Schedule = "linear"  #: after the warm-up: down to zero in a line, along a cosine, or not at all
    warmup_fraction: Annotated[float, Between(0, 0.9)] = 0.1  #: of all steps
    #: a fraction is fine; either this or max_steps
    epochs: Annotated[float | None, Between(0, 1000, above=True)] = 2.0
    max_steps: Annotated[int | None, Between(1, 10_000_000)] = None
    #: padded source and target tokens that one batch may have
    batch_tokens: Annotated[int, Between(16, 4_000_000)] = 4096
    gradient_accumulation: Annotated[int, Between(1, 1024)] = 1  #: batches that make a step
    max_source_tokens: Annotated[int, Between(8, 32768)] = 512  #: of the whole prompt
    max_target_tokens: Annotated[int, Between(4, 2048)] = 128
    weight_decay: Annotated[float, Between(0, 1)] = 0.0
    clip: Annotated[float, Between(0, 1000)] = 1.0  #: the largest norm of a step's gradient; 0 does not clip
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    seed: Annotated[int, SEEDS] = 13
    validations_per_epoch: Annotated[int, Between(1, 100)] = 2
    #: at most so many of the validation documents, always the same ones
    validation_examples: Annotated[int, Between(1, 100_000)] = 200
    #: stop after so many validations without a better loss; None never stops early
    patience: Annotated[int | None, Between(1, 1000)] = 3
    keep: Keep = "best"  #: the weights of the lowest validation loss, or those of the end
    #: only the last so many blocks and the final norm; None trains everything
    train_last_layers: Annotated[int | None, Between(1, 1000)] = None
    lora_rank: Annotated[int, Between(1, 1024)] = 16
    lora_alpha: Annotated[int, Between(1, 4096)] = 32
    lora_dropout: Annotated[float, Between(0, 0.9)] = 0.05
    preset: str = ""  #: the name of the preset that this was made from

    def __post_init__(self) -> None:
        self._check()
        if not self.base.strip():
            self._refuse("base", "has to name a model: starter, a directory or a Hugging Face name")
        if (self.epochs is None) == (self.max_steps is None):
            self._refuse("epochs", "give either epochs or max_steps, and leave the other empty")
        if self.patience is not None and self.keep == "last":
            self._refuse("patience", "waits for a lower validation loss; leave it empty with keep=last")
        longest = self.max_source_tokens + self.max_target_tokens
        if self.batch_tokens < longest:
            self._refuse(
                "batch_tokens",
                f"has to hold at least one example of {longest} tokens (max_source_tokens + "
                "max_target_tokens)",
            )
        if self.train_last_layers is not None and self.method == "lora":
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
