"""Fine-tuning: examples, a recipe and a base model in; a directory of weights and what was measured out.

One lean loop for all families. It knows no database and no queue: progress and cancelling are callbacks. What it
needs to go on after a crash is in `work_dir`; calling `train` again with the same arguments resumes there, and the
final weights equal those of an unbroken run on the same machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import resource
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from models_app.ml.batching import (
    IGNORED,
    Encoded,
    Step,
    batches_of,
    collate,
    learning_rate_factor,
    plan_steps,
)
from models_app.ml.checkpoints import (
    RunState,
    checkpoint_bytes,
    read_best,
    read_checkpoint,
    remove_checkpoints,
    write_best,
    write_checkpoint,
)
from models_app.ml.energy import JOULES_PER_KWH, EnergyMeter
from models_app.ml.errors import (
    MLError,
    NotEnoughData,
    PromptTooLong,
    TrainingCancelled,
    TrainingFailed,
    UnsupportedModel,
)
from models_app.ml.families import Family, check_model_directory, load_model, load_tokenizer, position_limit
from models_app.ml.prompting import PromptSpec, check_prompt, encode_source, encode_target
from models_app.ml.recipe import Recipe
from models_app.ml.storage import disk_errors, require_room

Phase = Literal["loading", "encoding", "training", "validating", "saving"]

CHECKPOINT_SECONDS = 120.0
_RESULT = "result.json"
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Example:
    source: str  #: the article
    target: str  #: the summary that people approved
    title: str = ""
    domain: str = ""
    document: str = ""  #: which document it is, for messages


@dataclass(frozen=True)
class Progress:
    """What has happened so far.

    `step` of `total` counts what the phase counts: examples while encoding and validating, else training steps.
    When a validation is done it is told once: phase validating, the training step, its `validation_loss`, the mean
    training `loss` since the one before (None at step 0, where nothing was trained yet), and rate and speed of the
    steps so far. No other progress has a `validation_loss`.
    """

    phase: Phase
    step: int = 0
    total: int = 0
    epoch: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    examples_per_second: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True)
class TrainingResult:
    weights: Path  #: a save_pretrained directory, LoRA merged in
    best_step: int  #: the step whose weights these are; 0 is the base model, kept where no step was better
    steps: int
    train_loss: float  #: mean per target token since the last validation but one
    validation_loss: float  #: of these weights
    #: Of each validation, step 0 first, which has no training `loss`.
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  #: of training steps, validation and loading left out, all resumed parts together
    examples_per_second: float = 0.0
    tokens_per_second: float = 0.0
    #: That the machine's processors used from the first step to the last; None where it does not tell, or something
    #: else than processors learnt.
    energy_kwh: float | None = None
    peak_memory_bytes: int = 0
    stopped_early: bool = False
    device: str = "cpu"
    precision: str = "fp32"
    skipped_examples: int = 0  #: without a source or a target


def train(
    *,
    recipe: Recipe,
    base_dir: Path,
    train: Sequence[Example],
    validation: Sequence[Example],
    prompt: PromptSpec,
    work_dir: Path,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Trains, and writes the weights that the recipe keeps to `work_dir`/weights.

    Raises TrainingCancelled as soon as `should_stop()`; NotEnoughData, OutOfDisk, TrainingFailed and the errors of
    the base model, each with a message for the user. An earlier call's checkpoint in `work_dir` is resumed.
    """
    _reset_peak_memory()
    base_dir, work_dir = Path(base_dir), Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    device = choose_device(device)
    precision = choose_precision(recipe.precision, device)
    on_progress(Progress("loading"))
    family = check_model_directory(base_dir)
    check_prompt(prompt)
    _check_lengths(recipe, family, base_dir)
    tokenizer = load_tokenizer(base_dir)

    encoder = _Encoder(tokenizer, family, prompt, recipe, on_progress, should_stop)
    training_set, unusable = encoder.encode(train)
    validation_set, unusable_validation = encoder.encode(validation[: recipe.validation_examples])
    if len(training_set) < 2 or not validation_set:
        raise NotEnoughData(
            f"Training needs at least 2 usable training examples and 1 for validation; there are "
            f"{len(training_set)} and {len(validation_set)}. Approve more feedback examples and freeze a new snapshot."
        )
    fingerprint = _fingerprint(recipe, training_set, validation_set, base_dir, device, precision)
    finished = _read_result(work_dir, fingerprint)
    if finished is not None:
        return finished

    torch.manual_seed(recipe.seed)
    model = load_model(base_dir, device, "float32")
    model, weights = _choose_weights(model, family, recipe)
    steps = plan_steps(training_set, family.kind, recipe)
    optimizer = _make_optimizer(recipe, weights, device)
    stored = _stored_dtype(base_dir)
    states = {"adafactor": 0}.get(recipe.optimizer, 2)
    everything = sum(parameter.numel() for parameter in model.parameters())
    # Two checkpoints while one replaces the other, two of the best weights for the same reason, and the result.
    needed = 2 * checkpoint_bytes(weights, None, states) + 2 * checkpoint_bytes(weights, None, 0)
    require_room(work_dir, needed + everything * stored.itemsize, "This training run")
    state = read_checkpoint(work_dir, fingerprint, weights, optimizer) or RunState(fingerprint)

    run = _Run(
        model=model,
        family=family,
        weights=weights,
        optimizer=optimizer,
        recipe=recipe,
        device=device,
        precision=precision,
        pad=tokenizer.pad_token_id,
        training_set=training_set,
        validation_set=validation_set,
        steps=steps,
        state=state,
        work_dir=work_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    with _out_of_memory_in_words():
        stopped_early = run.go()

    on_progress(Progress("saving", state.step, len(steps)))
    _save_kept(run, base_dir, tokenizer, stored)
    result = TrainingResult(
        weights=work_dir / _WEIGHTS,
        best_step=state.best_step,
        steps=state.step,
        train_loss=state.history[-1]["loss"],
        validation_loss=state.best_loss,
        history=state.history,
        seconds=state.seconds,
        examples_per_second=state.examples / state.seconds,
        tokens_per_second=state.tokens / state.seconds,
        energy_kwh=state.joules / JOULES_PER_KWH if state.joules is not None and device == "cpu" else None,
        peak_memory_bytes=peak_memory_bytes(device),
        stopped_early=stopped_early,
        device=device,
        precision=precision,
        skipped_examples=unusable + unusable_validation,
    )
    _write_result(work_dir, fingerprint, result)
    remove_checkpoints(work_dir)
    return result


@dataclass
class _Run:
    model: Any
    family: Family
    weights: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    device: str
    precision: str
    pad: int
    training_set: list[Encoded]
    validation_set: list[Encoded]
    steps: list[Step]
    state: RunState
    work_dir: Path
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]

    def go(self) -> bool:
        """Trains from the state to the end; True if it stopped early. The state ends up complete."""
        state, total, meter = self.state, len(self.steps), EnergyMeter()
        self._count(meter)
        if not state.history:
            self._validate(epoch=0)
        began, at_start = time.monotonic(), state.tokens
        sizes = [sum(self.training_set[number].tokens for number in step.examples) for step in self.steps]
        saved = time.monotonic()
        while state.step < total and not self._out_of_patience():
            step = self.steps[state.step]
            rate = self._rate(state.step)
            step_began = time.monotonic()
            loss = self._step(step, rate)
            state.seconds += time.monotonic() - step_began
            state.step += 1
            state.tokens += sizes[state.step - 1]
            state.examples += len(step.examples)
            done, elapsed = state.tokens - at_start, time.monotonic() - began
            self.on_progress(
                Progress(
                    phase="training",
                    step=state.step,
                    total=total,
                    epoch=step.epoch,
                    loss=loss,
                    learning_rate=rate,
                    tokens_per_second=state.tokens / state.seconds,
                    examples_per_second=state.examples / state.seconds,
                    eta_seconds=sum(sizes[state.step :]) * elapsed / done,
                )
            )
            if step.validate:
                self._validate(epoch=step.epoch)
            self._count(meter)
            if step.validate or time.monotonic() - saved > CHECKPOINT_SECONDS:
                write_checkpoint(self.work_dir, state, self.weights, self.optimizer)
                saved = time.monotonic()
        return state.step < total

    def _count(self, meter: EnergyMeter) -> None:
        used, before = meter.joules(), self.state.joules
        self.state.joules = None if used is None or before is None else before + used

    def _rate(self, step: int) -> float:
        """The learning rate of the step after `step` others."""
        return self.recipe.learning_rate * learning_rate_factor(step, len(self.steps), self.recipe)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.state.validations_without_gain >= patience

    def _step(self, step: Step, learning_rate: float) -> float:
        """One update of the weights; the mean loss per target token."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(self.training_set[number].target) for number in step.examples)
        total = 0.0
        for batch in step.batches:
            self._stop_if_asked()
            loss = self._loss([self.training_set[number] for number in batch])
            # Every target token weighs the same, however the step was cut into batches.
            (loss / tokens).backward()
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingFailed(
                f"The loss stopped being a number at step {self.state.step + 1}. "
                "Lower the learning rate, lengthen the warm-up, or train with precision fp32."
            )
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.weights.values(), self.recipe.clip)
        self.optimizer.step()
        self.state.loss_sum += total
        self.state.loss_tokens += tokens
        return total / tokens

    def _validate(self, epoch: int) -> None:
        """Measures the validation loss, keeps the weights if the recipe wants them, and writes history."""
        state = self.state
        loss = self._validation_loss(epoch)
        train_loss = state.loss_sum / state.loss_tokens if state.loss_tokens else None
        state.history.append(
            {
                "step": state.step,
                "epoch": epoch,
                **({} if train_loss is None else {"loss": train_loss}),
                "validation_loss": loss,
                "seconds": state.seconds,
            }
        )
        state.loss_sum, state.loss_tokens = 0.0, 0
        self.on_progress(
            Progress(
                phase="validating",
                step=state.step,
                total=len(self.steps),
                epoch=epoch,
                loss=train_loss,
                validation_loss=loss,
                learning_rate=self._rate(state.step - 1) if state.step else None,
                tokens_per_second=state.tokens / state.seconds if state.step else None,
                examples_per_second=state.examples / state.seconds if state.step else None,
            )
        )
        if self.recipe.keep == "last":  # the checkpoint holds them
            state.best_step, state.best_loss = state.step, loss
        elif loss < state.best_loss:
            if state.step:
                write_best(self.work_dir, state.step, self.weights)
            state.best_step, state.best_loss, state.validations_without_gain = state.step, loss, 0
        else:
            state.validations_without_gain += 1

    def _validation_loss(self, epoch: int) -> float:
        self.model.eval()
        order = sorted(range(len(self.validation_set)), key=lambda number: self.validation_set[number].tokens)
        total, tokens, done = 0.0, 0, 0
        with torch.no_grad():
            for batch in batches_of(order, self.validation_set, self.family.kind, self.recipe.batch_tokens):
                self._stop_if_asked()
                examples = [self.validation_set[number] for number in batch]
                total += self._loss(examples).item()
                tokens += sum(len(example.target) for example in examples)
                done += len(examples)
                self.on_progress(Progress("validating", done, len(order), epoch))
        return total / tokens

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            raise TrainingCancelled(
                f"Cancelled at step {self.state.step} of {len(self.steps)}. "
                "Starting the run again goes on from its last checkpoint."
            )

    def _loss(self, examples: Sequence[Encoded]) -> torch.Tensor:
        """Cross-entropy summed over the target tokens; prompt and padding have no part in it."""
        padded = collate(examples, self.family.kind, self.pad)
        # (batch, source) ids and mask; labels (batch, target), for decoder-only (batch, source) like the ids
        batch = {name: torch.tensor(rows, device=self.device) for name, rows in padded.items()}
        device_type = self.device.split(":")[0]
        with torch.autocast(device_type, torch.bfloat16, enabled=self.precision == "bf16"):
            if self.family.kind == "encoder-decoder":
                mean: torch.Tensor = self.model(**batch, use_cache=False).loss
                return mean.float() * sum(len(example.target) for example in examples)
            return _decoder_only_loss(self.model, batch)


def _decoder_only_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits only where there is a label: of an article and its summary that is one position in eight, and the
    output embedding is a quarter of a small model's work and most of its memory."""
    body = getattr(model, model.base_model_prefix)
    states = body(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)[0]
    labels = batch["labels"][:, 1:]
    has_label = labels != IGNORED
    predicting = states[:, :-1][has_label]  # (labels, width): the position before each label
    logits = model.get_output_embeddings()(predicting).float()
    return torch.nn.functional.cross_entropy(logits, labels[has_label], reduction="sum")


