GO ?= go
MODEL ?= laion/CLIP-ViT-H-14-laion2B-s32B-b79K

.PHONY: all vith run test test-race test-portable test-arm64 test-cuda test-amx test-ptxas test-page test-images test-full bench gpu-kit release golden lint fuzz

all: vith

# GPU support is cgo on Linux: the settings say where our own cuda.h lies, and its sum, since Go's cache does not look
# there. No CUDA toolkit is needed to build, no driver to start. Elsewhere the program has no GPU support. Symbols are
# bound lazily, because go-nvml leaves those of a library undefined that it loads later.
TAGS := $(shell $(GO) env GOOS GOARCH CGO_ENABLED | tr '\n' ' ' | grep -Eq '^linux (amd64|arm64) 1 ' && echo cuda)
NATIVE := $(CURDIR)/cuda/native
CUDA := CGO_CFLAGS="-g -O2 -I$(NATIVE)/include -DVITH_CUDA_H_SUM=$(shell sha256sum $(NATIVE)/include/cuda.h | cut -c1-12)" \
	CGO_LDFLAGS="-g -O2 -Wl,-z,lazy -L$(NATIVE)/lib"

# The program. Needs Go and gcc.
vith:
	$(CUDA) $(GO) build -tags "$(TAGS)" -trimpath -buildvcs=auto -o vith ./cmd/vith

# Serve on :7860: the pulled model if there is one, else a synthetic tower of its size.
run: vith
	@if ./vith weights inspect $(MODEL) >/dev/null 2>&1; then model=$(MODEL); else model=synth:vit-h-14/1; fi; \
	echo "make run: serving $$model"; exec ./vith serve --model $$model

# All tests that need no GPU and no browser. Those of bench/gpukit/device are run by the kit, which bench/gpukit tests.
test: lint
	$(GO) test $$($(GO) list ./... | grep -v bench/gpukit/device)

# What runs concurrently, under the race detector.
test-race:
	$(GO) test -race ./server/... ./loader/... ./vit ./vit/tower
	$(GO) test -race -run 'Concurrent|Context|Cache|MemoryIsReserved' ./vit/preprocess/...
	$(GO) test -race -skip '^TestKernels$$' ./kernels/host

# The code paths of other machines: without assembly, and on arm64 as far as it compiles.
test-portable:
	$(GO) test -tags purego ./kernels/host/... ./vit/...
	GOARCH=arm64 $(GO) vet ./...

# The tests of what computes on arm64, emulated by qemu-user: minutes.
QEMU_ARM64 := $(shell command -v qemu-aarch64 || command -v qemu-aarch64-static)
test-arm64:
	@test -n "$(QEMU_ARM64)" || { echo "make test-arm64: needs qemu-aarch64: apt-get install qemu-user-static" >&2; exit 1; }
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -timeout 30m -exec "$(QEMU_ARM64)" ./kernels/tensor ./kernels/host/... ./vit/...

# The vector routines on an Intel CPU with AVX-512 and AMX that Bochs emulates: ten minutes, and some to build Bochs once.
# BOCHS is the folder of its sources; the script says what else it needs.
test-amx:
	@test -n "$(BOCHS)" || { sed -n '2,/^set/s/^# \{0,1\}//p' kernels/host/simd/testdata/amx/run >&2; exit 1; }
	BOCHS="$(BOCHS)" kernels/host/simd/testdata/amx/run -test.v

# The CUDA binding: gorgonia.org/cu and ours, over the emulated driver behind the C entry points. Needs gcc.
test-cuda:
	$(CUDA) $(GO) vet -tags cuda ./cuda/... ./cmd/...
	$(CUDA) $(GO) test -tags cuda ./cuda/native/... ./cmd/vith
	$(CUDA) $(GO) test -tags cuda -race ./cuda/native/...

# The PTX through NVIDIA's assembler, where ptxas and nvdisasm of CUDA 12.4 are in the PATH (.ci/cuda-tools gets them).
test-ptxas:
	$(GO) test -tags ptxas -run 'Ptxas|PTXAS|SASS' ./kernels ./kernels/ptx

# The web page in headless Chromium, which must be installed.
test-page:
	$(GO) test -tags browser -run Browser ./server

# Images in odd encodings, of Debian's packages, against Pillow 9.4, which PYTHON must have (apt-get install python3-pil
# on Debian 12, or pip install pillow==9.4.0). Fetches 230 MB once.
PYTHON ?= python3
IMAGES := build/images
test-images: $(IMAGES).json
	$(GO) test -tags full -timeout 30m -run DebianImages ./vit/preprocess

$(IMAGES).json: $(wildcard vit/preprocess/testdata/debian/*)
	@$(PYTHON) -c 'import PIL; assert PIL.__version__ == "9.4.0"' || { echo "make $@: $(PYTHON) has no Pillow 9.4.0" >&2; exit 1; }
	vit/preprocess/testdata/debian/fetch $(IMAGES)
	$(PYTHON) vit/preprocess/testdata/debian/pillow.py $(IMAGES) > $@.part
	mv $@.part $@

# Everything above that needs neither NVIDIA's assembler nor Bochs, full-size checkpoints, and minutes of fuzzing.
test-full: test test-race test-portable test-arm64 test-cuda test-page $(IMAGES).json
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

# Write generated files again: the assembly of the CPU, and the PTX of the largest cases.
golden:
	$(GO) generate ./...
	$(GO) test ./kernels -run Golden -update

# The benchmarks of the packages, forward passes on the best device, and on the CPU what others take for the same; those
# need Python and bench/peers/requirements.txt, and are left out without.
BENCH_MODEL := build/vit-h-14.safetensors
bench: vith
	$(GO) test -run '^$$' -bench . ./kernels/host/... ./vit/... ./loader
	mkdir -p build
	test -f $(BENCH_MODEL) || ./vith weights synth vit-h-14 1 $(BENCH_MODEL)
	./vith bench model --model $(BENCH_MODEL)
	./vith bench preprocess
	$(PYTHON) bench/peers/cpu.py $(BENCH_MODEL) vit/testdata/images/photos/*420.jpg || test $$? = 69

# What tests and measures vith on a GPU machine, without Go there: copy the folder, run its script. Built on Debian 12 it
# runs with glibc 2.36 and later.
KIT ?= build/gpu-kit
strip := -trimpath -ldflags "-s -w"
gpu-kit:
	rm -rf "$(KIT)"
	mkdir -p "$(KIT)/testdata/images"
	$(CUDA) $(GO) build -tags "$(TAGS)" $(strip) -o "$(KIT)/vith" ./cmd/vith
	$(CUDA) $(GO) build -tags "$(TAGS)" $(strip) -o "$(KIT)/kit" ./bench/gpukit
	$(CUDA) $(GO) test -c -tags "$(TAGS)" $(strip) -o "$(KIT)/device.test" ./bench/gpukit/device
	CGO_ENABLED=0 $(GO) test -c $(strip) -o "$(KIT)/simd.test" ./kernels/host/simd
	cp bench/gpukit/run bench/peers/torch_vit.py bench/peers/cpu.py "$(KIT)"
	cp -r vit/testdata/images/photos "$(KIT)/testdata/images"
	cp -r vit/testdata/embeddings "$(KIT)/testdata"
	@du -sm "$(KIT)"; test $$(du -sm "$(KIT)" | cut -f1) -lt 48 || { echo "the kit is larger than 48 MB" >&2; exit 1; }

release:
	@echo "make $@: not available in this version" >&2; exit 1
