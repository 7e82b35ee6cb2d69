# make run builds everything and serves the dashboard with a month of example reports and a survey.
# make test runs every test; SEKIMORI_REQUIRE=all makes a missing peer a failure.

GO       ?= go
UI       := internal/web/ui
DATA     ?= data
LISTEN   ?= 127.0.0.1:8025
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
FUZZTIME ?= 60s

.PHONY: run build ui test judge lint bench fuzz check-ui clean

run: build examples/month
	@test -e $(DATA)/state.sqlite || { bin/sekimori import --data $(DATA) examples/month/reports || test $$? -eq 1; \
	  bin/sekimori survey run examples/month/survey/municipalities.csv --name 2026-09 --retries 0 --zone examples/month/survey/zone --data $(DATA); }
	bin/sekimori serve --data $(DATA) --listen $(LISTEN) --zone examples/month/zone

build: ui
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/sekimori ./cmd/sekimori

# The front end: fetched by npm, bundled by Vite, embedded by go build; never committed.
ui: $(UI)/dist/.vite/manifest.json

UI_SOURCES := $(shell find $(UI)/src -type f 2>/dev/null) $(UI)/package.json $(UI)/vite.config.ts $(UI)/tsconfig.json

$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json
	cd $(UI) && npm ci --no-audit --no-fund
	@touch $@

$(UI)/dist/.vite/manifest.json: $(UI)/node_modules/.package-lock.json $(UI_SOURCES)
	cd $(UI) && npm run build

examples/month: $(wildcard examples/generate/*.go examples/sector/*.go)
	$(GO) run ./examples/generate -out examples/month
	@touch examples/month

# How well the advice tells attackers from breakage, on made-up worlds.
judge:
	$(GO) run ./bench/judge

test: ui
	$(GO) test -timeout 30m ./...

lint: $(UI)/node_modules/.package-lock.json
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd $(UI) && npm run check

bench: build
	$(GO) run ./bench

# Every fuzz target of the module, FUZZTIME each.
fuzz:
	@for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|'); do \
	  targets=$$($(GO) test -list '^Fuzz' $$pkg) || { echo "$$targets"; exit 1; }; \
	  for f in $$(echo "$$targets" | grep '^Fuzz'); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; \
	done

clean:
	rm -rf bin examples/month $(UI)/node_modules
	find $(UI)/dist -mindepth 1 ! -name .keep -delete
	find internal/publish/font -mindepth 1 ! -name .gitignore -delete
