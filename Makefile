# One command each; `make help` lists them.
PYTHON ?= python3
DATA   ?=
POSITIVE ?=
NEGATIVE ?=
LABEL  ?=
IMAGE  ?=
PATIENT ?=
SPLIT  ?=
SIZE   ?=
MODELS ?=
SEEDS  ?=
DEVICE ?=
OUT    ?= report
EXTERNAL ?= films:elsewhere
ARGS   ?=

# a variable that is not one of these is a typing error
KNOWN   := PYTHON DATA POSITIVE NEGATIVE LABEL IMAGE PATIENT SPLIT SIZE MODELS SEEDS DEVICE OUT EXTERNAL ARGS
UNKNOWN := $(filter-out $(KNOWN),$(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $v)),$v)))
ifneq ($(UNKNOWN),)
$(error there is no variable $(UNKNOWN); there are $(KNOWN), and make help explains them)
endif

BIN := .venv/bin
WHAT = $(if $(MODELS),--model $(MODELS),--all)
# an option with its value in single quotes, whatever that holds
option = $(if $($(1)),--$(2)='$(subst ','\'',$($(1)))')
SOURCE = $(call option,DATA,data) $(call option,POSITIVE,positive) $(call option,NEGATIVE,negative) \
         $(call option,LABEL,label) $(call option,IMAGE,image) $(call option,PATIENT,patient) \
         $(if $(SPLIT),--split "$(SPLIT)")
OPTIONS = $(SOURCE) $(if $(SIZE),--image-size $(SIZE)) $(if $(SEEDS),--seeds $(SEEDS)) \
          $(if $(DEVICE),--device $(DEVICE))

# records of phantoms lie apart
RESULTS = $(OUT)$(if $(filter phantom phantom:%,$(DATA)),/phantom)/results

.PHONY: all train evaluate beyond report test test-all lint bench clean help
.DEFAULT_GOAL := help

# a first report when the models that train in moments are done, another when each CNN has one run;
# with ARGS or MODELS what stands beside the study is left out
all: .venv/ready
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" --report filling $(ARGS)
	$(if $(ARGS)$(MODELS),,$(EXPERIMENTS))
	$(if $(ARGS)$(MODELS),,$(MAKE) --no-print-directory evaluate)
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" --report $(ARGS)

train: .venv/ready
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" $(ARGS)
	$(if $(ARGS)$(MODELS),,$(EXPERIMENTS))

EXPERIMENTS = $(BIN)/python scripts/train.py --experiments $(SOURCE) $(if $(SIZE),--image-size $(SIZE)) \
              $(if $(DEVICE),--device $(DEVICE)) --out "$(OUT)"

evaluate: .venv/ready
	$(BIN)/python scripts/evaluate.py --results "$(RESULTS)"
	$(if $(EXTERNAL),$(BIN)/python scripts/evaluate.py --data "$(EXTERNAL)" --record "$(subst :,-,$(notdir $(EXTERNAL:/=)))" \
	  --results "$(RESULTS)")

beyond: .venv/ready
	$(BIN)/python scripts/train.py --all --beyond $(OPTIONS) --out "$(OUT)" --report $(ARGS)

report: .venv/ready
	$(BIN)/python scripts/report.py --results "$(RESULTS)" --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(ARGS)

# two processes side by side, see tests/conftest.py
test: .venv/ready
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" tests

test-all: .venv/ready
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

lint: .venv/ready
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

bench: .venv/ready
	$(BIN)/python scripts/bench.py $(if $(DATA),--data "$(DATA)") $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

# by `python -m`, since the commands in $(BIN) name the folder that they were installed in
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: PYTHON=$(PYTHON) is no Python 3.11 or later; name one, as make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up .venv: about 6 GB of packages, a minute or two"
	@[ "`$(BIN)/python -V 2>&1`" = "`$(PYTHON) -V 2>&1`" ] || rm -rf .venv
	$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt \
	  || { echo "error: the packages cannot be installed; the README says for which systems they are" >&2; exit 2; }
	@touch $@

clean:
	rm -rf .venv .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo "make all       train what is not trained yet, then write the report (sets up .venv first)"
	@echo "make train     only the training       make report    only the report, from the records of OUT"
	@echo "make evaluate  baselines, changed films, and the films of EXTERNAL"
	@echo "make beyond    the study and Table 3: what the paper left out; with a GPU make all does the same"
	@echo "make test      the tests, in minutes    make test-all  the slow ones too, as CI does"
	@echo "make lint      format and style, by ruff"
	@echo "make bench     how fast reading and training are here"
	@echo "make clean     remove .venv and byte code; records, the report and the image cache stay"
	@echo
	@echo "variables, each may be left out:"
	@echo "  DATA=FOLDER    class folders, tables, a Hub data set id, or phantom          (the paper's set on the Hub)"
	@echo "  POSITIVE=A,B NEGATIVE=C   classes that are pneumonia and normal               (told by their names)"
	@echo "  LABEL=A IMAGE=B PATIENT=C columns of DATA's table that hold them              (told by their names)"
	@echo "  SPLIT=patient  new splits, by patient or image; splits that DATA lacks are made so          (its own)"
	@echo "  SIZE=96        image size in pixels a side                                   (640; CNNs on a CPU 64)"
	@echo "  MODELS='20 21' only these models                                             (all 35, and the side studies)"
	@echo "  SEEDS=0-9      runs of each model                    (0-4 for Linear, 0-19 or more for MLPs, else 0-2)"
	@echo "  DEVICE=cpu     cpu, cuda or cuda:N                                           (a GPU where there is one)"
	@echo "  OUT=FOLDER     where records and report go                                   (report)"
	@echo "  PYTHON=python3.12  what .venv is made with; make clean first, where it is made      (python3)"
	@echo "  EXTERNAL=FOLDER   labelled films of another hospital, for the report   (those that come with the project)"
	@echo "  ARGS='…'       anything else for the script behind the target"
