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
EXTERNAL ?=
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

.PHONY: all train experiments evaluate beyond external report test lint bench clean help
.DEFAULT_GOAL := help

# with ARGS, which they do not know, the experiments beside the study are left to their own targets
all: .venv/ready
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" $(ARGS)
	$(if $(ARGS)$(MODELS),,$(MAKE) --no-print-directory experiments evaluate)
	$(if $(EXTERNAL),$(MAKE) --no-print-directory external)
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" --report $(ARGS)

train: .venv/ready
	$(BIN)/python scripts/train.py $(WHAT) $(OPTIONS) --out "$(OUT)" $(ARGS)

experiments: .venv/ready
	$(if $(MODELS),,$(BIN)/python scripts/train.py --experiments $(SOURCE) $(if $(SIZE),--image-size $(SIZE)) --out "$(OUT)")

evaluate: .venv/ready
	$(BIN)/python scripts/evaluate.py --results "$(OUT)/results"

beyond: .venv/ready
	$(BIN)/python scripts/train.py --all --beyond $(OPTIONS) --out "$(OUT)" --report $(ARGS)

external: .venv/ready
	$(BIN)/python scripts/evaluate.py --data "$(EXTERNAL)" --record "$(subst :,-,$(notdir $(EXTERNAL:/=)))" \
	  --results "$(OUT)/results"

report: .venv/ready
	$(BIN)/python scripts/report.py --results "$(OUT)/results" --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(ARGS)

test: .venv/ready
	$(BIN)/python -m pytest -q tests

lint: .venv/ready
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

bench: .venv/ready
	$(BIN)/python scripts/bench.py $(if $(DATA),--data "$(DATA)") $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

# by `python -m`, since the commands in $(BIN) name the folder that they were installed in
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: PYTHON=$(PYTHON) is no Python 3.11 or later; name one, as make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up .venv: about 5 GB of packages, a minute or two"
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
	@echo "make train     only the training        make report    only the report, from the records of OUT"
	@echo "make experiments   only what stands beside the study: why MLPs die, what the image size does"
	@echo "make evaluate  what can be told without a lung, and what moves the trained models"
	@echo "make beyond    Table 3: what the paper left to others, on top of the study; a GPU does it in make all"
	@echo "make external EXTERNAL=FOLDER   the trained models on labelled films of another hospital"
	@echo "make test      the tests                make lint      format and style, by ruff"
	@echo "make bench     the measured ratios the README quotes"
	@echo "make clean     remove .venv and byte code; records, the report and the image cache stay"
	@echo
	@echo "variables, each may be left out:"
	@echo "  DATA=FOLDER    class folders, tables, a Hub data set id, or phantom          (the paper's set on the Hub)"
	@echo "  POSITIVE=A,B NEGATIVE=C   classes that are pneumonia and normal      (told by their names where they tell)"
	@echo "  LABEL=A IMAGE=B PATIENT=C columns of DATA's table that hold them     (told by their names where they tell)"
	@echo "  SPLIT=patient  new splits, by patient or image; what DATA lacks is made so                  (its own)"
	@echo "  SIZE=96        image size in pixels a side                                   (640; CNNs on a CPU 64)"
	@echo "  MODELS='20 21' only these models                                             (all 35, and the side studies)"
	@echo "  SEEDS=0-9      runs of each model                    (0-4 for Linear and MLP, 0-2 for CNNs and Adam)"
	@echo "  DEVICE=cpu     cpu, cuda or cuda:N                                           (a GPU where there is one)"
	@echo "  OUT=FOLDER     where records and report go                                   (report)"
	@echo "  PYTHON=python3.12  what .venv is made with; make clean first, where it is made      (python3)"
	@echo "  EXTERNAL=FOLDER   labelled films of another hospital, for the report                     (none)"
	@echo "  ARGS='…'       anything else for the script behind the target"
