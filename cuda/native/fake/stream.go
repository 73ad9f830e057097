//go:build cuda && cgo && linux && (amd64 || arm64)

package fake

/*
#include "table.h"
*/
import "C"

import (
	"unsafe"

	"vith/cuda"
)

//export fake_cuStreamCreate
func fake_cuStreamCreate(handle *C.CUstream, flags C.uint) C.CUresult {
	if flags != C.CU_STREAM_NON_BLOCKING {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	return creates((*unsafe.Pointer)(unsafe.Pointer(handle)), cuda.Device.StreamCreate)
}

//export fake_cuStreamDestroy_v2
func fake_cuStreamDestroy_v2(h C.CUstream) C.CUresult {
	return destroys(unsafe.Pointer(h), cuda.Device.StreamDestroy)
}

//export fake_cuStreamSynchronize
func fake_cuStreamSynchronize(h C.CUstream) C.CUresult {
	return with(unsafe.Pointer(h), cuda.Device.StreamSynchronize)
}

//export fake_cuStreamWaitEvent
func fake_cuStreamWaitEvent(h C.CUstream, e C.CUevent, flags C.uint) C.CUresult {
	return with2(unsafe.Pointer(h), unsafe.Pointer(e), cuda.Device.StreamWaitEvent)
}

//export fake_cuEventCreate
func fake_cuEventCreate(handle *C.CUevent, flags C.uint) C.CUresult {
	return creates((*unsafe.Pointer)(unsafe.Pointer(handle)), func(d cuda.Device) (cuda.Event, error) {
		return d.EventCreate(flags&C.CU_EVENT_DISABLE_TIMING == 0)
	})
}

//export fake_cuEventDestroy_v2
func fake_cuEventDestroy_v2(e C.CUevent) C.CUresult {
	return destroys(unsafe.Pointer(e), cuda.Device.EventDestroy)
}

//export fake_cuEventRecord
func fake_cuEventRecord(e C.CUevent, h C.CUstream) C.CUresult {
	return with2(unsafe.Pointer(e), unsafe.Pointer(h), cuda.Device.EventRecord)
}

//export fake_cuEventSynchronize
func fake_cuEventSynchronize(e C.CUevent) C.CUresult {
	return with(unsafe.Pointer(e), cuda.Device.EventSynchronize)
}

//export fake_cuEventElapsedTime
func fake_cuEventElapsedTime(ms *C.float, start, end C.CUevent) C.CUresult {
	return with2(unsafe.Pointer(start), unsafe.Pointer(end), func(d cuda.Device, s, e cuda.Event) error {
		t, err := d.EventElapsedTime(s, e)
		*ms = C.float(t)
		return err
	})
}

//export fake_cuStreamBeginCapture_v2
func fake_cuStreamBeginCapture_v2(h C.CUstream, mode C.CUstreamCaptureMode) C.CUresult {
	if mode != C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	return with(unsafe.Pointer(h), cuda.Device.StreamBeginCapture)
}

//export fake_cuStreamEndCapture
func fake_cuStreamEndCapture(h C.CUstream, handle *C.CUgraph) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, s cuda.Stream) error {
		g, err := d.StreamEndCapture(s)
		if err == nil {
			*handle = C.CUgraph(installed.add(g))
		}
		return err
	})
}

//export fake_cuGraphDestroy
func fake_cuGraphDestroy(g C.CUgraph) C.CUresult {
	return destroys(unsafe.Pointer(g), cuda.Device.GraphDestroy)
}

//export fake_cuGraphInstantiateWithFlags
func fake_cuGraphInstantiateWithFlags(handle *C.CUgraphExec, g C.CUgraph, flags C.ulonglong) C.CUresult {
	return with(unsafe.Pointer(g), func(d cuda.Device, g cuda.Graph) error {
		e, err := d.GraphInstantiate(g)
		if err == nil {
			*handle = C.CUgraphExec(installed.add(e))
		}
		return err
	})
}

//export fake_cuGraphInstantiate_v2
func fake_cuGraphInstantiate_v2(handle *C.CUgraphExec, g C.CUgraph, node *C.CUgraphNode, log *C.char, size C.size_t) C.CUresult {
	return fake_cuGraphInstantiateWithFlags(handle, g, 0)
}

//export fake_cuGraphExecDestroy
func fake_cuGraphExecDestroy(e C.CUgraphExec) C.CUresult {
	return destroys(unsafe.Pointer(e), cuda.Device.GraphExecDestroy)
}

//export fake_cuGraphUpload
func fake_cuGraphUpload(e C.CUgraphExec, h C.CUstream) C.CUresult {
	return with2(unsafe.Pointer(e), unsafe.Pointer(h), cuda.Device.GraphUpload)
}

//export fake_cuGraphLaunch
func fake_cuGraphLaunch(e C.CUgraphExec, h C.CUstream) C.CUresult {
	return with2(unsafe.Pointer(e), unsafe.Pointer(h), cuda.Device.GraphLaunch)
}
