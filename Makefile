GO ?= go
MODEL ?= laion/CLIP-ViT-H-14-laion2B-s32B-b79K

.PHONY: all vith run test test-race test-portable test-ptxas test-page test-full bench gpu-kit release golden lint fuzz

all: vith

# The program. Needs Go only.
vith:
	$(GO) build -trimpath -buildvcs=auto -o vith ./cmd/vith

# Serve on :7860: the pulled model if there is one, else a synthetic tower of its size.
run: vith
	@if ./vith weights inspect $(MODEL) >/dev/null 2>&1; then model=$(MODEL); else model=synth:vit-h-14/1; fi; \
	echo "make run: serving $$model"; exec ./vith serve --model $$model

# All tests that need no GPU and no browser.
test: lint
	$(GO) test ./...

# What runs concurrently, under the race detector.
test-race:
	$(GO) test -race ./server/... ./loader/... ./vit/... ./kernels/host

# The code paths of other machines: without assembly, and on arm64 as far as it compiles.
test-portable:
	$(GO) test -tags purego ./kernels/host/... ./vit/...
	GOARCH=arm64 $(GO) vet ./...

# The PTX through NVIDIA's assembler, where ptxas and nvdisasm of CUDA 12.4 are in the PATH (.ci/cuda-tools gets them).
test-ptxas:
	$(GO) test -tags ptxas -run 'Ptxas|PTXAS|SASS' ./kernels ./kernels/ptx

# The web page in headless Chromium, which must be installed.
test-page:
	$(GO) test -tags browser -run Browser ./server

# Everything above, full-size checkpoints, and minutes of fuzzing.
test-full: test test-race test-portable test-page
	$(GO) test -tags full -timeout 30m ./...
	$(MAKE) fuzz FUZZTIME=60s

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	@for p in $$($(GO) list ./...); do \
	for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

# Write generated files again: the assembly of the CPU backend.
golden:
	$(GO) generate ./...

bench:
	$(GO) test -run '^$$' -bench . ./kernels/host/... ./vit/... ./loader

gpu-kit release:
	@echo "make $@: not available in this version" >&2; exit 1
