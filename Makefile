# Kindred. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
# Where git answers, Go notes the commit in the binary, whatever GOFLAGS say.
BUILDVCS := -buildvcs=$(if $(COMMIT),auto,false)
# The commit's date, as in `kindred version`: the same source gives the same image.
IMAGE_LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(COMMIT) \
  --build-arg CREATED=$(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
FUZZTIME ?= 10s
REVOCATION_ROUNDS ?= 500
TIMING_ROUNDS ?= 2000
ROLLING_DRAIN_DELAY ?= 2s
DOCKER ?= docker
KINDRED_IMAGE ?= kindred:latest
COMPOSE ?= $(shell if $(DOCKER) compose version >/dev/null 2>&1; then echo $(DOCKER) compose; else echo docker-compose; fi)
# What is being tested must not be what an earlier run left in a cache, hence -count=1.
TESTFLAGS ?= -count=1 -timeout 15m

.PHONY: help run build test race test-pgbouncer test-upgrade test-balancer test-proxies test-clients test-watching test-systemd bench bench-growth bench-revocation flood lint fuzz image up down compose-secrets clean guessing timing

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

run: build ## serve on http://localhost:3000 with a PostgreSQL of its own
	@exec bin/kindred dev

build: ## build bin/kindred
	CGO_ENABLED=0 go build -trimpath $(BUILDVCS) -ldflags '$(LDFLAGS)' -o bin/kindred ./cmd/kindred

test: ## all tests, on a real PostgreSQL
	go test $(TESTFLAGS) ./...

race: ## all tests but the mutations under the race detector
	go test -race -skip "^TestMutations" $(TESTFLAGS) ./...

bench: build ## the speed, beside what it is made of: a table and bench.json
	go build -trimpath -o bin/kindred-bench ./cmd/kindred-bench
	@exec bin/kindred-bench $(BENCHFLAGS)

bench-growth: build ## the speed with 10 million tokens, beside that without: a table and bench-growth.json
	go build -trimpath -o bin/kindred-bench ./cmd/kindred-bench
	@exec bin/kindred-bench growth $(GROWTHFLAGS)

test-pgbouncer: ## two replicas behind a PgBouncer of this machine (Debian and Ubuntu: apt-get install pgbouncer)
	go test $(TESTFLAGS) -tags pgbouncer -run '^TestPgBouncer' ./cmd/kindred

test-upgrade: ## from the previous release (testdata/previous-release) to this one, under load: no request fails
	go test $(TESTFLAGS) -v -tags upgrade -run '^TestUpgrade' ./cmd/kindred

test-balancer: ## three replicas restarted five times under load, behind a HAProxy and a PgBouncer of this machine (apt-get install haproxy pgbouncer)
	ROLLING_DRAIN_DELAY=$(ROLLING_DRAIN_DELAY) go test $(TESTFLAGS) -v -tags balancer -run '^TestBalancer' ./cmd/kindred

test-proxies: ## forward authentication by a real nginx and a real Caddy (Debian and Ubuntu: apt-get install nginx-light caddy)
	go test $(TESTFLAGS) -tags proxies -run '^TestProxies' ./internal/httpapi

test-clients: ## client libraries that we did not write, with Node.js 20 or later and npm
	npm ci --prefix testdata/clients --ignore-scripts --no-audit --no-fund
	go test $(TESTFLAGS) -tags clients -run '^TestClients' ./cmd/kindred

test-watching: ## alerts, dashboard and figures, read by promtool (Debian and Ubuntu: apt-get install prometheus)
	go test $(TESTFLAGS) -tags promtool -run '^TestPromtool' ./cmd/kindred

test-systemd: ## the units, read and judged by systemd-analyze (Debian and Ubuntu: apt-get install systemd)
	go test $(TESTFLAGS) -tags systemd -v -run '^TestSystemd' ./cmd/kindred

bench-revocation: ## how soon one replica refuses what another has revoked
	REVOCATION_ROUNDS=$(REVOCATION_ROUNDS) go test -count=1 -timeout 30m -v -run '^TestServe_RevocationReachesTheOtherProcess$$' ./cmd/kindred

flood: ## 1,000 wrong logins at once, and refreshes beside 32 login clients: memory and times
	FLOOD_REFRESHES=200 go test -count=1 -timeout 10m -v -run '^TestServe_FloodOfWrongLogins$$' ./cmd/kindred

guessing: ## how many guesses two processes evaluate, whatever addresses are forged
	go test -count=1 -timeout 10m -v -run '^TestGuessing' ./cmd/kindred

timing: ## how well the time of a refusal tells unknown, wrong and disabled apart: TIMING_ROUNDS (2000) of each
	TIMING_ROUNDS=$(TIMING_ROUNDS) go test -count=1 -timeout 60m -v -run '^TestTiming' ./cmd/kindred

lint: ## format, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags pgbouncer,clients,upgrade,balancer,promtool,systemd ./cmd/kindred
	go vet -tags proxies ./internal/httpapi
	go tool -modfile=tools.mod staticcheck ./...
	go tool -modfile=tools.mod staticcheck -tags pgbouncer,clients,proxies,upgrade,balancer,promtool,systemd ./cmd/kindred ./internal/httpapi

fuzz: ## each fuzz target for FUZZTIME (10s)
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd internal migrations); do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' $$file); do \
	    echo "== $$file $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file); \
	  done; done

