"""The cluster files: good as shipped, refused when a rule is broken; their commands, run here."""

import copy
import importlib
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.distributed.cluster import Capacity, autoscaler_capacity

ROOT = Path(__file__).resolve().parents[2]
AWS, GCP, OWN = "cluster.yaml", "cluster/gcp.yaml", "cluster/own-hosts.yaml"
FILES = (AWS, GCP, OWN)
TEXT = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}

sys.path.append(str(ROOT / "cluster"))
check = importlib.import_module("check")


def written(name: str) -> dict[str, Any]:
    return yaml.load(TEXT[name], Loader=yaml.CSafeLoader)


def as_ray_runs_it(name: str) -> dict[str, Any]:
    return check.read_cluster(TEXT[name]).config


def uncommented_keys(text: str) -> list[str]:
    """Keys without a comment on the line above (a comment above `- key:` counts)."""
    lines = text.splitlines()
    found = []

    def walk(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not lines[key.start_mark.line - 1].lstrip().startswith("#"):
                    found.append(key.value)
                walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item)

    walk(yaml.compose(text, Loader=yaml.CSafeLoader))
    return found


# ---- as shipped ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_passes_rays_schema_and_our_rules(name: str) -> None:
    assert check.problems(TEXT[name]) == []


@pytest.mark.parametrize("name", FILES)
def test_every_key_has_a_comment_above_it(name: str) -> None:
    assert uncommented_keys(TEXT[name]) == []


def test_a_key_without_comment_is_found() -> None:
    without = TEXT[AWS].replace("  # Region of the machines, of the image", "  region_note: x #", 1)
    assert uncommented_keys(without) == ["region_note", "region"]


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        (AWS, ["region and key", "instance types and their image"]),
        (GCP, ["region and key", "instance types and their image"]),
        (OWN, ["login and key", "hosts"]),
    ],
)
def test_four_places_are_marked_in_order(name: str, titles: list[str]) -> None:
    marks = re.findall(r"^ *# ---- EDIT (\d) of 4: (.*?) -+$", TEXT[name], re.MULTILINE)
    titles = [*titles, "shared storage", "where the data lies"]
    assert marks == [(str(n), title) for n, title in enumerate(titles, start=1)]


@pytest.mark.parametrize("name", FILES)
def test_what_must_be_edited_lies_in_the_marked_places(name: str) -> None:
    outside = re.sub(r"(?ms)^ *# ---- EDIT .*?^ *# -{20,}$", "", TEXT[name])
    code = "\n".join(line for line in outside.splitlines() if not line.lstrip().startswith("#"))
    assert "EDIT" not in code
    assert check.to_edit(TEXT[name]) != []


@pytest.mark.parametrize("name", FILES)
def test_r2d_data_is_set_in_the_fourth_place(name: str) -> None:
    place = re.search(r"(?ms)EDIT 4 of 4.*?# -{20,}$", TEXT[name])
    assert place is not None
    assert "export R2D_DATA=/mnt/r2d/data" in place[0]


