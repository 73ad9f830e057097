/* The part of cublasLt's binary interface that is used here, the same in its versions 11, 12 and 13. Names, values and
 * parameters are facts of the library; its documentation is the cuBLAS manual's. */
#ifndef VITH_LT_H
#define VITH_LT_H

#include <stddef.h>
#include <stdint.h>

typedef int lt_status;
typedef struct lt_opaque *lt_object; /* a handle, descriptor, layout or preference */

typedef struct {
	uint64_t data[8];
} lt_algorithm;

typedef struct {
	lt_algorithm algorithm;
	size_t workspace;
	lt_status state;
	float waves;
	int reserved[4];
} lt_heuristic;

/* X(result, name, parameters). Device addresses are integers, so that no Go variable of a pointer type holds one. */
#define LT_FUNCTIONS(X) \
	X(size_t, GetVersion, (void)) \
	X(lt_status, Create, (lt_object *)) \
	X(lt_status, Destroy, (lt_object)) \
	X(lt_status, MatmulDescCreate, (lt_object *, int compute, int scale)) \
	X(lt_status, MatmulDescDestroy, (lt_object)) \
	X(lt_status, MatmulDescSetAttribute, (lt_object, int attribute, const void *, size_t)) \
	X(lt_status, MatrixLayoutCreate, (lt_object *, int type, uint64_t rows, uint64_t columns, int64_t pitch)) \
	X(lt_status, MatrixLayoutDestroy, (lt_object)) \
	X(lt_status, MatmulPreferenceCreate, (lt_object *)) \
	X(lt_status, MatmulPreferenceDestroy, (lt_object)) \
	X(lt_status, MatmulPreferenceSetAttribute, (lt_object, int attribute, const void *, size_t)) \
	X(lt_status, MatmulAlgoGetHeuristic, \
	  (lt_object, lt_object desc, lt_object a, lt_object b, lt_object c, lt_object d, lt_object preference, int max, \
	   lt_heuristic *, int *found)) \
	X(lt_status, Matmul, \
	  (lt_object, lt_object desc, const void *alpha, uint64_t a, lt_object, uint64_t b, lt_object, const void *beta, \
	   uint64_t c, lt_object, uint64_t d, lt_object, const lt_algorithm *, uint64_t workspace, size_t, void *stream))

/* Every operand starts at a multiple of this, in bytes; a workspace at a multiple of 256. */
#define LT_ALIGNMENT 16

/* Values of the library. */
enum {
	LT_R_32F = 0,
	LT_R_16F = 2,
	LT_R_16BF = 14,

	LT_COMPUTE_32F = 68,
	LT_COMPUTE_32F_FAST_TF32 = 77,

	LT_OP_T = 1,

	LT_DESC_TRANSA = 3,
	LT_DESC_EPILOGUE = 7,
	LT_DESC_BIAS_POINTER = 8,

	LT_EPILOGUE_DEFAULT = 1,
	LT_EPILOGUE_BIAS = 4,
	LT_EPILOGUE_GELU = 32,
	LT_EPILOGUE_GELU_BIAS = 36,

	LT_PREF_MAX_WORKSPACE_BYTES = 1,
	LT_PREF_REDUCTION_SCHEME_MASK = 3,
	LT_PREF_MIN_ALIGNMENT_A_BYTES = 5, /* B, C and D follow */

	LT_REDUCTION_SCHEME_COMPUTE_TYPE = 2,

	LT_STATUS_SUCCESS = 0,
	LT_STATUS_NOT_INITIALIZED = 1,
	LT_STATUS_ALLOC_FAILED = 3,
	LT_STATUS_INVALID_VALUE = 7,
	LT_STATUS_ARCH_MISMATCH = 8,
	LT_STATUS_MAPPING_ERROR = 11,
	LT_STATUS_EXECUTION_FAILED = 13,
	LT_STATUS_INTERNAL_ERROR = 14,
	LT_STATUS_NOT_SUPPORTED = 15,
};

/* A product, with the library's values for types and epilogue; sizes and pitches in elements. */
typedef struct {
	uint64_t m, n, k;
	int64_t pitch_x, pitch_c, pitch_y;
	int type, out, compute, epilogue;
} lt_product;

/* What the library wants to be told of a product. */
typedef struct {
	lt_object desc, w, x, c, y;
	int bias;
} lt_plan;

/* Opens a library. Returns 0 and says why in message if it cannot be used. */
int lt_load(const char *path, char *message, size_t size);

/* Puts a function in place of the library's. Returns 0 if there is none of that name. */
int lt_bind(const char *name, void *function);

size_t lt_version(void);
lt_status lt_create(lt_object *handle);
lt_status lt_destroy(lt_object handle);
lt_status lt_plan_create(lt_plan *, const lt_product *);
void lt_plan_destroy(lt_plan *);

/* Fills at most max results, of which *found are there. */
lt_status lt_heuristics(lt_object handle, lt_plan *, size_t workspace, int max, lt_heuristic *, int *found);
lt_status lt_matmul(lt_object handle, lt_plan *, float alpha, float beta, uint64_t x, uint64_t w, uint64_t bias, uint64_t c,
                    uint64_t y, const lt_algorithm *, uint64_t workspace, size_t size, void *stream);

#endif
