from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from models_app.ml import training
from models_app.ml.batching import IGNORED, Encoded, collate
from models_app.ml.errors import (
    MLError,
    NotEnoughData,
    OutOfDisk,
    PromptTooLong,
    TrainingCancelled,
    TrainingFailed,
    UnsupportedModel,
)
from models_app.ml.families import FAMILIES, check_model_directory, load_model, load_tokenizer
from models_app.ml.prompting import PromptSpec, default_prompt, encode_source, encode_target
from models_app.ml.recipe import Recipe
from models_app.ml.training import Example, Progress, TrainingResult, train
from tests.tiny_models import MAKERS, TOPICS, topic_task

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [Example(source, target) for source, target in topic_task(600, seed=1)]
VALIDATION = [Example(source, target) for source, target in topic_task(30, seed=2)]
RECIPE = Recipe(
    base="tiny",
    learning_rate=3e-3,
    epochs=5,
    batch_tokens=400,
    max_source_tokens=40,
    max_target_tokens=10,
    precision="fp32",
    validations_per_epoch=1,
    patience=None,
    seed=5,
)
SHORT = RECIPE.but(epochs=None, max_steps=12, batch_tokens=200, learning_rate=1e-3)


def prompt_for(family: str) -> PromptSpec:
    return PromptSpec("chat", "", "summarize: {text}") if family == "llama" else default_prompt(family)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("bases")

    def base(family: str) -> Path:
        path = root / family
        return path if path.exists() else MAKERS[family](path)

    return base


@pytest.fixture(scope="module")
def learnt(
    bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], TrainingResult]:
    """What a model of the family is after it learnt the task."""
    root = tmp_path_factory.mktemp("learnt")
    results: dict[str, TrainingResult] = {}

    def of(family: str) -> TrainingResult:
        if family not in results:
            results[family] = fit(bases(family), root / family, RECIPE, train=TRAIN, validation=VALIDATION)
        return results[family]

    return of


def fit(base: Path, work_dir: Path, recipe: Recipe = SHORT, **changes: Any) -> TrainingResult:
    family = check_model_directory(base).name
    arguments = {"train": TRAIN[:80], "validation": VALIDATION[:10], "prompt": prompt_for(family), **changes}
    return train(recipe=recipe, base_dir=base, work_dir=work_dir, device="cpu", **arguments)


class Written(NamedTuple):
    text: str
    ids: list[int]


def write(model: Any, tokenizer: Any, family: str, text: str) -> Written:
    """A summary by transformers' own greedy search."""
    source = encode_source(tokenizer, family, prompt_for(family), text=text, max_input_tokens=40).input_ids
    ids = model.generate(
        torch.tensor([source]), attention_mask=torch.ones(1, len(source)), do_sample=False, max_new_tokens=6
    )[0].tolist()
    answer = ids[len(source) :] if FAMILIES[family].kind == "decoder-only" else ids
    return Written(tokenizer.decode(answer, skip_special_tokens=True), answer)