@dataclass
class _Encoder:
    tokenizer: Any
    family: Family
    prompt: PromptSpec
    recipe: Recipe
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]

    def encode(self, examples: Sequence[Example]) -> tuple[list[Encoded], int]:
        """Token ids, and how many examples had no source or target to encode."""
        encoded: list[Encoded] = []
        for number, example in enumerate(examples, 1):
            if self.should_stop():
                raise TrainingCancelled("Cancelled while the examples were encoded.")
            if example.source.strip() and example.target.strip():
                try:
                    encoded.append(self._one(example))
                except PromptTooLong as error:
                    name = example.document or number
                    raise PromptTooLong(f"Example {name}: {error.message}") from error
            if number % 50 == 0 or number == len(examples):
                self.on_progress(Progress("encoding", number, len(examples)))
        return encoded, len(examples) - len(encoded)

    def _one(self, example: Example) -> Encoded:
        source = encode_source(
            self.tokenizer,
            self.family.name,
            self.prompt,
            text=example.source,
            title=example.title,
            domain=example.domain,
            max_input_tokens=self.recipe.max_source_tokens,
        )
        target = encode_target(
            self.tokenizer,
            self.family.name,
            self.prompt,
            summary=example.target,
            max_target_tokens=self.recipe.max_target_tokens,
        )
        return Encoded(source.input_ids, target)


