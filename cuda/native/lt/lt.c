//go:build cuda && cgo && linux && (amd64 || arm64)

#define _GNU_SOURCE
#include "lt.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static struct {
#define X(result, name, parameters) result(*name) parameters;
	LT_FUNCTIONS(X)
#undef X
} lt;

int lt_load(const char *path, char *message, size_t size) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(message, size, "%s", dlerror());
		return 0;
	}
	__typeof__(lt) found;
#define X(result, name, parameters) \
	found.name = (result(*) parameters)dlsym(library, "cublasLt" #name); \
	if (!found.name) { \
		snprintf(message, size, "%s has no cublasLt" #name, path); \
		dlclose(library); \
		return 0; \
	}
	LT_FUNCTIONS(X)
#undef X
	lt = found;
	return 1;
}

int lt_bind(const char *name, void *function) {
#define X(result, function_name, parameters) \
	if (strcmp(name, "cublasLt" #function_name) == 0) { \
		lt.function_name = (result(*) parameters)function; \
		return 1; \
	}
	LT_FUNCTIONS(X)
#undef X
	return 0;
}

size_t lt_version(void) { return lt.GetVersion(); }
lt_status lt_create(lt_object *handle) { return lt.Create(handle); }
lt_status lt_destroy(lt_object handle) { return lt.Destroy(handle); }

/* Leaves a function with the status of a call that failed. */
#define TRY(call) \
	do { \
		lt_status status = (call); \
		if (status != LT_STATUS_SUCCESS) \
			return status; \
	} while (0)

static lt_status describe(lt_plan *plan, const lt_product *p) {
	int transposed = LT_OP_T, epilogue = p->epilogue;
	TRY(lt.MatmulDescCreate(&plan->desc, p->compute, LT_R_32F));
	TRY(lt.MatmulDescSetAttribute(plan->desc, LT_DESC_TRANSA, &transposed, sizeof transposed));
	TRY(lt.MatmulDescSetAttribute(plan->desc, LT_DESC_EPILOGUE, &epilogue, sizeof epilogue));
	TRY(lt.MatrixLayoutCreate(&plan->w, p->type, p->k, p->n, (int64_t)p->k));
	TRY(lt.MatrixLayoutCreate(&plan->x, p->type, p->k, p->m, p->pitch_x));
	TRY(lt.MatrixLayoutCreate(&plan->c, p->out, p->n, p->m, p->pitch_c));
	return lt.MatrixLayoutCreate(&plan->y, p->out, p->n, p->m, p->pitch_y);
}

lt_status lt_plan_create(lt_plan *plan, const lt_product *p) {
	memset(plan, 0, sizeof *plan);
	plan->bias = (p->epilogue & LT_EPILOGUE_BIAS) != 0;
	lt_status status = describe(plan, p);
	if (status != LT_STATUS_SUCCESS)
		lt_plan_destroy(plan);
	return status;
}

void lt_plan_destroy(lt_plan *plan) {
	if (plan->desc)
		lt.MatmulDescDestroy(plan->desc);
	lt_object layouts[] = {plan->w, plan->x, plan->c, plan->y};
	for (int i = 0; i < 4; i++)
		if (layouts[i])
			lt.MatrixLayoutDestroy(layouts[i]);
	memset(plan, 0, sizeof *plan);
}

static lt_status set_bias(lt_plan *plan, uint64_t bias) {
	if (!plan->bias)
		return LT_STATUS_SUCCESS;
	return lt.MatmulDescSetAttribute(plan->desc, LT_DESC_BIAS_POINTER, &bias, sizeof bias);
}

static lt_status prefer(lt_object preference, uint64_t workspace) {
	/* Reducing in the output, or through a workspace of its type, rounds in that type. */
	uint32_t reduction = LT_REDUCTION_SCHEME_COMPUTE_TYPE, alignment = LT_ALIGNMENT;
	TRY(lt.MatmulPreferenceSetAttribute(preference, LT_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
	TRY(lt.MatmulPreferenceSetAttribute(preference, LT_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction));
	for (int operand = 0; operand < 4; operand++)
		TRY(lt.MatmulPreferenceSetAttribute(preference, LT_PREF_MIN_ALIGNMENT_A_BYTES + operand, &alignment, sizeof alignment));
	return LT_STATUS_SUCCESS;
}

lt_status lt_heuristics(lt_object handle, lt_plan *plan, size_t workspace, int max, lt_heuristic *results, int *found) {
	lt_object preference = 0;
	*found = 0;
	TRY(set_bias(plan, LT_ALIGNMENT)); /* only its alignment counts */
	TRY(lt.MatmulPreferenceCreate(&preference));
	lt_status status = prefer(preference, workspace);
	if (status == LT_STATUS_SUCCESS)
		status = lt.MatmulAlgoGetHeuristic(handle, plan->desc, plan->w, plan->x, plan->c, plan->y, preference, max, results, found);
	lt.MatmulPreferenceDestroy(preference);
	return status;
}

lt_status lt_matmul(lt_object handle, lt_plan *plan, float alpha, float beta, uint64_t x, uint64_t w, uint64_t bias, uint64_t c,
                    uint64_t y, const lt_algorithm *algorithm, uint64_t workspace, size_t size, void *stream) {
	TRY(set_bias(plan, bias));
	return lt.Matmul(handle, plan->desc, &alpha, w, plan->w, x, plan->x, &beta, c, plan->c, y, plan->y, algorithm, workspace, size, stream);
}
