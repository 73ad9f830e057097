#ifndef VITH_SHIM_H
#define VITH_SHIM_H

#include <stddef.h>

/* What stopped shim_load. */
enum { SHIM_LOADED, SHIM_NO_LIBRARY, SHIM_NO_INIT, SHIM_INIT_FAILED };

/* Opens the library at path, calls its cuInit and fills all slots; an entry point that it lacks returns
 * CUDA_ERROR_NOT_FOUND. When something stops it, no slot has changed, message says what, and result is cuInit's. */
int shim_load(const char *path, int *result, char *message, size_t size);

/* Points a slot at a function, or, with none, at one that returns CUDA_ERROR_NOT_FOUND. Returns 0 if there is no such
 * entry point. */
int shim_bind(const char *name, void *function);

/* Gives every slot what it held at the start. */
void shim_unbind(void);

#endif
