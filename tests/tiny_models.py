"""Two-layer models with word-level tokenizers, made in a second, that really learn: one for each family.

They speak the words of `WORDS`; `topic_task` makes documents to train them on.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = (  # noqa: SIM905  # a vocabulary reads better as text
    "the a council school film team bank river summarize summary opened closed won lost rose fell on in by for "
    "monday friday may june ten twenty thirty percent mayor teacher actor coach said that it would not be new old "
    "budget library festival match rate bridge and with after before people city town north south east west"
).split()
_MARKS = [".", ",", ":", "?", "!", "tl", "dr", ";"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} {{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def make_tokenizer(
    path: Path,
    *,
    specials: dict[str, str],
    extra: tuple[str, ...] = (),
    prefix: str = "",
    suffix: str = "",
    chat_template: str | None = None,
) -> Any:
    """A fast tokenizer: a word or a mark is a token. `prefix` and `suffix` are the specials put around a text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = list(dict.fromkeys([*specials.values(), *extra, *_MARKS, *WORDS, "system", "user", "assistant"]))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    around = " ".join(part for part in (prefix, "$A", suffix) if part)
    named = [(token, vocabulary[token]) for token in (prefix, suffix) if token]
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=named)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(extra),
        clean_up_tokenization_spaces=False,
        **specials,
    )
    # Whitespace is not part of any token, so words are put back together with one space between them.
    fast.backend_tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    if chat_template:
        fast.chat_template = chat_template
    fast.save_pretrained(path)
    return fast


def _save(model: Any, path: Path) -> Path:
    model.eval().save_pretrained(path)
    return Path(path)


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


_T5_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_BART_SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_BERT_SPECIALS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
_CHAT_SPECIALS = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<unk>"}


def make_tiny_t5(path: Path, seed: int = 0, *, tied: bool = True) -> Path:
    """`tied` False is the shape of flan-T5 and T5 v1.1: gated, with an output embedding of its own."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer(path, specials=_T5_SPECIALS, suffix="</s>")
    _seed(seed)
    shape: dict[str, Any] = {
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "feed_forward_proj": "relu" if tied else "gated-gelu",
        "tie_word_embeddings": tied,
    }
    ids: dict[str, Any] = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    config = T5Config(vocab_size=len(tokenizer), **shape, **ids)
    return _save(T5ForConditionalGeneration(config), path)


def _bart_like(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "max_position_embeddings": 128,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "init_std": 0.1,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def make_tiny_bart(path: Path, seed: int = 0) -> Path:
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = make_tokenizer(path, specials=_BART_SPECIALS, prefix="<s>", suffix="</s>")
    _seed(seed)
    config = BartConfig(
        **_bart_like(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )
    return _save(BartForConditionalGeneration(config), path)


def make_tiny_pegasus(path: Path, seed: int = 0) -> Path:
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    tokenizer = make_tokenizer(path, specials=_T5_SPECIALS, suffix="</s>")
    _seed(seed)
    config = PegasusConfig(
        **_bart_like(tokenizer), scale_embedding=True, decoder_start_token_id=tokenizer.pad_token_id
    )
    return _save(PegasusForConditionalGeneration(config), path)


def make_tiny_prophetnet(path: Path, seed: int = 0) -> Path:
    from transformers import ProphetNetConfig, ProphetNetForConditionalGeneration

    tokenizer = make_tokenizer(path, specials=_BERT_SPECIALS, suffix="[SEP]")
    _seed(seed)
    config = ProphetNetConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        num_encoder_layers=2,
        num_decoder_layers=2,
        num_encoder_attention_heads=4,
        num_decoder_attention_heads=4,
        max_position_embeddings=128,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.sep_token_id,
        eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.sep_token_id,
    )
    return _save(ProphetNetForConditionalGeneration(config), path)


def make_tiny_bert2bert(path: Path, seed: int = 0) -> Path:
    """Put together from two BERTs as transformers does it: without start, end and padding in its configuration."""
    from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel

    tokenizer = make_tokenizer(path, specials=_BERT_SPECIALS, prefix="[CLS]", suffix="[SEP]")
    _seed(seed)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 128,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**shape), BertConfig(**shape))
    return _save(EncoderDecoderModel(config), path)


def make_tiny_gpt2(path: Path, seed: int = 0) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    end = "<|endoftext|>"
    tokenizer = make_tokenizer(path, specials={"bos_token": end, "eos_token": end, "unk_token": end})
    _seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=64,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.1,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return _save(GPT2LMHeadModel(config), path)


def make_tiny_llama(path: Path, seed: int = 0, *, chat: bool = True) -> Path:
    """`chat` False leaves the chat template out, as base models do."""
    from transformers import LlamaConfig, LlamaForCausalLM

    template = CHAT_TEMPLATE if chat else None
    tokenizer = make_tokenizer(path, specials=_CHAT_SPECIALS, chat_template=template)
    _seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return _save(LlamaForCausalLM(config), path)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "t5": make_tiny_t5,
    "bart": make_tiny_bart,
    "pegasus": make_tiny_pegasus,
    "prophetnet": make_tiny_prophetnet,
    "bert2bert": make_tiny_bert2bert,
    "gpt2": make_tiny_gpt2,
    "llama": make_tiny_llama,
}


TOPICS = WORDS[:12]


def topic_task(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(document, summary): one word of the document is a topic, and that word is the summary.

    Two hundred updates teach it to any of the models, so that a test can ask for the right words and not only for
    a falling loss.
    """
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        topic = rng.choice(TOPICS)
        words = rng.choices(WORDS[len(TOPICS) :], k=rng.randint(4, 8))
        words.insert(rng.randint(0, len(words)), topic)
        rows.append((" ".join(words) + ".", topic + "."))
    return rows
