"""Scalar kernels, one idea a file: plain functions that Numba compiles and Python calls."""