def loss_by_hand(model: Any, tokenizer: Any, family: str, examples: list[Example]) -> float:
    """Mean over target tokens, one example at a time: no batch, no padding, no mask, other code."""
    total, count = 0.0, 0
    for example in examples:
        prompt = prompt_for(family)
        source = encode_source(tokenizer, family, prompt, text=example.source, max_input_tokens=40).input_ids
        target = encode_target(tokenizer, family, prompt, summary=example.target, max_target_tokens=10)
        with torch.no_grad():
            if FAMILIES[family].kind == "decoder-only":
                logits = model(torch.tensor([source + target])).logits[0, len(source) - 1 : -1]
            else:
                start = model.config.decoder_start_token_id
                shifted = torch.tensor([[start, *target[:-1]]])
                logits = model(input_ids=torch.tensor([source]), decoder_input_ids=shifted).logits[0]
        picked = logits.float().log_softmax(-1)[torch.arange(len(target)), torch.tensor(target)]
        total -= picked.sum().item()
        count += len(target)
    return total / count


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("family", MAKERS)
def test_every_family_learns_a_task_and_writes_it_after_saving_and_loading(
    learnt: Callable[[str], TrainingResult], tmp_path: Path, family: str
) -> None:
    result = learnt(family)
    assert result.validation_loss < 0.25 < 3 < result.history[0]["validation_loss"]
    assert result.train_loss < 0.5
    assert check_model_directory(result.weights).name == family

    model, tokenizer = load_model(result.weights), load_tokenizer(result.weights)
    unseen = topic_task(20, seed=99)
    right = sum(write(model, tokenizer, family, source).text == target for source, target in unseen)
    assert right >= 18
    ended = write(model, tokenizer, family, unseen[0][0]).ids[-1]
    assert ended == encode_target(tokenizer, family, prompt_for(family), summary="a", max_target_tokens=9)[-1]

    by_hand = loss_by_hand(model, tokenizer, family, VALIDATION)
    if family != "prophetnet":  # its loss also counts predicting two tokens ahead
        assert by_hand == pytest.approx(result.validation_loss, rel=1e-3, abs=1e-4)
    again = load_model(result.weights)
    again.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert same_weights(result.weights, tmp_path / "again")
    copy = load_model(tmp_path / "again")
    assert all(write(copy, tokenizer, family, s) == write(model, tokenizer, family, s) for s, _ in unseen[:5])


