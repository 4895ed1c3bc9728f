"""`boxyard up` hears that it shall stop, whatever it is about."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def test_a_signal_in_the_middle_of_a_look_at_the_event_is_no_deadlock():
    script = """
        import signal, threading
        from boxyard_producer.cli.up import stop_on_signals

        wait = threading.Condition.wait
        def be_interrupted(condition, timeout):
            threading.Condition.wait = wait
            signal.raise_signal(signal.SIGTERM)  # the event's lock is held here
            return wait(condition, timeout)

        stopping = threading.Event()
        stop_on_signals(stopping)
        threading.Condition.wait = be_interrupted
        assert stopping.wait(60)
        print("stopped")
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        timeout=90,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "stopped\n", told.stderr
