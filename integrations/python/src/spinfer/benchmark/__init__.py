"""`spinfer-bench-hf`: whole models on a GPU, dense against packed weights of the same values.

Both sides run the same steps with the same caches, captured in CUDA graphs the same way, in one
process and in turns; they differ in their linear layers alone.
"""
