"""What keeps the local network from running, told so that its user can act upon it."""


class LocalError(Exception):
    """The local network cannot be started or stopped; the message says why and what to do."""
