"""From a network as plain data to a file that a runtime runs, and back to typed results.

May import everything below ``engine``. A runtime is imported inside its own backend only, when it is used: the package works
without any of them.
"""
