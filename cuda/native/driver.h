#ifndef VITH_DRIVER_H
#define VITH_DRIVER_H

#include <cuda.h>

/* The context that is current on this thread. */
CUcontext native_current(void);

/* Compiles and loads PTX. log, of size bytes, gets what the compiler says of errors, and always ends. */
CUresult native_load(CUmodule *module, const char *ptx, char *log, unsigned int size);

/* Instantiates a graph, in drivers before CUDA 11.4 too. */
CUresult native_instantiate(CUgraphExec *exec, CUgraph graph);

#endif
