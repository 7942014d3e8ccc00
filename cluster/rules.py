"""The rules of a cluster file, on top of Ray's own schema: safe, reproducible, and cheap when idle.

A rule reads a file as Ray will, with Ray's defaults filled in, and yields one line per problem.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2d_ray.distributed.cluster import DRIVER_RESOURCE, DRIVERS, autoscaler_capacity

PROJECT = Path(__file__).resolve().parents[1]
TOKEN_FILE = "~/.ray/auth_token"
LONGEST_IDLE_MINUTES = 60
OPEN_TAGS = {"http-server", "https-server"}  # have rules in Google Cloud's default firewall
EVERYBODY = re.compile(r"\b0\.0\.0\.0\b|(?<![\w:])::(?:/0)?(?![\w:])")
SECRETS = {
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token of a hub": r"\b(?:hf_|ghp_|github_pat_|sk-)\w{16,}",
    "a key in hexadecimal": r"\b[0-9a-fA-F]{32,}\b",
    "a value of a secret": (
        r"(?i)\b\w*(?:auth_token|secret|password|passwd|api_key|access_key)\w*\W?\s*[=:]\s*\W?\w"
    ),
    "credentials": r"\b(?:aws|gcp)_credentials\b",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster file: its text, what is written in it, and what Ray makes of that."""

    text: str
    written: dict[str, Any]
    config: dict[str, Any]

    @property
    def local(self) -> bool:
        """Whether these are hosts that run already: no kinds of machines, no scaling."""
        return bool(self.config["provider"]["type"] == "local")

    @property
    def types(self) -> dict[str, dict[str, Any]]:
        """The kinds of machines, by name; the head's is one of them."""
        return dict(self.config["available_node_types"])

    def starts(self, side: str) -> list[str]:
        """Return the commands of this side (`head`, `worker`) that start Ray."""
        return [c for c in self.config[f"{side}_start_ray_commands"] if "ray start" in c]


def no_secret(cluster: Cluster) -> Iterator[str]:
    """No secret is in the file, not even in a comment; the message does not repeat it."""
    for number, line in enumerate(cluster.text.splitlines(), start=1):
        found = [what for what, pattern in SECRETS.items() if re.search(pattern, line)]
        if found:
            yield f"line {number} looks like {found[0]} (allowed: none in this file)"


def closed_network(cluster: Cluster) -> Iterator[str]:
    """Nothing listens to everybody and nothing is let in from outside but ssh."""
    for value in values(cluster.config):
        if EVERYBODY.search(value):
            yield f"`{value[:60]}` opens an address to everybody (allowed: 127.0.0.1)"
    for rule in cluster.config["provider"].get("security_group", {}).get("IpPermissions", []):
        ports = {rule.get("FromPort"), rule.get("ToPort")}
        if ports != {22}:
            yield f"security_group lets in ports {sorted(map(str, ports))} (allowed: 22)"
    for name, kind in cluster.types.items():
        if OPEN_TAGS & set(kind["node_config"].get("tags", {}).get("items", ())):
            yield f"{name}: a tag opens a web port (allowed: not {' or '.join(sorted(OPEN_TAGS))})"


def token_on_every_node(cluster: Cluster) -> Iterator[str]:
    """The token is made on the head, for its user only, taken to the workers, and asked for."""
    making = [c for c in cluster.config["head_setup_commands"] if TOKEN_FILE in c]
    if not any("umask 077" in c and f"chmod 600 {TOKEN_FILE}" in c for c in making):
        yield f"head_setup_commands: none makes {TOKEN_FILE} under umask 077 with mode 600"
    if TOKEN_FILE not in cluster.config["cluster_synced_files"]:
        yield f"cluster_synced_files: {TOKEN_FILE} does not go to the workers"
    for side in ("head", "worker"):
        if not cluster.starts(side):
            yield f"{side}_start_ray_commands: no `ray start`"
        for command in cluster.starts(side):
            if not re.search(r"\bRAY_AUTH_MODE=token\b.*ray start", command, re.DOTALL):
                yield f"{side}_start_ray_commands: no RAY_AUTH_MODE=token before `ray start`"


def head_trains_nothing(cluster: Cluster) -> Iterator[str]:
    """The head has a dashboard on loopback, a place for every driver, and trains nothing."""
    flags = ["--dashboard-host=127.0.0.1", "--autoscaling-config=~/ray_bootstrap_config.yaml"]
    if cluster.local:
        drivers = json.dumps({DRIVER_RESOURCE: DRIVERS})
        flags += ["--num-cpus=0", "--num-gpus=0", f"--resources={drivers}"]
        flags += ["RAY_enable_autoscaler_v2=0"]  # Ray 2.60's newer one leaves the last host out
    for command in cluster.starts("head"):
        for flag in flags:
            if flag not in shlex.split(command):
                yield f"head_start_ray_commands: `ray start` without {flag}"
    head = cluster.types[cluster.config["head_node_type"]]
    if not cluster.local:
        resources = head["resources"]
        if resources.get("CPU") != 0 or resources.get("GPU", 0) != 0:
            yield "the head's resources: CPU must be 0, written, and no GPU: it trains nothing"
        if resources.get(DRIVER_RESOURCE) != DRIVERS:
            yield f"the head's resources: {DRIVER_RESOURCE} must be {DRIVERS}"
        if head["max_workers"] != 0:
            yield "the head's max_workers must be 0: it is no worker"


