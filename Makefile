# The two commands of this project; both set everything up by themselves.
.PHONY: demo test
READY := .venv/.ready

demo: $(READY)  ## open the sample slide, analyse it, ask a question
	.venv/bin/napari-hwsi demo

test: $(READY)  ## style, types and all tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	bash scripts/setup.sh
