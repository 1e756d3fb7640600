# make demo: a picture from a prompt, on a fresh machine.  make test: every test this machine can run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROMPT ?= anime girl with magical powers
TORCH ?= torch==2.13.0
# The newest frontend that is tested, beside the one of the ComfyUI found here.
FRONTEND ?= comfyui-frontend-package==1.58.1
PYTEST_ARGS ?=

.PHONY: demo test lint clients clean

demo: $(VENV)/standalone
	$(BIN)/python -m intelligence generate "$(PROMPT)" --base-model embedded --seed 0 --out demo/image.png

test: lint $(VENV)/comfyui $(VENV)/frontend $(VENV)/clients/done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.tools.type_check

$(VENV)/torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH)
	touch $@

$(VENV)/standalone: $(VENV)/torch pyproject.toml
	$(BIN)/pip install --quiet $(TORCH) --editable ".[standalone]"
	touch $@

$(VENV)/test: $(VENV)/standalone
	$(BIN)/pip install --quiet $(TORCH) --editable ".[standalone,quantization,hubs,ollama,test]"
	$(BIN)/pip install --quiet --no-deps "sd-prompt-reader>=1.3.5"  # its reader needs none; its window pins an old Pillow
	touch $@

# What the ComfyUI found on this machine needs, where it has no environment of its own.
$(VENV)/comfyui: $(VENV)/test
	$(BIN)/python -m tests.comfyui.requirements > $(VENV)/comfyui.txt
	grep torchvision $(VENV)/comfyui.txt | xargs -r $(BIN)/pip install --quiet --no-deps
	grep -v torchvision $(VENV)/comfyui.txt > $(VENV)/comfyui-rest.txt || true
	$(BIN)/pip install --quiet $(TORCH) --requirement $(VENV)/comfyui-rest.txt
	touch $@

$(VENV)/frontend: | $(VENV)/test
	$(BIN)/pip install --quiet --no-deps --target $@ $(FRONTEND)

# Programs of others that drive ComfyUI, in an environment of their own: those in Python with the tests, npm's by hand.
clients: $(VENV)/clients/js/done

$(VENV)/clients/done: | $(VENV)/torch
	$(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/pip install --quiet "comfy-cli>=1.23" comfy-api-simplified "comfy-script[client]" dynaconf networkx tqdm wrapt comfy-test
	touch $@

$(VENV)/clients/js/done: $(VENV)/clients/done
	npm install --silent --no-audit --no-fund --prefix $(VENV)/clients/js @saintno/comfyui-sdk @stable-canvas/comfyui-client
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
