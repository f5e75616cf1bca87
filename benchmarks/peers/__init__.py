"""What is measured: Gandalf's programs, and those that it is compared with. A module each."""
