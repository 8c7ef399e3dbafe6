# Long runs, by hand. `make test` is the README's test command.
.PHONY: test features verify bench lint

test:
	python -m pytest -n 2

# Which promised features of training have tests, and whether those pass.
features:
	python tests/feature_table.py --workers 2

lint:
	ruff check . && mypy

# Everything, with many more examples, the runs marked `long`, and the test suite once more without the compiler.
verify:
	HYPOTHESIS_PROFILE=verify python -m pytest -n 2 -m "long or not long"
	NUMBA_DISABLE_JIT=1 HYPOTHESIS_PROFILE=ci python -m pytest -n 2 -k "not agree" tests/engine tests/physics tests/test_laws.py
	soen validate --full

bench:
	python benchmarks/engines.py