def workers_come_and_go(cluster: Cluster) -> Iterator[str]:
    """Workers start from 0, say what they have, and go when idle."""
    if cluster.local:
        return
    idle = cluster.written.get("idle_timeout_minutes", 0)
    if not 1 <= idle <= LONGEST_IDLE_MINUTES:
        yield f"idle_timeout_minutes: {idle} (allowed: 1 to {LONGEST_IDLE_MINUTES})"
    if "max_workers" not in cluster.written:
        yield "max_workers: missing (it bounds the cost)"
    for name, kind in cluster.types.items():
        if kind["min_workers"] != 0:
            yield f"{name}: min_workers {kind['min_workers']} (allowed: 0)"
        cpus, gpus = (kind["resources"].get(what, 0) for what in ("CPU", "GPU"))
        if name != cluster.config["head_node_type"] and cpus < max(1, gpus):
            yield f"{name}: resources must say CPU, at least 1 and one per GPU"
    if autoscaler_capacity(cluster.config, 0, 0)[0] < 1:
        yield "max_workers: no trial fits, no worker may start"


def one_image(cluster: Cluster) -> Iterator[str]:
    """Every machine starts from an image that is named exactly."""
    kind = cluster.config["provider"]["type"]
    for name, node in ((name, kind["node_config"]) for name, kind in cluster.types.items()):
        image = str(node.get("ImageId"))
        if kind == "aws" and not image.startswith("ami-"):
            yield f"{name}: ImageId {image} (allowed: the id of one image, ami-...)"
        for disk in node.get("disks", [{}]) if kind == "gcp" else ():
            image = str(disk.get("initializeParams", {}).get("sourceImage"))
            if "/images/" not in image or "/family/" in image:
                yield f"{name}: sourceImage {image} (allowed: the name of one image, no family)"


def brings_the_project(cluster: Cluster) -> Iterator[str]:
    """The package goes to the nodes, and nothing that lies beside it; the data has a place."""
    for here in map(str, cluster.config["file_mounts"].values()):
        path = (PROJECT / Path(here).expanduser()).resolve()
        if PROJECT.is_relative_to(path):
            yield f"file_mounts: {here} would take data, studies and keys with it"
        elif not path.exists():
            yield f"file_mounts: {here} does not exist in {PROJECT}"
    for side in ("head", "worker"):
        setup = cluster.config[f"{side}_setup_commands"]
        if not any("pip install" in c and "--constraint constraints.txt" in c for c in setup):
            yield f"setup_commands: nothing is installed with constraints.txt on a {side}"
        if not any("export R2D_DATA=/" in c for c in setup):
            yield f"setup_commands: R2D_DATA is not exported with an absolute path on a {side}"


def tested_versions(cluster: Cluster) -> Iterator[str]:
    """Python and Ray are those of the tests, and nothing is installed in any version."""
    pinned = re.search(r"^ray==(\S+)", (PROJECT / "constraints.txt").read_text("utf-8"), re.M)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    python = project["tool"]["mypy"]["python_version"]
    assert pinned is not None
    for key in (key for key in cluster.written if key.endswith("_commands")):
        for command in cluster.written[key]:
            for word in _unpinned(command):
                yield f"{key}: {word} is installed in any version (allowed: NAME==VERSION)"
            for ray in re.findall(r"\bray(?:\[[\w,]*\])?==(\S+)", command):
                if ray != pinned[1]:
                    yield f"{key}: Ray {ray} (allowed: {pinned[1]}, as in constraints.txt)"
            for made in re.findall(r"--python[ =]([\d.]+)|python(3\.\d+) -m venv", command):
                if not f"{''.join(made)}.".startswith(f"{python}."):
                    yield f"{key}: Python {''.join(made)} (allowed: {python}, as in the tests)"


def _unpinned(command: str) -> Iterator[str]:
    """Yield what a command gives to `pip install` without a version."""
    for part in re.split(r"(?<=\s)\d?>|[;()|&]", command):
        words = iter(part.partition("pip install")[2].split())
        for word in words:
            if word in {"--constraint", "-c", "--editable", "-e"}:
                next(words, None)
            elif not word.startswith("-") and "==" not in word:
                yield word


def values(node: Any) -> Iterator[str]:
    """Yield every scalar value of a YAML tree as text."""
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from values(value)
    else:
        yield str(node)


RULES: tuple[Callable[[Cluster], Iterator[str]], ...] = (
    no_secret,
    closed_network,
    token_on_every_node,
    head_trains_nothing,
    workers_come_and_go,
    one_image,
    brings_the_project,
    tested_versions,
)
