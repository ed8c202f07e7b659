"""Verbs on a data release repository: one file a verb, each a function that returns an outcome (``to_json``, ``to_text``)."""
