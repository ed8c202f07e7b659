"""``admlops data ...``: the file ``tag.py`` is the verb ``tag``, its ``command`` calls the library function of the same name.

A new verb is a new file here; nothing lists them.
"""
