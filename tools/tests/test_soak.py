"""The soak, briefly; and that it says so if something goes wrong."""

from __future__ import annotations

import os
import random
import sys

assert sys.platform == "linux"

import pytest
import soak
import soak_scenarios


@pytest.mark.timeout(300)
def test_briefly(capfd: pytest.CaptureFixture[str]) -> None:
    names = ["managers", "pool fork", "shared memory"]
    assert soak.main(["--minutes", "0.02", *names]) == 0
    rows = capfd.readouterr().out.splitlines()[-len(names) :]
    for name, row in zip([*names[1:], "all"], rows, strict=True):
        operations, _, losses, leaks = row[18:].split()
        assert row.startswith(name)
        assert int(operations) > 0
        assert (losses, leaks) == ("0", "0")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything() -> None:
    assert soak.main(["--minutes", "0.5"]) == 0


def lose(tally: soak.Tally, seconds: float, dice: random.Random) -> None:
    tally.lost("a result")
    raise ValueError("an error")


@pytest.mark.leaks("fds")
def test_losses_and_leaks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(soak_scenarios.SCENARIOS, "lose", lose)
    # The fork server of other tests is left alone.
    monkeypatch.setattr(soak_scenarios, "end_fork_server", lambda: None)
    monkeypatch.setattr(soak, "GRACE", 0.01)
    tally = soak.run_here("lose", 0.0, 1)
    assert [text[:8] for text in tally.losses] == ["a result", "Tracebac"] * 2
    assert "ValueError: an error" in tally.losses[1]
    assert not tally.leaks

    opened: list[int] = []

    def leak(tally: soak.Tally, seconds: float, dice: random.Random) -> None:
        opened.append(os.open(os.devnull, os.O_RDONLY))

    monkeypatch.setitem(soak_scenarios.SCENARIOS, "leak", leak)
    try:
        tally = soak.run_here("leak", 0.0, 1)
    finally:
        for fd in opened:
            os.close(fd)
    assert not tally.losses
    assert len(tally.leaks) == 1
    assert "/dev/null" in tally.leaks[0]
    assert not tally.good
    text = soak.report([tally, soak.Tally("fine", 3, 2)])
    assert "LEAK in leak: descriptor" in text
    assert text.splitlines()[3].split() == ["all", "3", "2", "0", "1"]


def test_processes_and_names_that_stay_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import subprocess

    monkeypatch.setattr(soak, "GRACE", 0.01)
    mark = f"test-{os.getpid()}"
    assert soak.settle(mark) == []
    environ = os.environ | {soak.MARK: mark}
    ends = subprocess.PIPE
    with subprocess.Popen(["cat"], stdin=ends, stdout=ends, env=environ) as process:
        # Popen knows that the program was found before the kernel has its environment.
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"it runs\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"it runs\n"
        found = soak.settle(mark)
    assert [text.split()[:2] for text in found] == [["process", f"{process.pid}:"]]
    path = f"/dev/shm/{soak.NAMES}{mark}-1"
    with open(path, "x"):
        assert soak.settle(mark) == [path]
    os.unlink(path)


def test_unknown_scenarios_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(["nonsense"])
    assert "no such scenario: nonsense" in capsys.readouterr().err
