"""Keeps what workers measured, answers from it or asks for more, and sets from where on a number is good."""

from accsite.apps.evaluation.services.asking import ask, ask_all
from accsite.apps.evaluation.services.recording import forget, record
from accsite.apps.evaluation.services.thresholds import set_threshold

__all__ = ["ask", "ask_all", "forget", "record", "set_threshold"]
