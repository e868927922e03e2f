"""The part of a build that runs inside a worker process: from a source to checked blobs.

request   what a build asks of a worker, and what it answers
steps     simplify, preprocess, rewrite, check, compile, verify: one function each
plan      the steps in order, and what is tried when a check fails
"""

from .ahead import preload, preload_checks, rehearse
from .plan import begin, run
from .request import OnnxFile, Preprocessing, Request, Result, Step
from .steps import OutputTooLarge, explained, parse_source

__all__ = [
    "OnnxFile",
    "OutputTooLarge",
    "Preprocessing",
    "Request",
    "Result",
    "Step",
    "begin",
    "explained",
    "parse_source",
    "preload",
    "preload_checks",
    "rehearse",
    "run",
]
