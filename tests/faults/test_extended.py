"""A study that is extended and stopped in the middle by a signal ends when it is repeated."""

import signal
import time
from pathlib import Path

import pytest
from real_study import RealStudy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def test_an_extension_stopped_by_sigterm_is_finished_by_the_same_command(tmp_path: Path) -> None:
    study = RealStudy(tmp_path, 1)
    assert study.end(study.start()) == 0, study.log.read_text()[-3000:]
    [first] = study.records()

    study.command += ["--extend", "1"]
    process = study.start()
    deadline = time.time() + 240
    while not (study.root / "trials" / "0001").exists():
        assert process.poll() is None, study.log.read_text()[-3000:]
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert study.end(process) == 75, study.log.read_text()[-3000:]

    assert study.end(study.start()) == 0, study.log.read_text()[-3000:]
    records = study.records()
    assert [record.trial for record in records] == [0, 1]
    assert records[0] == first, "an ended trial is not run again"
    assert all(trial.state.is_finished() for trial in study.journal())
