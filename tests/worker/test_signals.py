"""A process that is told to stop stops, also when it is told twice at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def test_a_second_signal_in_the_middle_of_the_first_is_no_deadlock() -> None:
    """As when a terminal and a supervisor both say that it is over."""
    script = """
        import signal, threading
        from boxyard_worker.signals import stop_on_signals

        tell = threading.Condition.notify_all
        def tell_and_be_interrupted(condition):
            threading.Condition.notify_all = tell
            signal.raise_signal(signal.SIGINT)
            tell(condition)

        stop = stop_on_signals()
        threading.Condition.notify_all = tell_and_be_interrupted
        signal.raise_signal(signal.SIGTERM)
        assert stop.wait(60)
        print("stopped")
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "stopped\n", told.stderr
