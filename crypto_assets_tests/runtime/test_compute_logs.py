"""What a step prints is in a file, is shown where it would have been, and needs no process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from crypto_assets.runtime.compute_logs import FollowedLogManager
from crypto_assets_tests.runtime.conftest import wait_for

KEY = ["run", "compute_logs", "key"]
# Prints by Python, by a child and by the descriptor itself; then what the test wants.
STEP = """
import os, subprocess, sys
from crypto_assets.runtime.compute_logs import FollowedLogManager
print("before", flush=True)
with FollowedLogManager(sys.argv[1]).capture_logs(["run", "compute_logs", "key"]):
    print("python", flush=True)
    subprocess.run(["sh", "-c", "echo child; echo grave >&2"])
    os.write(1, b"descriptor\\n")
    {more}
print("after", flush=True)
"""


def step(folder: Path, more: str = "pass", **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STEP.format(more=more), str(folder)]
    return subprocess.Popen(command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})  # type: ignore[call-overload,no-any-return]


def test_output_goes_to_the_file_and_is_shown_in_order(tmp_path: Path) -> None:
    out, err = step(tmp_path).communicate(timeout=300)
    assert out.splitlines() == ["before", "python", "child", "descriptor", "after"]
    assert err == "grave\n"
    found = FollowedLogManager(str(tmp_path)).get_log_data(KEY)
    assert found.stdout == b"python\nchild\ndescriptor\n"
    assert found.stderr == b"grave\n"
    assert FollowedLogManager(str(tmp_path)).is_capture_complete(KEY)


def test_output_is_shown_while_the_step_runs(tmp_path: Path) -> None:
    process = step(tmp_path, "sys.stdin.read()", stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(4)][1:] == ["python\n", "child\n", "descriptor\n"]
    assert not FollowedLogManager(str(tmp_path)).is_capture_complete(KEY)
    assert process.communicate(timeout=300)[0].endswith("after\n")


def test_more_than_a_pipe_holds_is_shown_whole(tmp_path: Path) -> None:
    out, _ = step(tmp_path, 'print("x" * 3_000_000)').communicate(timeout=300)
    assert "x" * 3_000_000 in out.splitlines()


def test_no_process_is_started(tmp_path: Path) -> None:
    look = "print('children', open(f'/proc/self/task/{os.getpid()}/children').read().split())"
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list the children of a process")
    out, _ = step(tmp_path, look).communicate(timeout=300)
    assert "children []" in out


def test_ctrl_c_of_a_terminal_prints_the_steps_own_traceback_only(tmp_path: Path) -> None:
    """A terminal signals the whole session: what the manager starts would be signalled too."""
    process = step(tmp_path, "import time; time.sleep(600)", start_new_session=True)
    assert wait_for(
        lambda: any(tmp_path.rglob("*.out")) and b"descriptor" in next(tmp_path.rglob("*.out")).read_bytes()
    )
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert "descriptor" in out
    assert err.count("Traceback") == 1
    assert err.endswith("KeyboardInterrupt\n")
    assert not FollowedLogManager(str(tmp_path)).is_capture_complete(KEY)


def test_a_reader_who_goes_away_does_not_stop_the_step(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = step(tmp_path, "sys.stdin.read(); print('late')", stdin=subprocess.PIPE, stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as reader:
        assert reader.readline() == "before\n"
    process.communicate(timeout=300)
    found = FollowedLogManager(str(tmp_path)).get_log_data(KEY).stdout
    assert found is not None
    assert found.endswith(b"late\n")


def test_a_stream_in_memory_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FollowedLogManager(str(tmp_path)).capture_logs(KEY):
        print("said")
    assert capsys.readouterr().out == "said\n"
    assert FollowedLogManager(str(tmp_path)).is_capture_complete(KEY)


def test_two_captures_one_after_the_other_leave_the_streams_as_they_were(tmp_path: Path) -> None:
    more = "pass\nwith FollowedLogManager(sys.argv[1]).capture_logs(['again']): print('again')"
    out, _ = step(tmp_path, more).communicate(timeout=300)
    assert out.splitlines()[-2:] == ["again", "after"]
    assert (tmp_path / "again.out").read_text() == "again\n"


def test_the_instance_uses_it(instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]) -> None:
    @dg.asset
    def one() -> None:
        print("printed by the step")

    result = dg.materialize([one], instance=instance)
    assert isinstance(instance.compute_log_manager, FollowedLogManager)
    (log,) = [event for event in result.all_events if event.event_type_value == "LOGS_CAPTURED"]
    found = instance.compute_log_manager.get_log_data([result.run_id, "compute_logs", log.logs_captured_data.file_key])
    assert found.stdout == b"printed by the step\n"
    assert "printed by the step" in capfd.readouterr().out
