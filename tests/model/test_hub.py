"""A model of the hub, served on loopback: it loads, or one line of the plan says what to do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, hf_api
from transformers import T5Config, T5ForConditionalGeneration
from transformers.utils import hub as transformers_hub

import r2d_ray
from r2d_ray.comparison.plan import make_compare_plan
from r2d_ray.config import PROFILES, TrainConfig, build_config, may_use_hub
from r2d_ray.errors import UserError
from r2d_ray.model.hub import CONVERTER, cached_folder, hub_answers
from r2d_ray.model.scratch import train_tokenizer
from r2d_ray.model.t5 import load_model, load_tokenizer, load_weights
from r2d_ray.search.checks import with_model
from r2d_ray.search.plan import make_plan
from r2d_ray.study.settings import CompareSettings, SearchSettings, build_settings

COMMIT = "0" * 40
WITHOUT = {"old", "converted", "imitated"}
"""Models whose main branch has pytorch_model.bin alone."""
AUTHORS = {"converted": CONVERTER[0], "imitated": "somebody"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hub") / "t5"
    tokenizer = train_tokenizer(["pain in the chest", "no pain in the leg"] * 4)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hub's endpoints that a download uses; yields what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the client keeps its connection

        def answer(self, body: bytes, code: int = 200, **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            parts = self.path.partition("?")[0].strip("/").replace("%2F", "/").split("/")
            if "discussions" in parts:
                author = AUTHORS.get(parts[3])
                found = {
                    "num": 2,
                    "type": "discussion",
                    "author": {"name": author, "type": "user"},
                    "title": CONVERTER[1],
                }
                found |= {
                    "status": "open",
                    "isPullRequest": True,
                    "repo": {"name": "toy/t5", "type": "model"},
                }
                found |= {"createdAt": "2023-06-01T00:00:00.000Z"}
                made = [found] if author else []
                self.answer(
                    json.dumps({"discussions": made, "count": len(made), "start": 0}).encode()
                )
            elif "resolve" in parts and parts[1] != "missing":
                file, main = folder / parts[-1], "refs" not in parts
                if not file.is_file() or (
                    file.suffix == ".safetensors" and main and parts[1] in WITHOUT
                ):
                    self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
                else:
                    self.answer(file.read_bytes(), ETag=f'"{parts[-1]}"', X_Repo_Commit=COMMIT)
            elif "tree" in parts:
                self.answer(b"[]")
            elif parts[:2] == ["api", "models"] and parts[3] != "missing":
                self.answer(json.dumps({"id": "toy/t5", "tags": [], "siblings": []}).encode())
            elif parts == [""]:
                self.answer(b"")
            else:
                self.answer(b"{}", 404, X_Error_Code="RepoNotFound")

        do_HEAD = do_GET  # of one answer, all but the body

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    # Clients that live as long as the process took the hub's address when they were made.
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    monkeypatch.setattr(transformers_hub, "_hf_api", None)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    hub_answers.cache_clear()
    yield asked
    server.shutdown()
    server.server_close()
    hub_answers.cache_clear()


def config(name: str, revision: str | None = None) -> TrainConfig:
    return build_config({"model": f"toy/{name}", "model_revision": revision})


def test_a_model_with_safetensors_is_planned_by_name_and_loads(
    hub: list[str], folder: Path
) -> None:
    assert with_model(config("new"), "finetune").model == "toy/new"
    weights = [request for request in hub if request.endswith("model.safetensors")]
    assert [request.split()[0] for request in weights] == ["HEAD"], "a plan downloads no weights"
    loaded = load_weights("toy/new").state_dict()
    expected = load_weights(str(folder)).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())


@pytest.mark.parametrize("profile", PROFILES)
def test_only_embedded_may_not_ask_the_hub(hub: list[str], profile: str) -> None:
    assert may_use_hub(profile) is (profile != "embedded")
    if may_use_hub(profile):
        assert with_model(config("new"), profile).model == "toy/new"
        return
    with pytest.raises(UserError) as refused:
        with_model(config("new"), profile)
    assert str(refused.value) == (
        "--model toy/new: no such folder, and a model of the hub needs --profile finetune or paper "
        "(embedded never uses the network; allowed: a folder, scratch-tiny, scratch-small)"
    )
    assert hub == []


def test_nothing_else_asks_which_profiles_may() -> None:
    """`may_use_hub` alone compares a profile with `embedded`; `paper` has a space of its own."""
    asked = re.compile(r"[!=]= \"(embedded|paper)\"|in \(\"(embedded|finetune|paper)\"")
    package = Path(r2d_ray.__file__).parent
    found = {
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if asked.search(line)
    }
    assert found == {
        'config.py: return profile != "embedded"',
        'plan.py: if settings.profile != "paper":',
    }


REFUSED = {
    "old": r"the hub has no model.safetensors \(allowed: a revision that has them: "
    r"--model-revision REV, or a folder",
    "imitated": r"the hub has no model.safetensors \(allowed: a revision that has them",
    "missing": r"--model toy/missing: ",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_without_them_is_refused_in_the_plan(hub: list[str], name: str) -> None:
    with pytest.raises(UserError, match=REFUSED[name]) as refused:
        with_model(config(name), "finetune")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("asked", [None, "refs/pr/2"])
def test_weights_of_the_hubs_own_converter_are_found_kept_in_the_config_and_load(
    hub: list[str], asked: str | None
) -> None:
    assert with_model(config("converted", asked), "finetune").model_revision == "refs/pr/2"
    load_weights("toy/converted", "refs/pr/2")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def of_another_size(file: Path) -> None:
    values = json.loads((file.parent / "config.json").read_text())
    (file.parent / "config.json").write_text(json.dumps({**values, "d_ff": 48}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "model.safetensors cannot be read as safetensors, it may be cut off"),
        (of_another_size, "has shape [32, 16], config.json says [48, 16]"),
    ],
)
def test_offline_the_weights_in_the_hubs_cache_are_compared_with_its_config(
    hub: list[str],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    said: str,
) -> None:
    with_model(config("new"), "finetune")
    load_weights("toy/new")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_answers.cache_clear()
    assert with_model(config("new"), "finetune").model == "toy/new"
    cached = cached_folder("toy/new", None)
    assert cached is not None
    damage(cached / "model.safetensors")
    with pytest.raises(UserError) as refused:
        with_model(config("new"), "finetune")
    assert said in str(refused.value)


def test_plans_of_both_commands_carry_the_converters_revision_to_every_run(
    hub: list[str], tmp_path: Path
) -> None:
    rows = [
        {"question": f"Is case {n} urgent?", "label": ["yes", "no"][n % 2], "rationale": f"So {n}."}
        for n in range(60)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    asked = {"dataset": str(tmp_path / "rows.json"), "overrides": {"model": "toy/converted"}}
    asked |= {"profile": "finetune", "storage_path": str(tmp_path / "studies")}
    search = make_plan(build_settings(asked, SearchSettings))
    compared = make_compare_plan(build_settings({**asked, "methods": ("r2d",)}, CompareSettings))
    configs = [search.config, *(arm.config for arm in compared.arms)]
    stored = [plan.info.config["model_revision"] for plan in (search, compared)]
    assert {each.model_revision for each in configs} == {*stored} == {"refs/pr/2"}
    assert all(
        TrainConfig(**plan.info.config).model == "toy/converted" for plan in (search, compared)
    )
    for each in configs:  # what a worker does with it
        load_model(each, load_tokenizer(each, ()))
