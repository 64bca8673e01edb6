"""`python -m spinfer.runtimes PACKED DENSE`: what each runtime here does with a packed folder."""
