//go:build cuda && cgo && linux && (amd64 || arm64)

#define _GNU_SOURCE
#include "shim.h"

#include <cuda.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* What slots hold. They are called with any list of arguments, which both calling conventions leave to the caller. */
static int unbound(void) { return CUDA_ERROR_NOT_INITIALIZED; }
static int absent(void) { return CUDA_ERROR_NOT_FOUND; }
static int shim_cuInit(unsigned int flags) {
	(void)flags;
	return CUDA_SUCCESS;
}
static int shim_cuDeviceGetCount(int *count) {
	*count = 0;
	return CUDA_SUCCESS;
}

/* The slots. They are initialised by the dynamic linker, before any package initialiser. */
#define CU_SYM(name) CU_SYM_START(name, unbound)
#define CU_SYM_START(name, start) HIDDEN void *shim_slot_##name = (void *)start;
#include "syms.h"
#undef CU_SYM_START

/* The trampolines. They are hidden: libraries loaded later must not find the executable's cuInit for the driver's. */
#if defined(__x86_64__)
#define JUMP(name) "\tjmp *shim_slot_" #name "(%rip)\n"
#elif defined(__aarch64__) /* x16 is free between a call and the function's first instruction */
#define JUMP(name) \
	"\tadrp x16, shim_slot_" #name "\n" \
	"\tldr x16, [x16, #:lo12:shim_slot_" #name "]\n" \
	"\tbr x16\n"
#endif
#define CU_SYM_START(name, start) \
	__asm__(".text\n" \
	        "\t.p2align 4\n" \
	        "\t.globl " #name "\n" \
	        "\t.hidden " #name "\n" \
	        "\t.type " #name ", %function\n" \
	        #name ":\n" JUMP(name) \
	        "\t.size " #name ", .-" #name "\n");
#include "syms.h"
#undef CU_SYM_START

static const struct {
	const char *name;
	void **slot;
	void *start;
} entries[] = {
#define CU_SYM_START(name, start) {#name, &shim_slot_##name, (void *)start},
#include "syms.h"
#undef CU_SYM_START
};

enum { ENTRIES = sizeof entries / sizeof entries[0] };

static void put(void **slot, void *function) { __atomic_store_n(slot, function, __ATOMIC_RELEASE); }

int shim_load(const char *path, int *result, char *message, size_t size) {
	*result = CUDA_SUCCESS;
	/* It is never closed: the driver keeps threads and exit handlers. */
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(message, size, "%s", dlerror());
		return SHIM_NO_LIBRARY;
	}
	CUresult (*init)(unsigned int) = (CUresult (*)(unsigned int))dlsym(library, "cuInit");
	if (!init) {
		snprintf(message, size, "%s has no cuInit", path);
		return SHIM_NO_INIT;
	}
	*result = init(0);
	if (*result != CUDA_SUCCESS) {
		CUresult (*describe)(CUresult, const char **) = (CUresult (*)(CUresult, const char **))dlsym(library, "cuGetErrorName");
		const char *name;
		if (!describe || describe((CUresult)*result, &name) != CUDA_SUCCESS)
			name = "cuInit failed";
		snprintf(message, size, "%s", name);
		return SHIM_INIT_FAILED;
	}
	for (int i = 0; i < ENTRIES; i++) {
		void *function = dlsym(library, entries[i].name);
		put(entries[i].slot, function ? function : (void *)absent);
	}
	return SHIM_LOADED;
}

int shim_bind(const char *name, void *function) {
	for (int i = 0; i < ENTRIES; i++)
		if (strcmp(entries[i].name, name) == 0) {
			put(entries[i].slot, function ? function : (void *)absent);
			return 1;
		}
	return 0;
}

void shim_unbind(void) {
	for (int i = 0; i < ENTRIES; i++)
		put(entries[i].slot, entries[i].start);
}
