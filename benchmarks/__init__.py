"""What Gandalf's programs do in a second, beside what others do: see benchmarks/README.md."""
