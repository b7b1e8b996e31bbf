"""A question that the user answers with a button."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QMessageBox, QWidget

__all__ = ["ask"]


def ask(
    parent: QWidget, title: str, question: str, facts: str, answers: Sequence[str]
) -> str | None:
    """Ask a question in a dialog.

    Parameters
    ----------
    parent : QWidget
        Over which it appears.
    title, question, facts : str
        The window's title, the question in bold, and what is needed to decide.
    answers : sequence of str
        Texts of the buttons; Cancel is always there, and is what Enter chooses.

    Returns
    -------
    str or None
        The chosen answer, or None for Cancel.
    """
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(question)
    box.setInformativeText(facts)
    buttons = {
        text: box.addButton(text, QMessageBox.ButtonRole.ActionRole) for text in answers
    }
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    return next((text for text, button in buttons.items() if button is clicked), None)
