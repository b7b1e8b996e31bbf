"""Waiting for the docks of the tests."""

TIMEOUT = 60_000  # milliseconds; generous, for a slow machine


def finish(widget, qtbot, timeout=TIMEOUT):
    """Wait until the dock's run is over."""
    qtbot.waitUntil(lambda: not widget.running, timeout=timeout)


def close(widget):
    """Click the X in the title of the dock that a widget is in."""
    widget.parent().title.close_button.click()
