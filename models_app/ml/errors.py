"""What can go wrong with models, worded for the person who asked."""

from __future__ import annotations


class MLError(Exception):
    """Base of all of them. The message says what happened and what to do; the user sees it as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnsupportedModel(MLError):
    """The architecture, or what was asked of it, is not one that we can train and serve."""


class UnsafeModel(MLError):
    """Loading it would run code from the model's author: pickle weights or remote code."""


class ModelUnavailable(MLError):
    """It could not be found or fetched."""


class PromptTooLong(MLError):
    """The prompt without the article already fills the model's input."""


class NotEnoughData(MLError):
    """Too few usable examples to train on or to validate with."""


class OutOfDisk(MLError):
    """No room for what has to be written; what was there before is untouched."""


class TrainingFailed(MLError):
    """The run broke off by itself: the loss stopped being a number, or memory ran out."""


class TrainingCancelled(MLError):
    """`should_stop` said so. The last checkpoint stays, so the run can be resumed."""
