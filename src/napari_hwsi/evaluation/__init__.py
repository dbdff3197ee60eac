"""Benchmarks that cannot be fooled: any answerer, beside what blind guessing reaches."""
