"""Evaluate any Scorer: metrics with intervals, benchmarks by their own rules, the Report."""

from plaudit.evaluation.evaluation import evaluate
from plaudit.evaluation.report import Report

__all__ = ["Report", "evaluate"]
