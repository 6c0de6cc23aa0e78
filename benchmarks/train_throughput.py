"""Fine-tuning a model of T5-small's size on one CPU core: our loop against transformers' Seq2SeqTrainer.

    python benchmarks/train_throughput.py [--examples 320] [--uncut] [--data FILE.jsonl]

Both start from the same random weights, see the same examples for one epoch with AdamW and the same learning rates,
and are judged by the same validation examples. Seq2SeqTrainer runs in fp32 with random batches of 8, its defaults
otherwise; ours in bf16 with length bucketing, in batches of 8 on average. A third run adds gradient checkpointing.
Every run is a process of its own, on one thread. Time is CPU time of the training steps (validation left out), so
that other programs disturb it less. Memory is the peak of resident memory while training.

The articles are cut to lengths between 100 and 512 tokens, as short and long documents of a workspace come mixed;
--uncut takes them as they are, which leaves length bucketing little to do, most being longer than 512.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models_app.ml.prompting import DEFAULT_PLAIN as PROMPT  # noqa: E402

VOCABULARY, SOURCE, TARGET, BATCH = 32_000, 512, 96, 8
PADDING = 1.08  # so that a batch has as many examples on average as the other one's
LEARNING_RATE = 1e-3
CONTENDERS = ("trainer", "ours", "checkpointed")


@dataclass
class Run:
    examples_per_second: float
    seconds: float
    steps: int
    validation_loss: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=320)
    parser.add_argument("--uncut", action="store_true")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    )
    parser.add_argument("--only", choices=CONTENDERS, help="run one contender and print its figures as JSON")
    parser.add_argument("--work", type=Path, help="where the model and the rows are, with --only")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(asdict(RUNNERS[options.only](options.work))))
        return
    if not options.data.exists():
        sys.exit(
            f"{options.data} does not exist; name a JSON Lines file with article and reference by --data"
        )
    with tempfile.TemporaryDirectory() as work:
        prepare(Path(work), options.data, options.examples, options.uncut)
        print(f"One epoch of {options.examples} examples, one thread\n")
        print(f"{'':40}{'examples/s':>12}{'ratio':>8}{'steps':>8}{'loss after':>12}{'peak GB':>10}")
        base = None
        for name in CONTENDERS:
            run = in_a_process(name, Path(work))
            base = base or run
            show(name, run, base)


def prepare(work: Path, data: Path, count: int, uncut: bool) -> None:
    """A tokenizer trained on the articles, a random T5-small, and rows of documents and summaries."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    records = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    tokenizer = train_tokenizer([record["article"] for record in records])
    tokenizer.save_pretrained(work / "model")
    torch.manual_seed(0)
    shape: dict[str, Any] = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
    ids: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY + 128, **shape, **ids)).save_pretrained(
        work / "model"
    )

    rng = random.Random(0)
    rng.shuffle(records)
    rows = []
    for record in records[: count + 40]:
        words = record["article"].split()
        if not uncut:
            words = words[: rng.randint(75, 420)]
        rows.append({"source": " ".join(words), "target": record["reference"]})
    (work / "rows.json").write_text(
        json.dumps({"train": rows[:count], "validation": rows[count:]}), encoding="utf-8"
    )