@pytest.mark.parametrize("name", FILES)
def test_all_that_the_package_needs_is_brought_and_nothing_else(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.removesuffix("*") for pattern in found}
    files = {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    files |= set(project["project"]["license-files"])
    mounts = written(name)["file_mounts"]
    assert set(mounts.values()) == {f"./{part}" for part in packages | files}
    assert set(mounts) == {f"~/r2d-project/{part}" for part in packages | files}


def test_workers_are_spot_and_leave_nothing_behind() -> None:
    aws, gcp = written(AWS), written(GCP)
    worker = aws["available_node_types"]["gpu_worker"]["node_config"]
    assert worker["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert aws["provider"]["cache_stopped_nodes"] is False
    for kind in aws["available_node_types"].values():
        assert kind["node_config"]["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        assert kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
    scheduling = gcp["available_node_types"]["gpu_worker"]["node_config"]["scheduling"]
    assert scheduling["provisioningModel"] == "SPOT"
    assert scheduling["instanceTerminationAction"] == "DELETE"


def test_the_head_and_the_workers_of_a_cloud_have_one_image() -> None:
    types = written(AWS)["available_node_types"]
    assert len({kind["node_config"]["ImageId"] for kind in types.values()}) == 1
    types = written(GCP)["available_node_types"]
    disks = [kind["node_config"]["disks"][0]["initializeParams"] for kind in types.values()]
    assert disks[0] == disks[1]


# ---- capacity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [AWS, GCP])
def test_capacity_counts_the_workers_that_may_come_and_not_the_head(name: str) -> None:
    # 4 workers of 8 cores and 1 GPU; on the head lies what Ray made of the file, as JSON.
    assert autoscaler_capacity(written(name), 0, 0) == (32, 4)
    on_the_head = json.loads(json.dumps(as_ray_runs_it(name)))
    assert autoscaler_capacity(on_the_head, 0, 0) == (32, 4)
    trial = tiny_config(gpus_per_worker=1.0)
    assert Capacity(*autoscaler_capacity(on_the_head, 0, 0)).concurrent_trials(trial) == 4


def test_own_hosts_have_the_capacity_that_is_there() -> None:
    assert autoscaler_capacity(as_ray_runs_it(OWN), 64, 8) == (64, 8)


# ---- what the commands do -----------------------------------------------------------------------


def run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["bash", "-c", f"umask 022; {command}"], env=environment, capture_output=True, text=True
    )


def command_with(commands: list[str], part: str) -> str:
    (found,) = [command for command in commands if part in command]
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", FILES)
def test_the_token_is_made_once_for_its_user_only_and_not_printed(
    name: str, tmp_path: Path
) -> None:
    make = command_with(written(name)["head_setup_commands"], "umask 077")
    token = tmp_path / ".ray" / "auth_token"
    first = run(make, tmp_path)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert re.fullmatch(r"[0-9a-f]{64}", token.read_text())
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    before = token.read_text()
    token.chmod(0o644)
    token.parent.chmod(0o755)
    assert run(make, tmp_path).returncode == 0
    assert token.read_text() == before
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("name", FILES)
def test_a_worker_without_token_stops_before_ray_starts(name: str, tmp_path: Path) -> None:
    tighten = command_with(written(name)["worker_setup_commands"], "auth_token")
    assert run(tighten, tmp_path).returncode != 0
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch(mode=0o644)
    assert run(tighten, tmp_path).returncode == 0
    assert mode(tmp_path / ".ray" / "auth_token") == 0o600


@pytest.mark.parametrize("name", FILES)
def test_every_shell_gets_the_environment_however_often_a_node_is_set_up(
    name: str, tmp_path: Path
) -> None:
    setup = written(name)["setup_commands"]
    both = [command_with(setup, "R2D_DATA"), command_with(setup, "RAY_AUTH_MODE")]
    (tmp_path / ".bashrc").write_text("# of the system\n")
    for command in both * 2:
        assert run(command, tmp_path).returncode == 0
    assert (tmp_path / ".bashrc").read_text() == "# of the system\n. ~/.r2d_env\n"
    shell = run('. ~/.bashrc; echo "$R2D_DATA $RAY_AUTH_MODE $PATH"', tmp_path).stdout.split()
    assert shell[:2] == ["/mnt/r2d/data", "token"]
    assert shell[2].startswith(f"{tmp_path}/r2d-venv/bin:")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("side", ["head", "worker"])
def test_ray_gets_the_token_mode_and_the_flags_as_meant(
    name: str, side: str, tmp_path: Path
) -> None:
    fake = tmp_path / "r2d-venv" / "bin" / "ray"
    fake.parent.mkdir(parents=True)
    seen = 'printf "%s\\n" "$RAY_AUTH_MODE" "$RAY_enable_autoscaler_v2" "$@"'
    fake.write_text(f"#!/bin/sh\n{seen}\n")
    fake.chmod(0o755)
    for part in ("R2D_DATA", "RAY_AUTH_MODE"):
        run(command_with(written(name)["setup_commands"], part), tmp_path)
    start = command_with(written(name)[f"{side}_start_ray_commands"], "ray start")
    # What Ray puts before the command.
    before = "export RAY_HEAD_IP=10.0.0.1; export RAY_enable_autoscaler_v2=1; "
    auth, newer, *flags = run(before + start, tmp_path).stdout.splitlines()
    assert auth == "token"
    assert newer == ("0" if (name, side) == (OWN, "head") else "1")
    if side == "worker":
        assert flags == ["start", "--address=10.0.0.1:6379"]
    else:
        assert "--dashboard-host=127.0.0.1" in flags
        assert "--disable-usage-stats" in flags
        assert ('--resources={"driver": 100}' in flags) == (name == OWN)


def test_rays_newer_autoscaler_still_leaves_a_host_out() -> None:
    """Why own-hosts.yaml takes the older one: if this fails, Ray is mended and that can go."""
    from ray.autoscaler.v2 import scheduler
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    config = AutoscalingConfig(
        {
            "cluster_name": "x",
            "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["a", "b"]},
            "auth": {"ssh_user": "x"},
        },
        skip_content_hash=True,
    )
    kind = config.get_head_node_type()
    running = Instance(instance_id="head", instance_type=kind, node_kind=NodeKind.HEAD)
    running.status = Instance.RAY_RUNNING
    node = NodeState(ray_node_type_name=kind, status=NodeStatus.RUNNING, instance_id="10.0.0.1")
    reply = scheduler.ResourceDemandScheduler(None).schedule(
        scheduler.SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            current_instances=[
                AutoscalerInstance(ray_node=node, im_instance=running, cloud_instance_id="10.0.0.1")
            ],
        )
    )
    assert sum(launch.count for launch in reply.to_launch) == 1


# ---- each rule, broken --------------------------------------------------------------------------

TOKEN = "RAY_AUTH_MODE=token ray start"
HEX = "0123456789abcdef" * 4
AKIA = "AKIA" + "ABCDEFGH12345678"
BROKEN = [
    # Ray's own schema
    (AWS, "max_workers: 4\n\n# A worker", "max_worker: 4\n\n# A worker", "'max_worker' was unexp"),
    (AWS, "head_node_type: head", "head_node_type: boss", "`head_node_type` must be one of"),
    (AWS, "  type: aws", "  type: aws2", "Unsupported node provider: aws2"),
    (GCP, "cluster_name: r2d", "cluster_name: [r2d", "no YAML"),
    (OWN, "  head_ip: head.EDIT", "  head: head.EDIT", "supply a `head_ip`"),
    # secrets
    (AWS, "# Name of the cluster", f"# {AKIA}", "line 11 looks like an access key of AWS"),
    (AWS, "  type: aws", "  type: aws\n  aws_credentials: {}", "looks like credentials"),
    (GCP, "# Not copied.", "# -----BEGIN RSA PRIVATE KEY-----", "looks like a private key"),
    (OWN, "# Not copied.", f"# token {HEX}", "looks like a key in hexadecimal"),
    (OWN, "# Not copied.", "# hf_" + "a" * 30, "looks like a token of a hub"),
    (AWS, "export R2D_DATA=", "export WANDB_API_KEY=abc R2D_DATA=", "looks like a value of a secr"),
    (AWS, TOKEN, "RAY_AUTH_TOKEN=abc " + TOKEN, "looks like a value of a secret"),
    # network
    (AWS, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "opens an address to everyb"),
    (OWN, "--dashboard-host=127.0.0.1", "--dashboard-host=::", "opens an address to everybody"),
    (GCP, "--dashboard-host=127.0.0.1", "", "`ray start` without --dashboard-host=127.0.0.1"),
    (
        AWS,
        "  type: aws",
        "  type: aws\n  security_group: {IpPermissions: [{FromPort: 8265, ToPort: 8265}]}",
        "lets in ports ['8265']",
    ),
    (
        AWS,
        "  type: aws",
        "  type: aws\n  security_group: {IpPermissions: [{IpProtocol: '-1'}]}",
        "lets in ports ['None']",
    ),
    (
        GCP,
        "      machineType: g2",
        "      tags: {items: [http-server]}\n      machineType: g2",
        "gpu_worker: a tag opens a web port",
    ),
    # token
    *((name, TOKEN, "ray start", "no RAY_AUTH_MODE=token before") for name in (AWS, GCP)),
    (OWN, "RAY_AUTH_MODE=token RAY_enable", "RAY_enable", "head_start_ray_commands: no RAY_AUTH_"),
    (AWS, "ray start --address", "ray status --address", "worker_start_ray_commands: no `ray st"),
    *((name, "\n  - ~/.ray/auth_token", " []", "does not go to the workers") for name in FILES),
    *(
        (name, "umask 077", "umask 022", "none makes ~/.ray/auth_token under umask")
        for name in FILES
    ),
    # head
    (AWS, "      CPU: 0\n", "      CPU: 8\n", "CPU must be 0"),
    (AWS, "      CPU: 0\n", "", "CPU must be 0"),
    (GCP, "      CPU: 0\n", "      CPU: 0\n      GPU: 1\n", "no GPU"),
    (GCP, "      driver: 100", "      drivers: 100", "driver must be 100"),
    (AWS, "    max_workers: 0", "    max_workers: 1", "the head's max_workers must be 0"),
    (OWN, "--num-cpus=0", "", "`ray start` without --num-cpus=0"),
    (OWN, "--num-gpus=0", "", "`ray start` without --num-gpus=0"),
    (OWN, '"driver": 100', '"driver": 10', 'without --resources={"driver": 100}'),
    (OWN, "RAY_enable_autoscaler_v2=0", "", "without RAY_enable_autoscaler_v2=0"),
    (AWS, "--autoscaling-config=~/ray_bootstrap_config.yaml", "", "without --autoscaling-config"),
    # workers
    (AWS, "    min_workers: 0", "    min_workers: 2", "gpu_worker: min_workers 2 (allowed: 0)"),
    (AWS, "idle_timeout_minutes: 10\n", "", "idle_timeout_minutes: 0 (allowed: 1 to 60)"),
    (GCP, "idle_timeout_minutes: 10", "idle_timeout_minutes: 600", "600 (allowed: 1 to 60)"),
    (GCP, "\nmax_workers: 4\n", "\n", "max_workers: missing"),
    (AWS, "      CPU: 8\n", "", "gpu_worker: resources must say CPU"),
    (AWS, "      GPU: 1\n", "      GPU: 16\n", "one per GPU"),
    (AWS, "    max_workers: 4", "    max_workers: 0", "no trial fits"),
    # image
    (AWS, "&image ami-EDIT", "&image latest_dlami", "head: ImageId latest_dlami"),
    (AWS, "      ImageId: *image\n", "", "gpu_worker: ImageId None"),
    (GCP, "/images/EDIT", "/images/family/common-cu130", "allowed: the name of one image"),
    # project and versions
    (AWS, "./analysis", ".", "would take data, studies and keys with it"),
    (AWS, "./analysis", "..", "would take data, studies and keys with it"),
    (AWS, "./analysis", "/", "would take data, studies and keys with it"),
    (AWS, "./analysis", "./analyses", "./analyses does not exist"),
    (OWN, "-q --constraint constraints.txt", "-q", "installed with constraints.txt on a worker"),
    (OWN, "export R2D_DATA=/mnt", "export R2D_DATA=mnt", "not exported with an absolute path"),
    (AWS, "uv==0.13.8", "uv", "setup_commands: uv is installed in any version"),
    (AWS, "boto3==1.44.5", "boto3>=1.44.5", "boto3>=1.44.5 is installed in any"),
    (AWS, "boto3==1.44.5", "boto3==1.44.5 'ray[default]==2.59.0'", "Ray 2.59.0' (allowed: 2.60.0"),
    (AWS, "--python 3.11.18", "--python 3.12.1", "Python 3.12.1 (allowed: 3.11"),
    (OWN, "python3.11 -m venv", "python3.13 -m venv", "Python 3.13 (allowed: 3.11"),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), BROKEN)
