"""How `pio test` runs the op tests: the program in the emulator, time-limited, a test case a line."""

import os
import subprocess
import sys

from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "firmware", "platform", "builder"))
import offramp_build  # noqa: E402


class CustomTestRunner(TestRunnerBase):
    """Builds as usual; nothing is uploaded, because the emulator lives no longer than the test."""

    def stage_testing(self):
        if self.options.without_testing:
            return
        env = self.test_suite.env_name
        folder = os.path.join(self.project_config.get("platformio", "build_dir"), env)
        grid = os.path.join(folder, "offramp", "grid.bin")
        command = [offramp_build.python(), "-m", "tests.platformio.grid_file"]
        board = self.project_config.get(f"env:{env}", "custom_offramp_board", env)
        done = subprocess.run(
            [*command, board, grid, os.path.join(folder, "program.elf")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        for line in done.stdout.splitlines():
            _, name, said = line.split("\t")
            passed = said == "ok"
            case = TestCase(
                name, TestStatus.PASSED if passed else TestStatus.FAILED, None if passed else said
            )
            self.test_suite.add_case(case)
        if not self.test_suite.cases:
            raise RuntimeError(f"no case ran: {done.stderr.strip()}")
