"""The ``admlops`` command: one folder a verb group, one file a verb, each a thin mirror of a library call.

May import everything below it. What a verb imports is loaded when it runs: ``admlops data`` starts without torch.
"""
