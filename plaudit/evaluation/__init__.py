"""Evaluate any Scorer: metrics with intervals, benchmarks by their own rules, the Report."""

from plaudit.evaluation.evaluation import evaluate as evaluate
from plaudit.evaluation.report import Report as Report