def test_a_broken_rule_is_named(name: str, old: str, new: str, said: str) -> None:
    assert old in TEXT[name]
    found = check.problems(TEXT[name].replace(old, new, 1))
    assert [line for line in found if said in line], found
    assert all("\n" not in line for line in found)


def test_a_secret_is_not_repeated() -> None:
    (line,) = check.problems(TEXT[AWS] + f"# {AKIA}\n")
    assert AKIA not in line


def test_what_ray_does_without_our_start_commands_is_refused() -> None:
    config = written(AWS)
    del config["head_start_ray_commands"], config["worker_start_ray_commands"]
    found = check.problems(yaml.safe_dump(config))
    assert any("opens an address to everybody" in line for line in found)
    assert any(line.startswith("worker_start_ray_commands: no RAY_AUTH_MODE") for line in found)


def test_pinned_versions_of_one_kind_are_accepted() -> None:
    same = TEXT[AWS].replace("boto3==1.44.5", "boto3==1.44.5 ray==2.60.0 2>/dev/null || exit 1", 1)
    assert check.problems(same) == []
    ssh = "  type: aws\n  security_group: {IpPermissions: [{FromPort: 22, ToPort: 22}]}"
    assert check.problems(TEXT[AWS].replace("  type: aws", ssh, 1)) == []


