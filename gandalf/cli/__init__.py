"""The command `gandalf`: an operator's client and developer's helper.

Its start has to be quick: a module of a command is imported when that command is run, and no module here
imports more at its top than all of its commands need.
"""
