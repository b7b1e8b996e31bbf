"""Tell the user of an error in a thread as what it is: a refusal, or a failure."""

from __future__ import annotations

import logging

from napari.utils.notifications import notification_manager, show_warning

__all__ = ["show_error"]

_logger = logging.getLogger(__name__)

# These say what is wrong with what was given; where in the code that was found out
# helps nobody.
_FOR_THE_USER = (ValueError, TypeError, OSError, MemoryError)


def show_error(error: Exception) -> None:
    """Show what an error says, and where it arose if the program is to blame."""
    if isinstance(error, _FOR_THE_USER):
        _logger.info("Refused", exc_info=error)
        show_warning(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)
