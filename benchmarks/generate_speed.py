"""Writing one summary: CTranslate2 int8 against transformers' generate() in fp32, and the starter as a slot runs it.

    python benchmarks/generate_speed.py [--rounds 3] [--data FILE.jsonl]

First a model of T5-small's size with random weights, 512 tokens in and exactly 60 out, both engines on one thread in
one process, in turn; then CTranslate2 with two replicas. Random weights cost what trained ones do, since the length is
forced. Then the starter in a process of its own, as a slot loads it (no torch, two replicas of one thread): an article
of 400 words, exactly 80 tokens out, which is about 60 words. Of the rounds the fastest counts, and CPU time stands
beside wall time: what other programs do to the wall time shows in the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models_app.ml.engines import Engine, GenerationRequest, load_engine  # noqa: E402
from models_app.ml.prompting import DEFAULT_CHAT, DEFAULT_PLAIN, PromptSpec  # noqa: E402
from models_app.ml.recipe import Decoding  # noqa: E402

VOCABULARY, SOURCE, TARGET = 32_000, 512, 60
ARTICLE_WORDS, STARTER_TARGET = 400, 80
MB = 1e6


@dataclass(frozen=True)
class Cost:
    """Seconds per summary."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class SlotFigures:
    load_seconds: float
    loaded_bytes: int
    prompt_tokens: int
    words: int
    one: Cost
    pair: Cost
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    )
    parser.add_argument("--slot", type=Path, help="measure this artefact as a slot and print figures as JSON")
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"{options.data} does not exist; name a JSON Lines file with article by --data")
    if options.slot:
        print(json.dumps(asdict(slot_figures(options.slot, article(options.data), options.rounds))))
        return
    from transformers.utils import logging

    logging.disable_progress_bar()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory() as work:
        t5_small(Path(work), options.rounds)
        starter(Path(work), options.data, options.rounds)


def t5_small(work: Path, rounds: int) -> None:
    artefact = make_t5_small(work)
    reference = load_engine(artefact, backend="transformers", device="cpu", threads=1)
    ours = load_engine(artefact, backend="ctranslate2", device="cpu", threads=1)
    requests = [GenerationRequest(text(seed)) for seed in range(16)]
    print(
        f"\nT5-small's size, {SOURCE} tokens in, {TARGET} out, one thread each: seconds per summary, wall (CPU)"
    )
    print(f"{'':22}{'transformers fp32':>19}{'CTranslate2 int8':>19}{'ratio':>8}{'of CPU':>8}")
    for label, count, beams in (("one", 1, 1), ("eight together", 8, 1), ("one, 4 beams", 1, 4)):
        tasks = [
            partial(write, engine, requests[:count], DEFAULT_PLAIN, t5_decoding(beams))
            for engine in (reference, ours)
        ]
        theirs, own = interleaved(tasks, count, rounds)
        print(
            f"{label:22}{theirs.wall:11.3f} ({theirs.cpu:5.2f}){own.wall:11.3f} ({own.cpu:5.2f})"
            f"{theirs.wall / own.wall:8.2f}{theirs.cpu / own.cpu:8.2f}"
        )
    ours.close()
    both = load_engine(artefact, backend="ctranslate2", device="cpu", threads=2)
    single, sixteen = interleaved(
        [
            partial(write, reference, requests[:2], DEFAULT_PLAIN, t5_decoding(1), one_by_one=True),
            partial(write, both, requests, DEFAULT_PLAIN, t5_decoding(1)),
        ],
        1,
        rounds,
    )
    rates = 2 / single.wall, 16 / sixteen.wall
    print(f"sixteen, two replicas: {rates[1]:.2f} summaries/s; one at a time in transformers {rates[0]:.2f}; "
          f"ratio {rates[1] / rates[0]:.1f}")  # fmt: skip
    both.close()
    reference.close()