def _choose_weights(model: Any, family: Family, recipe: Recipe) -> tuple[Any, dict[str, torch.nn.Parameter]]:
    """The model with only what the recipe trains requiring a gradient, and those weights by name."""
    if recipe.method == "lora":
        _add_lora(model, family, recipe)
    elif recipe.train_last_layers is not None:
        _freeze_all_but_last(model, family, recipe.train_last_layers)
    if recipe.gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise UnsupportedModel(
                f"{type(model).__name__} has no gradient checkpointing; switch it off in the recipe."
            )
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model, {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _add_lora(model: Any, family: Family, recipe: Recipe) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(family.lora_targets),
        fan_in_fan_out=family.name == "gpt2",  # its projections are stored transposed
    )
    inject_adapter_in_model(config, model)


def _freeze_all_but_last(model: Any, family: Family, last: int) -> None:
    model.requires_grad_(False)
    for path in family.layers:
        stack, _, name = path.rpartition(".")
        layers = getattr(model.get_submodule(stack), name)
        if last > len(layers):
            raise UnsupportedModel(f"train_last_layers is {last}, but {path} has only {len(layers)} layers.")
        layers[-last:].requires_grad_(True)
        for norm in ("norm", "ln_f", "final_layer_norm", "layer_norm"):
            if hasattr(model.get_submodule(stack), norm):
                getattr(model.get_submodule(stack), norm).requires_grad_(True)