# ---- anything at all ----------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.text("aZ0:/ -~", max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=3), inner),
    max_leaves=4,
)


def paths(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    found = [(*above, key) for key, _ in items]
    for path in list(found):
        inner = node[path[-1]]
        if isinstance(inner, dict | list):
            found += paths(inner, path)
    return found


@settings(max_examples=40, deadline=None)
@given(data=st.data(), value=ANYTHING)
def test_any_value_anywhere_gives_lines_and_no_traceback(data: st.DataObject, value: Any) -> None:
    config = copy.deepcopy(data.draw(st.sampled_from([written(name) for name in FILES])))
    *above, last = data.draw(st.sampled_from(paths(config)))
    node = config
    for key in above:
        node = node[key]
    node[last] = value
    found = check.problems(json.dumps(config))  # JSON is YAML
    assert all(isinstance(line, str) and "\n" not in line for line in found)


# ---- the command --------------------------------------------------------------------------------


def test_good_files_exit_with_0_and_say_what_is_still_to_edit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.main([str(ROOT / name) for name in FILES]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == (
        f"{ROOT / AWS}: good; still to edit: ami-EDIT, fs-EDIT.efs.us-west-2.amazonaws.com:/"
    )
    assert second.endswith(
        "still to edit: EDIT, projects/deeplearning-platform-release/global/"
        "images/EDIT, EDIT:/share"
    )
    assert third.endswith("still to edit: EDIT, head.EDIT, gpu-1.EDIT, gpu-2.EDIT")


def test_an_edited_file_is_just_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(TEXT[AWS].replace("-EDIT", "-0123456789abcdef0"))
    assert check.main([str(mine)]) == 0
    assert capsys.readouterr().out == f"{mine}: good\n"


def test_problems_exit_with_2_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEXT[OWN].replace("umask 077", "umask 022").replace("--num-cpus=0", ""))
    assert check.main([str(bad), str(tmp_path / "none.yaml"), str(ROOT / OWN)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        str(bad),
        str(bad),
        str(tmp_path / "none.yaml"),
        str(ROOT / OWN),
    ]
    assert "No such file" in lines[2]
    assert check.main([]) == 2