def train_tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def in_a_process(name: str, work: Path) -> Run:
    command = [sys.executable, __file__, "--only", name, "--work", str(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def run_ours(work: Path, *, checkpointing: bool = False) -> Run:
    import torch

    from models_app.ml.families import load_tokenizer
    from models_app.ml.recipe import Recipe
    from models_app.ml.training import Example, Progress, train

    torch.set_num_threads(1)
    rows = json.loads((work / "rows.json").read_text(encoding="utf-8"))
    clock: dict[str, float] = {}

    def watch(progress: Progress) -> None:
        now = time.process_time()
        if progress.phase == "training":
            clock["end"] = now
        elif progress.phase == "validating" and "end" not in clock:
            clock["start"] = now

    sizes = [
        len(source) + len(target) for source, target in encode(load_tokenizer(work / "model"), rows["train"])
    ]
    recipe = Recipe(
        base="random T5-small",
        learning_rate=LEARNING_RATE,
        schedule="linear",
        warmup_fraction=0.1,
        epochs=1,
        batch_tokens=max(SOURCE + TARGET, round(BATCH * statistics.mean(sizes) * PADDING)),
        max_source_tokens=SOURCE,
        max_target_tokens=TARGET,
        precision="bf16",
        validations_per_epoch=1,
        gradient_checkpointing=checkpointing,
    )
    with tempfile.TemporaryDirectory(dir=work) as directory:
        result = train(
            recipe=recipe,
            base_dir=work / "model",
            train=[Example(**row) for row in rows["train"]],
            validation=[Example(**row) for row in rows["validation"]],
            prompt=PROMPT,
            work_dir=Path(directory),
            device="cpu",
            on_progress=watch,
        )
    seconds = clock["end"] - clock["start"]
    return Run(len(sizes) / seconds, seconds, result.steps, result.validation_loss, result.peak_memory_bytes)


def run_checkpointed(work: Path) -> Run:
    return run_ours(work, checkpointing=True)


def encode(tokenizer: Any, rows: list[dict[str, str]]) -> list[tuple[list[int], list[int]]]:
    """The token ids that our loop sees, for the other one."""
    from models_app.ml.prompting import encode_source, encode_target

    return [
        (
            encode_source(tokenizer, "t5", PROMPT, text=row["source"], max_input_tokens=SOURCE).input_ids,
            encode_target(tokenizer, "t5", PROMPT, summary=row["target"], max_target_tokens=TARGET),
        )
        for row in rows
    ]


def run_trainer(work: Path) -> Run:
    import torch
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

    from models_app.ml.families import load_model, load_tokenizer
    from models_app.ml.training import _reset_peak_memory, peak_memory_bytes

    torch.set_num_threads(1)
    rows = json.loads((work / "rows.json").read_text(encoding="utf-8"))
    tokenizer, model = load_tokenizer(work / "model"), load_model(work / "model")
    clock: dict[str, float] = {}

    class Clock(TrainerCallback):
        def on_train_begin(self, *arguments: Any, **others: Any) -> None:
            _reset_peak_memory()
            clock["start"] = time.process_time()

        def on_train_end(self, *arguments: Any, **others: Any) -> None:
            clock["end"] = time.process_time()

    def encoded(split: str) -> Any:
        return [{"input_ids": source, "labels": target} for source, target in encode(tokenizer, rows[split])]

    with tempfile.TemporaryDirectory(dir=work) as directory:
        trainer = Seq2SeqTrainer(
            model=model,
            args=Seq2SeqTrainingArguments(
                output_dir=directory,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                learning_rate=LEARNING_RATE,
                num_train_epochs=1,
                warmup_steps=math.ceil(len(rows["train"]) / BATCH * 0.1),
                use_cpu=True,
                bf16=False,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                seed=13,
            ),
            train_dataset=encoded("train"),
            eval_dataset=encoded("validation"),
            data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
            callbacks=[Clock()],
        )
        trainer.train()
        peak = peak_memory_bytes("cpu")
        loss = trainer.evaluate()["eval_loss"]
    seconds = clock["end"] - clock["start"]
    return Run(len(rows["train"]) / seconds, seconds, trainer.state.global_step, loss, peak)


RUNNERS = {"trainer": run_trainer, "ours": run_ours, "checkpointed": run_checkpointed}


NAMES = {
    "trainer": "Seq2SeqTrainer, fp32, random batches",
    "ours": "ours, bf16, length bucketing",
    "checkpointed": "the same with gradient checkpointing",
}


def show(name: str, run: Run, base: Run) -> None:
    ratio = run.examples_per_second / base.examples_per_second
    print(
        f"{NAMES[name]:40}{run.examples_per_second:12.2f}{ratio:8.2f}{run.steps:8}"
        f"{run.validation_loss:12.3f}{run.peak_bytes / 1e9:10.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