image: ## a static binary in an image FROM scratch, named KINDRED_IMAGE
	CGO_ENABLED=0 GOOS=linux go build -trimpath $(BUILDVCS) -ldflags '$(LDFLAGS)' -o bin/image/kindred ./cmd/kindred
	DOCKER_BUILDKIT=0 $(DOCKER) build -q -t $(KINDRED_IMAGE) $(IMAGE_LABELS) -f Dockerfile bin/image

up: compose-secrets image ## PostgreSQL, PgBouncer, three Kindreds and HAProxy in containers, on http://localhost:3000
	$(RUN_COMPOSE) up -d
	@echo "waiting for Kindred"; for _ in $$(seq 300); do curl -fs -o /dev/null http://localhost:3000/readyz && exit 0; sleep 0.2; done; \
	  curl -sS http://localhost:3000/readyz; echo; echo "not ready after a minute: $(COMPOSE) --env-file .kindred/compose.env logs"; exit 1
	@$(RUN_COMPOSE) run --rm -T migrate user show user1 >/dev/null 2>&1 || \
	  $(RUN_COMPOSE) run --rm -T migrate user add user1 --password-stdin <<< 'quiet lantern nine rivers'
	@printf '\nThree Kindreds serve on http://localhost:3000. A first session, to paste:\n\n'; cat deploy/first-session.sh; printf '\nmake down ends them.\n'

down: ## end the containers; their data stays in a volume
	$(RUN_COMPOSE) down

RUN_COMPOSE = KINDRED_IMAGE=$(KINDRED_IMAGE) $(COMPOSE) --env-file .kindred/compose.env

# Each is made once: with other secrets every session would be lost, with other passwords the volume.
compose-secrets:
	@mkdir -p .kindred && chmod 700 .kindred && umask 077 && touch .kindred/compose.env
	@for name in POSTGRES_PASSWORD KINDRED_OWNER_PASSWORD KINDRED_SERVER_PASSWORD JWT_REFRESH_SECRET KEY_ENCRYPTION_KEY; do \
	  grep -q "^$$name=" .kindred/compose.env && continue; \
	  if [ $$name = KEY_ENCRYPTION_KEY ]; then value=$$(head -c 32 /dev/urandom | base64); \
	  else value=$$(head -c 36 /dev/urandom | od -An -tx1 | tr -d ' \n'); fi; \
	  echo "$$name=$$value" >> .kindred/compose.env; done

clean: ## remove what was built; .kindred stays
	rm -rf bin
