//go:build cuda && cgo && linux && (amd64 || arm64)

#include "_cgo_export.h"
#include "table.h"

/* A function whose parameters are not the entry point's does not compile. Go cannot say const, which the warning lets
 * pass. */
#pragma GCC diagnostic error "-Wcast-function-type"

#define F(name) static __typeof__(&name) const driver_##name = (__typeof__(&name))fake_##name;
#include "syms.h"
#undef F

#define X(result, name, parameters) static result (*const blas_##name) parameters = (result(*) parameters)fake_cublasLt##name;
LT_FUNCTIONS(X)
#undef X

static const fake_entry driver[] = {
#define F(name) {#name, (void *)fake_##name},
#include "syms.h"
#undef F
};

static const fake_entry blas[] = {
#define X(result, name, parameters) {"cublasLt" #name, (void *)fake_cublasLt##name},
	LT_FUNCTIONS(X)
#undef X
};

int fake_driver(const fake_entry **entries) {
	*entries = driver;
	return sizeof driver / sizeof driver[0];
}

int fake_blas(const fake_entry **entries) {
	*entries = blas;
	return sizeof blas / sizeof blas[0];
}
