"""Listen to the viewer only as long as Qt keeps what listens."""

from __future__ import annotations

from typing import Any
from weakref import WeakMethod

from qtpy.compat import isalive

__all__ = ["Listener"]


class Listener:
    """Passes events on to a method of a Qt object until Qt deletes the object.

    The viewer may outlive a dock. It compares what is connected to it with what is
    about to be, which fails on a Qt object that is deleted: so this stands in for it.

    Parameters
    ----------
    method : bound method
        Called with the event. Only a weak reference to it is kept, and the viewer
        keeps only a weak one to this, so that the Qt object has to hold it.
    """

    def __init__(self, method: Any) -> None:
        self._method: WeakMethod[Any] = WeakMethod(method)

    def hear(self, event: Any) -> None:
        """Pass an event on."""
        method = self._method()
        if method is not None and isalive(method.__self__):
            method(event)
