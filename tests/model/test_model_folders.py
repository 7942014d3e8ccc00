"""Model folders, broken in every way that a header or a tokenizer tells, and those that are fine.

The plan of a study and a prediction refuse the same ones in the same words. Each folder begins as
`save_pretrained` writes it; a case damages it in one way.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import UserError
from r2d_ray.model import hub
from r2d_ray.model.t5 import load_weights
from r2d_ray.prediction.predictor import Predictor
from r2d_ray.search.checks import with_model
from r2d_ray.study.model_file import ModelFile

FILE = "model.safetensors"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = open_prepared(prepared_dir).tokenizer
    shape = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    architecture = T5Config(
        vocab_size=len(tokenizer), decoder_start_token_id=0, feed_forward_proj="gated-gelu", **shape
    )
    T5ForConditionalGeneration(architecture).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def check(folder: Path) -> None:
    with_model(tiny_config(model=str(folder)), "finetune")


def predict(folder: Path) -> None:
    Predictor(folder, ModelFile(labels=["yes", "no"], config=tiny_config()), "cpu", 2)


READERS = {"the plan of a study": check, "a prediction": predict}


def rewrite(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        weights = load_file(folder / FILE)
        change(weights)
        save_file(weights, folder / FILE, metadata={"format": "pt"})

    return damage


def without(beginning: str) -> Damage:
    def drop(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if name.startswith(beginning)]:
            del weights[name]

    return rewrite(drop)


def in_json(name: str, **values: object) -> Damage:
    def damage(folder: Path) -> None:
        stored = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**stored, **values}))

    return damage


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def remove(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names]


def renamed(name: str) -> Damage:
    return lambda folder: (folder / FILE).rename(folder / name)


def cut(bytes_left: Callable[[int], int]) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(content[: bytes_left(len(content))])

    return damage


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def sharded(lost: bool) -> Damage:
    def damage(folder: Path) -> None:
        model = T5ForConditionalGeneration.from_pretrained(folder)
        (folder / FILE).unlink()
        model.save_pretrained(folder, max_shard_size="20KB")
        shards = sorted(folder.glob("model-*.safetensors"))
        assert len(shards) > 2
        if lost:
            shards[1].unlink()

    return damage


def more_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"[DRUG{i}]" for i in range(7)])
    tokenizer.save_pretrained(folder)


def without_token(name: str) -> Damage:
    def damage(folder: Path) -> None:
        made = AutoTokenizer.from_pretrained(folder)
        others = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
        del others[name]
        backend = made.backend_tokenizer
        PreTrainedTokenizerFast(tokenizer_object=backend, **others).save_pretrained(folder)

    return damage


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 990345061\n"
REFUSED: dict[str, tuple[Damage, str]] = {
    "no decoder": (without("decoder."), r"weights are missing: decoder\.block\.0.* and \d+ more"),
    "a layer is missing": (without("encoder.block.1."), r"are missing: encoder\.block\.1"),
    "no embedding": (without("shared."), r"missing: .*shared\.weight"),
    "head lost": (in_json("config.json", tie_word_embeddings=False), r"1 of \d+ .*lm_head\.weight"),
    "another size": (in_json("config.json", d_ff=48), r"has shape \[32, 16\], .* \[48, 16\]"),
    "another vocabulary": (in_json("config.json", vocab_size=5000), r"shared.weight has shape"),
    "fewer layers said": (
        in_json("config.json", num_layers=1),
        r"weights have no place .*block\.1",
    ),
    "more layers said": (in_json("config.json", num_layers=3), r"are missing: encoder\.block\.2"),
    "LFS pointer": (write(FILE, POINTER), "model.safetensors is a pointer of Git LFS"),
    "empty file": (write(FILE, b""), "cannot be read as safetensors"),
    "cut header": (cut(lambda size: 100), "it may be cut off"),
    "cut tensors": (cut(lambda size: size - 1), "it may be cut off"),
    "shard lost": (sharded(lost=True), r"1 of \d+ shards .* missing: model-00002-of"),
    "index torn": (
        lambda folder: [renamed("x")(folder), write(f"{FILE}.index.json", b"{")(folder)],
        "lists no shards",
    ),
    "only .bin": (renamed("pytorch_model.bin"), "no safetensors weights, only pytorch_model.bin"),
    "only TensorFlow": (renamed("tf_model.h5"), "no safetensors weights, only tf_model.h5"),
    "only Flax": (renamed("flax_model.msgpack"), "only flax_model.msgpack"),
    "no weights": (remove(FILE), r"no safetensors weights \(allowed"),
    "empty folder": (emptied, "an empty folder"),
    "no config": (remove("config.json"), "no config.json"),
    "adapter": (write("adapter_config.json", b"{}"), "an adapter, not a model .*merge"),
    "ByT5": (in_json("tokenizer_config.json", tokenizer_class="ByT5Tokenizer"), "ByT5 is not supp"),
    "LongT5": (in_json("config.json", model_type="longt5"), r"'longt5' \(allowed: t5, mt5, umt5"),
    "BART": (in_json("config.json", model_type="bart"), "has type 'bart'"),
    "tokens added": (more_tokens, r"the tokenizer has [\d,]+ ids, the embedding [\d,]+ rows"),
    "no end token": (without_token("eos_token"), "no end token"),
    "no padding token": (without_token("pad_token"), "no padding token"),
    "no tokenizer": (remove("tokenizer.json"), r"no tokenizer \(allowed: a folder with tok"),
    "torn tokenizer": (write("tokenizer.json", b"{"), r"tokenizer\.json cannot be read: it is not"),
    "no tokenizer in the file": (write("tokenizer.json", b"{}"), r"tokenizer\.json cannot be read"),
    "empty tokenizer": (
        write("tokenizer.json", b""),
        r"tokenizer\.json cannot be read: it is empty",
    ),
    "tokenizer a pointer": (write("tokenizer.json", POINTER), r"tokenizer\.json is a pointer"),
    "spiece a pointer": (write("spiece.model", POINTER), r"spiece\.model is a pointer"),
    "torn config": (
        write("config.json", b'{"d_model": 16'),
        r"config\.json cannot be read: it is n",
    ),
    "a list for config": (write("config.json", b"[]"), r"config\.json .* no JSON object"),
    "torn tokenizer settings": (
        write("tokenizer_config.json", b"{"),
        r"tokenizer_config\.json can",
    ),
    "torn decoding settings": (write("generation_config.json", b"{"), r"generation_config\.json c"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_folder_is_refused_in_one_line_that_names_the_file(
    case: str, reader: str, whole: Path, tmp_path: Path
) -> None:
    damage, said = REFUSED[case]
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    damage(folder)
    with pytest.raises(UserError, match=said) as caught:
        READERS[reader](folder)
    assert str(caught.value).startswith(f"--model {folder}")
    assert "\n" not in str(caught.value)


def aliases(weights: dict[str, torch.Tensor]) -> None:
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        weights[name] = weights["shared.weight"].clone()


def other_name(weights: dict[str, torch.Tensor]) -> None:
    weights["encoder.embed_tokens.weight"] = weights.pop("shared.weight")


def untied(folder: Path) -> None:
    in_json("config.json", tie_word_embeddings=False, scale_decoder_outputs=False)(folder)
    rewrite(lambda w: w.update({"lm_head.weight": torch.ones_like(w["shared.weight"])}))(folder)


FINE: dict[str, Damage] = {
    "as saved": lambda folder: None,
    "tied weights under every name": rewrite(aliases),
    "the embedding under another name": rewrite(other_name),
    "a head of its own": untied,
    "shards": sharded(lost=False),
    "PyTorch weights beside": write("pytorch_model.bin", b"never read"),
    "half precision": rewrite(lambda w: w.update({n: v.bfloat16() for n, v in w.items()})),
    "mT5": in_json("config.json", model_type="mt5"),
    "what a study's best/ adds": write("r2d_ray.json", b"{}"),
}


@pytest.mark.parametrize("case", FINE)
def test_a_folder_that_is_fine_passes_and_loads(case: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    FINE[case](folder)
    for read in READERS.values():
        read(folder)


@pytest.mark.parametrize("beginning", ["decoder.", "encoder.block.1.", "encoder.final"])
def test_loading_draws_no_weight_at_random(beginning: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    without(beginning)(folder)
    with pytest.raises(UserError, match="weights are missing"):
        load_weights(str(folder))


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Away:
        def head(self, *_: object, **__: object) -> None:
            asked.append(1)
            raise OSError("no route to host")

    monkeypatch.setattr(hub, "get_session", Away)
    monkeypatch.setattr(hub.constants, "is_offline_mode", lambda: False)
    hub.hub_answers.cache_clear()
    try:
        for _ in range(2):
            with pytest.raises(UserError, match=r"the hub cannot be reached .*--model FOLDER"):
                check(Path("someone/nowhere"))
        assert asked == [1]
    finally:
        hub.hub_answers.cache_clear()


@pytest.mark.parametrize("near", ["scratch_tiny", "scratch-tny", "Scratch-Tiny"])
def test_a_near_miss_of_a_scratch_model_is_known_without_the_hub(near: str) -> None:
    with pytest.raises(UserError, match=r"did you mean scratch-tiny\?"):
        check(Path(near))