@pytest.mark.parametrize("family", MAKERS)
def test_lora_trains_few_weights_and_is_merged(
    bases: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    recipe = RECIPE.but(method="lora", learning_rate=1e-2, lora_rank=8, lora_dropout=0.0, epochs=1)
    result = fit(bases(family), tmp_path, recipe, train=TRAIN[:300])
    assert result.validation_loss < result.history[0]["validation_loss"] - 0.1
    before, after = weights_of(bases(family)), weights_of(result.weights)
    assert before.keys() == after.keys(), "the adapter is merged, not left beside"
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("embed" in name or "shared" in name or "norm" in name.lower() for name in changed)
    if family != "prophetnet":
        by_hand = loss_by_hand(
            load_model(result.weights), load_tokenizer(result.weights), family, VALIDATION[:10]
        )
        assert by_hand == pytest.approx(result.validation_loss, rel=1e-3)


@pytest.mark.parametrize("family", ["t5", "llama"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_bf16_and_checkpointing_train_too(
    bases: Callable[[str], Path], tmp_path: Path, family: str, method: str
) -> None:
    changes = {
        "precision": "bf16",
        "gradient_checkpointing": True,
        "gradient_accumulation": 2,
        "method": method,
    }
    result = fit(bases(family), tmp_path, SHORT.but(learning_rate=5e-3, **changes))
    assert result.precision == "bf16"
    assert result.validation_loss < result.history[0]["validation_loss"]
    assert weights_of(result.weights).popitem()[1].dtype == torch.float32, "stored as the base model was"


def test_checkpointing_changes_nothing_but_memory(bases: Callable[[str], Path], tmp_path: Path) -> None:
    plain = fit(bases("t5"), tmp_path / "plain")
    checkpointed = fit(bases("t5"), tmp_path / "checkpointed", SHORT.but(gradient_checkpointing=True))
    assert checkpointed.validation_loss == pytest.approx(plain.validation_loss, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "adafactor"])
def test_every_optimizer_lowers_the_loss(
    bases: Callable[[str], Path], tmp_path: Path, optimizer: str
) -> None:
    result = fit(bases("t5"), tmp_path, SHORT.but(optimizer=optimizer, weight_decay=0.01))
    assert result.validation_loss < result.history[0]["validation_loss"] - 0.5


def test_accumulated_batches_make_the_same_update_as_one_large_batch(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    examples = TRAIN[:24]
    recipe = SHORT.but(max_steps=1, batch_tokens=4000, learning_rate=1e-3, warmup_fraction=0.0, clip=0.0)
    # Adam's first update is ± the learning rate, whatever the gradient; Adafactor's depends on it.
    recipe = recipe.but(optimizer="adafactor")
    whole = fit(bases("t5"), tmp_path / "whole", recipe, train=examples)
    parts = fit(
        bases("t5"),
        tmp_path / "parts",
        recipe.but(batch_tokens=60, gradient_accumulation=1024),
        train=examples,
    )
    one, other = weights_of(whole.weights), weights_of(parts.weights)
    assert all(torch.allclose(one[name], other[name], atol=2e-5) for name in one)


def test_only_the_last_layers_change(bases: Callable[[str], Path], tmp_path: Path) -> None:
    result = fit(bases("llama"), tmp_path, SHORT.but(train_last_layers=1))
    before, after = weights_of(bases("llama")), weights_of(result.weights)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("model.layers.1.", "model.norm.")) for name in changed)
    with pytest.raises(UnsupportedModel, match="has only 2 layers"):
        fit(bases("llama"), tmp_path / "more", SHORT.but(train_last_layers=3))


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_the_loss_of_an_example_does_not_depend_on_the_padding_beside_it(
    bases: Callable[[str], Path], family: str
) -> None:
    kind = FAMILIES[family].kind
    model = load_model(bases(family))
    short, long = Encoded([9, 10, 11], [12, 13]), Encoded([9] * 30, [14] * 9)

    def loss(*examples: Encoded, pad: int) -> float:
        rows = collate(examples, kind, pad)
        batch = {name: torch.tensor(values) for name, values in rows.items()}
        with torch.no_grad():
            if kind == "decoder-only":
                return training._decoder_only_loss(model, batch).item()
            return model(**batch).loss.item() * sum(len(example.target) for example in examples)

    alone = loss(short, pad=0) + loss(long, pad=0)
    assert loss(short, long, pad=0) == pytest.approx(alone, rel=1e-5)
    assert loss(short, long, pad=20) == pytest.approx(alone, rel=1e-5), (
        "what stands in the padding is not read"
    )


def test_prompt_and_padding_have_no_label() -> None:
    batch = collate([Encoded([1, 2, 3], [4, 5]), Encoded([6], [7])], "decoder-only", 0)
    assert batch["labels"] == [[IGNORED] * 3 + [4, 5], [IGNORED, 7, IGNORED, IGNORED, IGNORED]]
    assert batch["attention_mask"] == [[1] * 5, [1, 1, 0, 0, 0]]
    assert collate([Encoded([1], [4, 5]), Encoded([6], [7])], "encoder-decoder", 0)["labels"] == [
        [4, 5],
        [7, IGNORED],
    ]


def test_only_target_tokens_get_a_gradient(bases: Callable[[str], Path]) -> None:
    """Of a decoder-only model, changing a label of the prompt would change nothing: there is none."""
    model = load_model(bases("gpt2"))
    batch = {k: torch.tensor(v) for k, v in collate([Encoded([9, 10], [12, 13])], "decoder-only", 0).items()}
    ours = training._decoder_only_loss(model, batch)
    theirs = model(**batch).loss * 2  # transformers shifts the labels by itself and takes the mean
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    one, same = fit(bases("bart"), tmp_path / "1"), fit(bases("bart"), tmp_path / "2")
    other = fit(bases("bart"), tmp_path / "3", SHORT.but(seed=6))
    assert same_weights(one.weights, same.weights)
    assert not same_weights(one.weights, other.weights)


# Each run in a fork of a process that has imported everything and computed nothing: torch bears that.
KILLED = """
import os, signal, sys
from pathlib import Path
import peft, torch, transformers.models.bart.modeling_bart, transformers.models.llama.modeling_llama
import transformers.models.t5.modeling_t5
from models_app.ml import training
from tests.ml.test_training import RESUME, fit
training.CHECKPOINT_SECONDS = 0.0
def kill(progress):
    if progress.phase == "training" and progress.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
for kind, base, work in zip(*[iter(sys.argv[1:])] * 3, strict=True):
    child = os.fork()
    if not child:
        try:
            fit(Path(base), Path(work), RESUME[kind], on_progress=kill)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    print(kind, os.waitstatus_to_exitcode(status))
"""
RESUME = {
    "full": SHORT.but(gradient_accumulation=2),
    "lora": SHORT.but(method="lora", lora_dropout=0.2),
    "adafactor": SHORT.but(optimizer="adafactor", precision="bf16"),
}


OF_RESUME = {"full": "llama", "lora": "t5", "adafactor": "bart"}


@pytest.fixture(scope="module")
def killed(bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By kind a `base` and the directory `killed`, in which a run from it was killed in its eighth step."""
    root = tmp_path_factory.mktemp("killed")
    words = []
    for kind, family in OF_RESUME.items():
        (root / kind).mkdir()
        base = _with_dropout(bases(family), root / kind / "base")
        words += [kind, str(base), str(root / kind / "killed")]
    said = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        cwd=ROOT,
        check=True,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == [word for kind in OF_RESUME for word in (kind, str(-signal.SIGKILL))]
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind", OF_RESUME)
def test_a_run_resumed_after_a_kill_equals_an_unbroken_one(killed: Path, tmp_path: Path, kind: str) -> None:
    base, work = killed / kind / "base", killed / kind / "killed"
    assert [path.name for path in work.glob("checkpoint-*")] == ["checkpoint-0000007"]

    steps: list[int] = []
    resumed = fit(base, work, RESUME[kind], on_progress=_steps_into(steps))
    assert steps == [8, 9, 10, 11, 12]
    unbroken = fit(base, tmp_path / "unbroken", RESUME[kind])
    assert same_weights(resumed.weights, unbroken.weights)
    assert _without_times(resumed.history) == _without_times(unbroken.history)
    assert not list(work.glob("checkpoint-*"))


def _with_dropout(base: Path, target: Path) -> Path:
    """So that a resumed run has to find the random generator where it was."""
    shutil.copytree(base, target)
    config = json.loads((target / "config.json").read_text())
    for name in ("dropout_rate", "dropout", "attention_dropout"):
        if name in config:
            config[name] = 0.2
    (target / "config.json").write_text(json.dumps(config))
    return target


def _steps_into(steps: list[int]) -> Callable[[Progress], None]:
    return lambda progress: steps.append(progress.step) if progress.phase == "training" else None


def _without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


def test_a_cancelled_run_stops_at_once_and_can_be_resumed(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []
    with pytest.raises(TrainingCancelled, match="step 4 of 12"):
        fit(bases("t5"), tmp_path, on_progress=_steps_into(steps), should_stop=lambda: len(steps) >= 4)
    assert not (tmp_path / "weights").exists()
    steps.clear()
    fit(bases("t5"), tmp_path, on_progress=_steps_into(steps))
    assert steps == list(range(5, 13))


def test_a_run_can_be_cancelled_before_its_first_step(bases: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingCancelled, match="encoded"):
        fit(bases("t5"), tmp_path, should_stop=lambda: True)


def test_a_finished_run_is_not_trained_again(bases: Callable[[str], Path], tmp_path: Path) -> None:
    first = fit(bases("t5"), tmp_path)
    steps: list[int] = []
    assert fit(bases("t5"), tmp_path, on_progress=_steps_into(steps)) == first
    assert steps == []


def test_the_work_directory_of_another_run_is_refused(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []
    with pytest.raises(TrainingCancelled):
        fit(bases("t5"), tmp_path, on_progress=_steps_into(steps), should_stop=lambda: len(steps) >= 2)
    with pytest.raises(MLError, match="another run"):
        fit(bases("t5"), tmp_path, SHORT.but(seed=99))


def test_a_damaged_checkpoint_is_named_and_not_trained_from(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []
    with pytest.raises(TrainingCancelled):
        fit(bases("t5"), tmp_path, on_progress=_steps_into(steps), should_stop=lambda: len(steps) >= 2)
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    (checkpoint / "optimizer.pt").write_bytes(b"not an optimizer")
    with pytest.raises(TrainingFailed, match=checkpoint.name):
        fit(bases("t5"), tmp_path)


def test_validation_chooses_the_weights_and_patience_ends_the_run(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    """Trained on wrong answers for long enough, the best weights are early ones."""
    wrong = [Example(example.source, TOPICS[number % 3] + ".") for number, example in enumerate(TRAIN[:60])]
    recipe = RECIPE.but(epochs=40, patience=2, learning_rate=1e-2, seed=1)
    result = fit(bases("bart"), tmp_path, recipe, train=wrong, validation=VALIDATION[:10])
    losses = [entry["validation_loss"] for entry in result.history]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert result.stopped_early
    assert best == len(losses) - 3
    assert result.best_step == result.history[best]["step"] < result.steps
    assert result.validation_loss == losses[best]
    model, tokenizer = load_model(result.weights), load_tokenizer(result.weights)
    assert loss_by_hand(model, tokenizer, "bart", VALIDATION[:10]) == pytest.approx(losses[best], rel=1e-3)


def test_a_run_that_only_makes_it_worse_keeps_the_base_weights(
    learnt: Callable[[str], TrainingResult], tmp_path: Path
) -> None:
    good = learnt("gpt2")
    wrong = [Example(example.source, "west.") for example in TRAIN[:60]]
    result = fit(good.weights, tmp_path / "worse", SHORT, train=wrong, validation=VALIDATION)
    assert result.best_step == 0
    assert same_weights(result.weights, good.weights)


def test_keep_last_keeps_the_weights_of_the_end_though_validation_liked_earlier_ones_better(
    learnt: Callable[[str], TrainingResult], tmp_path: Path
) -> None:
    good = learnt("gpt2")
    wrong = [Example(example.source, "west.") for example in TRAIN[:60]]
    result = fit(good.weights, tmp_path / "run", SHORT.but(keep="last"), train=wrong, validation=VALIDATION)
    assert result.best_step == result.steps
    assert (
        result.validation_loss == result.history[-1]["validation_loss"] > result.history[0]["validation_loss"]
    )
    with pytest.raises(ValueError, match="patience"):
        SHORT.but(keep="last", patience=2)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_weights_of_the_end_are_kept_where_the_recipe_says_so(
    bases: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    """Trained on wrong answers: the last weights have not the best loss."""
    wrong = [Example(example.source, "west.") for example in TRAIN[:60]]
    recipe = SHORT.but(keep="last", patience=None, learning_rate=1e-2, method=method, max_steps=30)
    result = fit(bases("bart"), tmp_path, recipe, train=wrong)
    losses = [entry["validation_loss"] for entry in result.history]
    assert result.best_step == result.steps == 30
    assert min(losses) < losses[-1] == result.validation_loss
    model, tokenizer = load_model(result.weights), load_tokenizer(result.weights)
    by_hand = loss_by_hand(model, tokenizer, "bart", VALIDATION[:10])
    assert by_hand == pytest.approx(result.validation_loss, rel=1e-3)
    assert not list(tmp_path.glob("best-*"))


def test_progress_tells_phase_step_speed_and_time_left(bases: Callable[[str], Path], tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = fit(bases("t5"), tmp_path, on_progress=seen.append)
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["loading", "encoding", "validating", "training", "saving"]
    steps = [progress for progress in seen if progress.phase == "training"]
    assert [progress.step for progress in steps] == list(range(1, 13))
    assert {progress.total for progress in steps} == {12}
    assert steps[-1].eta_seconds == 0
    assert all((progress.eta_seconds or 0) > 0 for progress in steps[:-1])
    assert all(
        (progress.tokens_per_second or 0) > (progress.examples_per_second or 0) > 0 for progress in steps
    )
    told = [progress for progress in seen if progress.validation_loss is not None]
    assert [(progress.phase, progress.step, progress.validation_loss) for progress in told] == [
        ("validating", entry["step"], entry["validation_loss"]) for entry in result.history
    ]
    rates = [progress.learning_rate or 0 for progress in steps]
    assert rates.index(max(rates)) in (1, 2)
    assert rates[-1] == min(rates)
    assert result.peak_memory_bytes > 50 * 2**20
    assert result.tokens_per_second > result.examples_per_second > 0


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ([], VALIDATION),
        (TRAIN[:1], VALIDATION),
        (TRAIN, []),
        ([Example("text", " "), Example("", "b")] * 9, VALIDATION),
    ],
)
def test_too_little_data_is_refused_with_the_count(
    bases: Callable[[str], Path], tmp_path: Path, train: list[Example], validation: list[Example]
) -> None:
    with pytest.raises(NotEnoughData, match="usable"):
        fit(bases("t5"), tmp_path, train=train, validation=validation)


def test_examples_without_text_are_left_out_and_counted(bases: Callable[[str], Path], tmp_path: Path) -> None:
    result = fit(bases("t5"), tmp_path, train=[*TRAIN[:20], Example("", "x"), Example("x", "\n")])
    assert result.skipped_examples == 2


def test_an_example_that_leaves_no_room_for_its_article_is_named(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    wordy = Example("the mayor won.", "mayor.", title="old " * 60, document="doc-7")
    with pytest.raises(PromptTooLong, match=r"doc-7: .*61 of the 40 tokens"):
        fit(
            bases("t5"),
            tmp_path,
            train=[*TRAIN[:9], wordy],
            prompt=PromptSpec("prefix", "", "{title} {text}"),
        )


def test_a_recipe_longer_than_the_model_is_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="positions for 128"):
        fit(bases("gpt2"), tmp_path, SHORT.but(max_source_tokens=120, batch_tokens=400))
    fit(bases("bart"), tmp_path / "fits", SHORT.but(max_source_tokens=120, batch_tokens=400))


def test_a_loss_that_is_no_number_ends_the_run_with_advice(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    model = load_model(bases("gpt2"))
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[0, 0] = float("nan")
    model.save_pretrained(broken)
    load_tokenizer(bases("gpt2")).save_pretrained(broken)
    with pytest.raises(TrainingFailed, match="stopped being a number"):
        fit(broken, tmp_path / "work")


def test_a_disk_with_too_little_room_is_refused_before_training(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6)
    )
    steps: list[int] = []
    with pytest.raises(OutOfDisk, match="GB left"):
        fit(bases("t5"), tmp_path, on_progress=_steps_into(steps))
    assert steps == []
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size`, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_during_training_is_told_and_what_was_saved_is_whole(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []

    def fill(progress: Progress) -> None:
        _steps_into(steps)(progress)
        if progress.phase == "training" and progress.step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    with _largest_file(resource.RLIM_INFINITY), pytest.raises(OutOfDisk, match="Free some space and resume"):
        fit(bases("t5"), tmp_path, on_progress=fill)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0000005"]
    resumed = fit(bases("t5"), tmp_path, on_progress=_steps_into(steps))
    assert steps == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12]
    unbroken = fit(bases("t5"), tmp_path / "unbroken")
    assert same_weights(resumed.weights, unbroken.weights)


def test_weights_keep_the_number_type_of_the_base_model(bases: Callable[[str], Path], tmp_path: Path) -> None:
    half = tmp_path / "half"
    load_model(bases("llama"), dtype="float16").save_pretrained(half)
    load_tokenizer(bases("llama")).save_pretrained(half)
    result = fit(half, tmp_path / "work", SHORT.but(train_last_layers=1))
    assert {tensor.dtype for tensor in weights_of(result.weights).values()} == {torch.float16}
    before, after = weights_of(half), weights_of(result.weights)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])


def test_a_gpu_that_is_not_there_is_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MLError, match="no CUDA device"):
        train(
            recipe=SHORT,
            base_dir=bases("t5"),
            train=TRAIN,
            validation=VALIDATION,
            prompt=default_prompt("t5"),
            work_dir=tmp_path,
            device="cuda",
        )


def test_precision_auto_is_what_the_processor_computes() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    expected = "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"
    assert training.choose_precision("auto", "cpu") == expected
    assert training.choose_precision("fp32", "cpu") == "fp32"
