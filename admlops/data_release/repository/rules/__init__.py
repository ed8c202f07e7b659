"""The rules of a data release repository: one module a rule, one function, one code, one row in the guide.

To add a rule, add a module here with a function under ``@rule("E2..")``; nothing lists them.
"""
