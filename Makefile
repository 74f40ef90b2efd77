# Two commands: `make lab` opens the workbench, `make test` runs the whole suite. Both set everything up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOK ?= notebooks/00_workbench.ipynb
ARGS ?=
TESTARGS ?=
# Keeps Jupyter's settings, kernels and runtime files inside the checkout: nothing is registered globally.
JUPYTER_ENV := JUPYTER_CONFIG_DIR=$(CURDIR)/$(VENV)/jupyter/config JUPYTER_DATA_DIR=$(CURDIR)/$(VENV)/jupyter/data \
	JUPYTER_RUNTIME_DIR=$(CURDIR)/$(VENV)/jupyter/runtime IPYTHONDIR=$(CURDIR)/$(VENV)/jupyter/ipython

.PHONY: lab present test lock clean

lab: $(VENV)/lab.stamp
	$(JUPYTER_ENV) $(BIN)/jupyter lab $(NOTEBOOK) --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=$(CURDIR) --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ARGS)

# The template is Voila's own without what it asks of a network, and with a plain list of the notebooks.
present: $(VENV)/lab.stamp
	$(JUPYTER_ENV) JUPYTER_PATH=$(CURDIR)/workbench/views/jupyter $(BIN)/voila notebooks --Voila.ip=127.0.0.1 --template=workbench --classic-tree --theme=light $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(TESTARGS)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# The lock pins every package, so two machines run the same code; the stamps make the second call quick. The copied
# configuration, inside the environment only, makes an exported notebook prefer a view's self-contained HTML to its widget, and
# keeps JupyterLab from asking about news over the dashboard.
$(VENV)/lab.stamp: pyproject.toml requirements.lock notebooks/jupyter_nbconvert_config.json notebooks/jupyterlab_overrides.json | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint requirements.lock --editable '.[torch,openvino,dask]'
	mkdir -p $(VENV)/etc/jupyter
	for tool in nbconvert server; do cp notebooks/jupyter_nbconvert_config.json $(VENV)/etc/jupyter/jupyter_$${tool}_config.json; done
	mkdir -p $(VENV)/share/jupyter/lab/settings && cp notebooks/jupyterlab_overrides.json $(VENV)/share/jupyter/lab/settings/overrides.json
	touch $@

$(VENV)/test.stamp: $(VENV)/lab.stamp pyproject.toml requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint requirements.lock --editable '.[all]'
	touch $@

# Resolves from pyproject.toml in an empty environment and writes the exact versions.
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --disable-pip-version-check --quiet 'torch==2.13.0' --editable '.[all]'
	(echo '# Written by `make lock`; exact versions for `make lab` and `make test`.'; \
	 $(VENV)-lock/bin/python -m pip freeze --exclude-editable | sed -e 's/ @ .*//' -e 's/+cpu$$//') > requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache tests/output