def make_t5_small(work: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    from models_app.ml.artefacts import import_base
    from models_app.ml.convert import convert

    names = ["<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(VOCABULARY - 3))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(work / "t5")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).eval().save_pretrained(work / "t5")
    import_base(work / "t5", work / "t5-artefact")
    if convert(work / "t5-artefact", "int8") is None:
        sys.exit("the model of T5-small's size could not be converted")
    return work / "t5-artefact"


def text(seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(f"w{chance.randrange(VOCABULARY - 3)}" for _ in range(SOURCE - 1))


def t5_decoding(beams: int) -> Decoding:
    return Decoding(max_input_tokens=SOURCE, max_new_tokens=TARGET, min_new_tokens=TARGET, beams=beams)


def write(
    engine: Engine,
    requests: list[GenerationRequest],
    prompt: PromptSpec,
    decoding: Decoding,
    *,
    one_by_one: bool = False,
) -> int:
    """Returns the words of the last summary."""
    size = 1 if one_by_one else len(requests)
    for start in range(0, len(requests), size):
        answers = engine.generate(requests[start : start + size], prompt=prompt, decoding=decoding)
        wrong = {answer.output_tokens for answer in answers} - {decoding.max_new_tokens}
        if wrong:
            sys.exit(f"{engine.name} wrote {wrong} tokens instead of {decoding.max_new_tokens}")
    return len(answers[-1].text.split())


def interleaved(tasks: Sequence[Callable[[], int]], summaries: int, rounds: int) -> list[Cost]:
    """The fastest round of each; a first one warms up and does not count."""
    costs: list[list[Cost]] = [[] for _ in tasks]
    for round_number in range(rounds + 1):
        for task, found in zip(tasks, costs, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            cost = Cost((time.perf_counter() - wall) / summaries, (time.process_time() - cpu) / summaries)
            if round_number:
                found.append(cost)
    return [Cost(min(one.wall for one in found), min(one.cpu for one in found)) for found in costs]


def starter(work: Path, data: Path, rounds: int) -> None:
    from models_app.ml.artefacts import import_base
    from models_app.ml.convert import convert
    from models_app.ml.starter import prepare_starter

    began = time.perf_counter()
    base = prepare_starter(work / "bases")
    prepared = time.perf_counter()
    import_base(base, work / "starter")
    conversion = convert(work / "starter", "int8")
    if conversion is None:
        sys.exit("the starter could not be converted")
    converted = time.perf_counter()
    figures = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--slot", work / "starter", "--data", data, "--rounds", str(rounds)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **os.environ},  # as serving starts slots
        ).stdout
    )
    one, pair = Cost(**figures["one"]), Cost(**figures["pair"])
    print(
        f"\nThe starter as a slot, int8: {ARTICLE_WORDS} words ({figures['prompt_tokens']} tokens with the prompt) in, "
        f"{STARTER_TARGET} tokens out ({figures['words']} words in whole sentences)"
    )
    print(f"made in {prepared - began:.0f} s, copied, converted and compared in {converted - prepared:.0f} s")
    print(f"loaded in {figures['load_seconds']:.1f} s, {figures['loaded_bytes'] / MB:.0f} MB resident")
    print(f"one alone            {one.wall:6.2f} s wall, {one.cpu:5.2f} s CPU")
    print(f"two at the same time {pair.wall:6.2f} s wall, {pair.cpu:5.2f} s CPU each")
    print(f"highest resident memory {figures['peak_bytes'] / MB:.0f} MB")
    parity = conversion.parity
    print(
        f"float32 conversion: log-probabilities within {parity['logprob']:.0e} of transformers, greedy and 4 beams "
        f"equal on {parity['greedy']} and {parity['beam']} of {parity['probes']}; int8 moves them by "
        f"{parity['int8']['logprob_mean']:.2f} on average"
    )


def article(data: Path) -> str:
    """The first article that is long enough, cut to its first words."""
    with data.open(encoding="utf-8") as lines:
        for line in lines:
            words = json.loads(line)["article"].split()
            if len(words) >= ARTICLE_WORDS:
                return " ".join(words[:ARTICLE_WORDS])
    sys.exit(f"{data} has no article of {ARTICLE_WORDS} words")


def slot_figures(artefact: Path, article: str, rounds: int) -> SlotFigures:
    began = time.perf_counter()
    engine = load_engine(artefact, backend="ctranslate2", device="cpu", threads=2)
    load_seconds, loaded = time.perf_counter() - began, resident("VmRSS")
    decoding = Decoding(
        max_input_tokens=1024,
        max_new_tokens=STARTER_TARGET,
        min_new_tokens=STARTER_TARGET,
        repetition_penalty=1.1,
    )
    request = GenerationRequest(article)
    (first,) = engine.generate([request], prompt=DEFAULT_CHAT, decoding=decoding)
    one, pair = interleaved(
        [
            partial(write, engine, [request], DEFAULT_CHAT, decoding),
            partial(write, engine, [request, GenerationRequest(f"{article} End.")], DEFAULT_CHAT, decoding),
        ],
        1,
        rounds,
    )
    engine.close()
    return SlotFigures(
        load_seconds, loaded, first.input_tokens, len(first.text.split()), one, Cost(pair.wall, pair.cpu / 2),
        resident("VmHWM"),
    )  # fmt: skip


def resident(field: str) -> int:
    """VmRSS: now; VmHWM: the highest so far. In bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


if __name__ == "__main__":
    main()
