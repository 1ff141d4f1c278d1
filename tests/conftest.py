"""What holds for every test: fresh MyHDL designs, steady hypothesis, one torch thread."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("kcnn", deadline=None, derandomize=True, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kcnn")


@pytest.fixture(autouse=True)
def fresh_designs() -> Iterator[None]:
    """Forget the Signals of the test before: MyHDL keeps and resets all that were ever made."""
    yield
    if "kcnn.rtl.quirks" in sys.modules:
        sys.modules["kcnn.rtl.quirks"].forget_designs()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter,
                            config: pytest.Config) -> None:
    """With --durations=N, tell what the tests of the N slowest files took together."""
    most = config.getoption("durations")
    if most:
        seconds: Counter[str] = Counter()
        for reports in terminalreporter.stats.values():
            for report in reports:
                if isinstance(report, pytest.TestReport):
                    seconds[report.nodeid.partition("::")[0]] += report.duration
        terminalreporter.section(f"slowest {most} files")
        for file, took in seconds.most_common(most):
            terminalreporter.write_line(f"{took:.2f}s {file}")