def _make_optimizer(
    recipe: Recipe, weights: Mapping[str, torch.nn.Parameter], device: str
) -> torch.optim.Optimizer:
    # Norms and biases are not decayed.
    groups = [
        {
            "params": [weight for weight in weights.values() if weight.dim() >= 2],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [weight for weight in weights.values() if weight.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=recipe.learning_rate, scale_parameter=False, relative_step=False)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate, fused=True)


def choose_device(device: str = "auto") -> str:
    """ "auto" is the GPU where there is one. Raises MLError for a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MLError("There is no CUDA device that this PyTorch can use. Choose the device cpu or auto.")
    return device


def choose_precision(precision: str, device: str) -> str:
    """ "auto" is bf16 where the hardware computes it, which is 1.5 to 2 times as fast; weights stay in fp32."""
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else _cpu_has_bf16()
    return "bf16" if fast else "fp32"


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None


def _check_lengths(recipe: Recipe, family: Family, base_dir: Path) -> None:
    limit = position_limit(base_dir)
    if limit is None:
        return
    source, target = recipe.max_source_tokens, recipe.max_target_tokens
    needed = source + target if family.kind == "decoder-only" else max(source, target)
    if needed > limit:
        both = " + max_target_tokens" if family.kind == "decoder-only" else ""
        raise UnsupportedModel(
            f"The model has positions for {limit} tokens, and the recipe asks for {needed}. "
            f"Lower max_source_tokens{both}."
        )


def _fingerprint(
    recipe: Recipe,
    training_set: Sequence[Encoded],
    validation_set: Sequence[Encoded],
    base_dir: Path,
    device: str,
    precision: str,
) -> str:
    """What must be the same for a checkpoint to be resumed."""
    digest = hashlib.sha256(f"{recipe.digest} {device} {precision} {torch.__version__}".encode())
    for path in sorted(base_dir.glob("*.safetensors")):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    digest.update((base_dir / "config.json").read_bytes())
    for examples in (training_set, validation_set):
        digest.update(str(len(examples)).encode())
        for example in examples:
            digest.update(repr((example.source, example.target)).encode())
    return digest.hexdigest()


def _stored_dtype(base_dir: Path) -> torch.dtype:
    """The type that most of the base model's weights are stored in; the result is stored in it too."""
    names = {"F16": torch.float16, "BF16": torch.bfloat16}
    sizes: Counter[str] = Counter()
    for path in base_dir.glob("*.safetensors"):
        with path.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        for name, tensor in header.items():
            if name != "__metadata__":
                sizes[tensor["dtype"]] += math.prod(tensor["shape"])
    return names.get(sizes.most_common(1)[0][0], torch.float32)


def _save_kept(run: _Run, base_dir: Path, tokenizer: Any, stored: torch.dtype) -> None:
    """The weights to keep as a directory of their own, LoRA merged, in the base model's type of number."""
    model, best = run.model, run.state.best_step
    if best == 0:
        model = load_model(base_dir, "cpu", "float32")
    elif best != run.state.step:
        read_best(run.work_dir, best, run.weights)
    if best and run.recipe.method == "lora":
        model = _merge_lora(model)
    if stored == torch.float16 and max(weight.abs().max().item() for weight in model.parameters()) > 65504:
        stored = torch.bfloat16  # float16 would turn these weights into infinities
    final, beside = run.work_dir / _WEIGHTS, run.work_dir / f".{_WEIGHTS}"
    for directory in (final, beside):
        shutil.rmtree(directory, ignore_errors=True)
    with disk_errors(run.work_dir):
        model.eval().to("cpu", stored).save_pretrained(beside)
        tokenizer.save_pretrained(beside)
    beside.replace(final)


def _merge_lora(model: Any) -> Any:
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    return model


@contextlib.contextmanager
def _out_of_memory_in_words() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not re.search(
            "out of memory|can't allocate memory", str(error)
        ):
            raise
        raise TrainingFailed(
            "The run needs more memory than there is. Halve batch_tokens and double gradient_accumulation, "
            "or switch gradient_checkpointing on, or train fewer layers or with LoRA."
        ) from error


def _write_result(work_dir: Path, fingerprint: str, result: TrainingResult) -> None:
    values = {**asdict(result), "weights": result.weights.name}
    temporary = work_dir / f".{_RESULT}"
    with disk_errors(work_dir), temporary.open("w", encoding="utf-8") as stream:
        json.dump({"fingerprint": fingerprint, "result": values}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(work_dir / _RESULT)


def _read_result(work_dir: Path, fingerprint: str) -> TrainingResult | None:
    """Of the same run, finished before; a second delivery of one job trains nothing twice."""
    if not (work_dir / _RESULT).is_file():
        return None
    saved = json.loads((work_dir / _RESULT).read_text(encoding="utf-8"))
    if saved["fingerprint"] != fingerprint:
        raise MLError(f"{work_dir} holds the result of another run. Start this one in an empty directory.")
    return TrainingResult(**{**saved["result"], "weights": work_dir / saved["result"]["weights"]})


def _reset_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # not allowed everywhere; the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes(device: str) -> int:
    """Of the GPU, or the resident memory of this process, since training began."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if match:
            return int(match[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
