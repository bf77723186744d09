# make sweep: set up, then search over ensembles on real MNIST digits.   make test: set up, then the tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install sweep test test-all test-hpc lint docs bench clean

install: $(STAMP)

# torch first and alone: pip then takes the wheels that constraints.txt names without looking further.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=26" -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

sweep: install
	$(BIN)/raybayes sweep ensembles --trials 10 --sampler tpe --scheduler asha:grace_period=4

# The groups that start Ray come first (tests/conftest.py), and stay first: xdist would put the largest group first.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

test: install
	$(PYTEST)

# The slow tests too, which repeat in large what the others prove in small.
test-all: install
	$(PYTEST) -m "not hpc"

# Real Slurm and ssh on three hosts made of namespaces: needs root on Debian, and installs what it needs there.
HPC_PACKAGES := slurm-wlm munge openssh-server openssh-client iproute2 rsync procps util-linux

test-hpc: install
	dpkg -s $(HPC_PACKAGES) > /dev/null 2>&1 || { apt-get -q update && \
		DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $(HPC_PACKAGES); }
	$(BIN)/python -m pytest tests/hpc -m hpc

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

# site/index.html, strictly: a dead link, a page that the menu lacks or a docstring that names no parameter is an error.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist site
