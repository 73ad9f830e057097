#ifndef VITH_DRIVER_H
#define VITH_DRIVER_H

#include <cuda.h>

/* The form that CUDA 11.0 came with. Newer headers give its name to another one. */
CUresult cuGraphInstantiate_v2(CUgraphExec *, CUgraph, CUgraphNode *errors, char *log, size_t size);

/* The context that is current on this thread. */
CUcontext native_current(void);

/* Compiles and loads PTX. log, of size bytes, gets what the compiler says of errors, and always ends. */
CUresult native_load(CUmodule *module, const char *ptx, char *log, unsigned int size);

/* Instantiates a graph, in drivers before CUDA 11.4 too. */
CUresult native_instantiate(CUgraphExec *exec, CUgraph graph);

#endif
