"""Choosing a backend: by what it does, never by what is installed; refusals that say what to do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tuneval
from sandbox.yard import probed
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError, SandboxError
from tuneval.sandbox import Limits, Program, folders, guarded, probe, run_all, survey
from tuneval.sandbox import probe as chosen
from tuneval.sandbox.backend import FILES_ARE_WATCHED, MEMORY_IS_WATCHED, NAMES_ARE_SEEN
from tuneval.sandbox.probe import backends, check


def _tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def test_auto_takes_the_first_that_works() -> None:
    reports = survey()
    assert [report.name for report in reports] == ["bwrap", "container", "landlock", "seatbelt"]
    working = [r.name for r in reports if r.works and r.level in ("strong", "medium")]
    if not working:
        pytest.skip("no sandbox works here")
    assert chosen().name == working[0]
    assert all(report.reason and report.remedy for report in reports if not report.works)


def test_tool_that_fails_is_refused_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(
        tmp_path,
        "bwrap",
        "import sys\nsys.exit('bwrap: setting up uid map: Permission denied\\nmore')",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError) as caught:
        probe("bwrap")
    text = str(caught.value)
    assert "no working sandbox" in text
    assert "bwrap: bwrap: setting up uid map: Permission denied" in text
    assert "AppArmor" in text
    assert "more" not in text.split("Remedy", maxsplit=1)[0]


def test_tool_that_does_not_confine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An "engine" that only starts the command: it computes, but it confines nothing."""
    _tool(
        tmp_path,
        "docker",
        "import os, sys\n"
        "if sys.argv[1] != 'run':\n    sys.exit()\n"
        "at = sys.argv.index('an-image')\n"
        "argv = [sys.executable, *sys.argv[at + 2:]]\n"
        "os.execv(sys.executable, argv)\n",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="container: it does not confine: a program could"):
        probe("container", image="an-image")


def test_missing_tools() -> None:
    with pytest.raises(SandboxError, match="container: no image was named"):
        probe("container")


def test_unknown_backend() -> None:
    with pytest.raises(ConfigError, match=r'--sandbox: there is no "bwarp" \(did you mean "bwrap"'):
        probe("bwarp")


def test_none_needs_permission() -> None:
    with pytest.raises(SandboxError, match="--allow-unsandboxed-code"):
        probe("none")


def test_none_is_refused_for_root_even_with_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SandboxError, match="refused for root"):
        probe("none", allow_unsandboxed_code=True)


def test_none_for_an_ordinary_user() -> None:
    if os.geteuid() == 0:
        pytest.skip("root: refused, see above")
    backend = probe("none", allow_unsandboxed_code=True)
    assert backend.level == "none"
    program = Program("def f():\n    return 1\n", ("def check(f):\n    assert f() == 1\n",), "f")
    assert run_all([program], backend)[0].level == "none"


def test_auto_refuses_a_weak_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(guarded.confine, "landlock_abi", lambda: 5)
    with pytest.raises(SandboxError, match='landlock: only level "weak" here'):
        probe()


def test_environment_cannot_give_the_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUNEVAL_ALLOW_UNSANDBOXED_CODE", "ALLOW_UNSANDBOXED_CODE"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(SandboxError):
        probe("none")


def test_probe_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for make in backends().values():
        backend = make()
        if backend.level == "none":
            continue
        try:
            check(backend)
        except SandboxError:
            continue
    assert list(tmp_path.iterdir()) == []


PROBER = """
import os, sys, time
from tuneval.sandbox import probe as find, trial
sandbox = sys.modules["tuneval.sandbox.probe"]
def judge(*arguments, **settings):
    print("probing", flush=True)
    time.sleep(60)
sandbox.trial.judge = judge
find("landlock")
"""


@pytest.mark.fault
def test_next_probe_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left() -> list[Path]:
        return sorted(tmp_path.glob("tuneval-*"))

    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(tuneval.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", PROBER], stdout=subprocess.PIPE, text=True, env=environment
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "probing\n"
        (bait,) = left()
        _make_old(bait)
        folders.remove_abandoned()
        assert left() == [bait]  # in use, however old
    finally:
        process.kill()
        process.communicate(timeout=20)
    assert left() == [bait]
    _make_old(bait)
    folders.remove_abandoned()
    assert left() == []


@pytest.mark.parametrize(
    ("name", "age", "is_kept"),
    [
        ("tuneval-sandbox-old", 100, False),
        ("tuneval-probe-old", 100, False),
        ("tuneval-probe-young", 0, True),
        ("tuneval-yard-old", 100, True),
    ],
)
def test_abandoned_folders(
    name: str, age: float, is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / name
    folder.mkdir()
    (folder / "kept").write_text("x", encoding="ascii")
    _make_old(folder, age)
    folders.remove_abandoned()
    assert folder.exists() is is_kept


def test_link_in_the_place_of_a_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "tuneval-probe-link").symlink_to(outside)
    _make_old(outside)
    folders.remove_abandoned()
    assert outside.exists()


def _make_old(folder: Path, age: float = 100) -> None:
    os.utime(folder, (time.time() - age,) * 2)


def test_every_backend_says_what_it_does_not_hold() -> None:
    found = {name: make().gaps for name, make in backends("an-image").items()}
    assert found["bwrap"] == (MEMORY_IS_WATCHED,)
    assert found["container"] == ()
    assert {MEMORY_IS_WATCHED, FILES_ARE_WATCHED, NAMES_ARE_SEEN} <= set(found["landlock"])
    assert found["none"]


def test_doctor_says_what_a_working_sandbox_does_not_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    probed("landlock")
    assert exit_code(["doctor"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    own = said[said.index("landlock works") :]
    assert all(f"not held: {gap}" in own for gap in backends()["landlock"]().gaps)


@pytest.mark.parametrize("image", [None, "x"])
def test_engine_command_confines(
    image: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tmp_path, "podman", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    backend = backends(image)["container"]()
    if image is None:
        with pytest.raises(SandboxError, match="no image was named"):
            backend.launch("candidate", 0, Limits())
        return
    words = set(backend.launch("candidate", 0, Limits()).command)
    assert {
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=65534:65534",
        "--rm",
    } <= words
