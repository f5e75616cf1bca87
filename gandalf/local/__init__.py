"""The local network of `make run`: all programs on this machine, under supervisord in the background.

    python -m gandalf.local start
    python -m gandalf.local stop

It runs the files in conf/ as they are, not copies: what an operator edits there is what runs. What a local
network needs beside, files under var/ and addresses that agree, it gets by environment variables, the way
any key of a configuration can be overridden (`plan`).

Each step of a start finds what is done already and does the rest, so a start that was killed anywhere is
finished by the next.
"""
