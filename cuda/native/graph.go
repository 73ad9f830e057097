//go:build cuda && cgo && linux && (amd64 || arm64)

package native

/*
#include <cuda.h>
#include "driver.h"
*/
import "C"

import (
	"vith/cuda"
)

func (d *device) StreamBeginCapture(s cuda.Stream) error {
	const call = "cuStreamBeginCapture"
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	return refused(call, "", cuda.Status(C.cuStreamBeginCapture(as[C.CUstream](uintptr(s)), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)))
}

func (d *device) StreamEndCapture(s cuda.Stream) (cuda.Graph, error) {
	const call = "cuStreamEndCapture"
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return 0, err
	}
	var g C.CUgraph
	if err := refused(call, "", cuda.Status(C.cuStreamEndCapture(as[C.CUstream](uintptr(s)), &g))); err != nil {
		return 0, err
	}
	d.made(handle{graphKind, from(g)}, object{})
	return cuda.Graph(from(g)), nil
}

func (d *device) GraphDestroy(g cuda.Graph) error {
	const call = "cuGraphDestroy"
	if err := d.enter(call, handle{graphKind, uintptr(g)}); err != nil {
		return err
	}
	d.ended(handle{graphKind, uintptr(g)})
	return refused(call, "", cuda.Status(C.cuGraphDestroy(as[C.CUgraph](uintptr(g)))))
}

func (d *device) GraphInstantiate(g cuda.Graph) (cuda.Exec, error) {
	const call = "cuGraphInstantiate"
	if err := d.enter(call, handle{graphKind, uintptr(g)}); err != nil {
		return 0, err
	}
	var e C.CUgraphExec
	if err := refused(call, "", cuda.Status(C.native_instantiate(&e, as[C.CUgraph](uintptr(g))))); err != nil {
		return 0, err
	}
	d.made(handle{execKind, from(e)}, object{})
	return cuda.Exec(from(e)), nil
}

func (d *device) GraphExecDestroy(e cuda.Exec) error {
	const call = "cuGraphExecDestroy"
	if err := d.enter(call, handle{execKind, uintptr(e)}); err != nil {
		return err
	}
	d.ended(handle{execKind, uintptr(e)})
	return refused(call, "", cuda.Status(C.cuGraphExecDestroy(as[C.CUgraphExec](uintptr(e)))))
}

func (d *device) GraphUpload(e cuda.Exec, s cuda.Stream) error {
	const call = "cuGraphUpload"
	if err := d.enter(call, handle{execKind, uintptr(e)}, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	status := cuda.Status(C.cuGraphUpload(as[C.CUgraphExec](uintptr(e)), as[C.CUstream](uintptr(s))))
	if status == cuda.ErrNotFound { // CUDA 11.0 has no such call: the first launch uploads
		return nil
	}
	return refused(call, "", status)
}

func (d *device) GraphLaunch(e cuda.Exec, s cuda.Stream) error {
	const call = "cuGraphLaunch"
	if err := d.enter(call, handle{execKind, uintptr(e)}, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	return refused(call, "", cuda.Status(C.cuGraphLaunch(as[C.CUgraphExec](uintptr(e)), as[C.CUstream](uintptr(s)))))
}
