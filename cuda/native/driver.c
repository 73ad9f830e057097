//go:build cuda && cgo && linux && (amd64 || arm64)

#include "driver.h"

CUcontext native_current(void) {
	CUcontext ctx = 0;
	cuCtxGetCurrent(&ctx);
	return ctx;
}

CUresult native_load(CUmodule *module, const char *ptx, char *log, unsigned int size) {
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)(uintptr_t)(size - 1)};
	log[0] = log[size - 1] = 0;
	return cuModuleLoadDataEx(module, ptx, sizeof options / sizeof options[0], options, values);
}

CUresult native_instantiate(CUgraphExec *exec, CUgraph graph) {
	CUresult result = cuGraphInstantiateWithFlags(exec, graph, 0);
	if (result == CUDA_ERROR_NOT_FOUND)
		result = cuGraphInstantiate_v2(exec, graph, 0, 0, 0);
	return result;
}
