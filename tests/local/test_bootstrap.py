"""What `deploy/local/bootstrap` says to somebody who may not install packages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ORDINARY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]  # root's files, an ordinary account's rights


def test_a_missing_package_without_the_right_to_install_it_is_one_sentence_with_the_command_to_run() -> None:
    as_somebody = ORDINARY if os.getuid() == 0 else []
    environ = {"PATH": os.defpath, "PYTHON": sys.executable}
    done = subprocess.run(
        [*as_somebody, "deploy/local/bootstrap", "no-such-program"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Missing: no-such-program, and this account may not install packages." in done.stderr
    assert "sudo apt-get install --no-install-recommends no-such-program" in done.stderr
