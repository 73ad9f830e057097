//go:build cuda && cgo && linux && (amd64 || arm64)

package native

import (
	"gorgonia.org/cu"

	"vith/cuda"
)

func (d *device) StreamCreate() (cuda.Stream, error) {
	const call = "cuStreamCreate"
	if err := d.enter(call); err != nil {
		return 0, err
	}
	s, err := cu.MakeStream(cu.NonBlocking)
	if err != nil {
		return 0, failed(call, "", err)
	}
	d.made(handle{streamKind, from(s)}, object{})
	return cuda.Stream(from(s)), nil
}

func (d *device) StreamDestroy(s cuda.Stream) error {
	const call = "cuStreamDestroy"
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	d.ended(handle{streamKind, uintptr(s)})
	st := as[cu.Stream](uintptr(s))
	return failed(call, "", st.Destroy())
}

func (d *device) StreamSynchronize(s cuda.Stream) error {
	const call = "cuStreamSynchronize"
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	return failed(call, "", as[cu.Stream](uintptr(s)).Synchronize())
}

func (d *device) StreamWaitEvent(s cuda.Stream, e cuda.Event) error {
	const call = "cuStreamWaitEvent"
	if err := d.enter(call, handle{streamKind, uintptr(s)}, handle{eventKind, uintptr(e)}); err != nil {
		return err
	}
	return failed(call, "", as[cu.Stream](uintptr(s)).Wait(as[cu.Event](uintptr(e)), 0))
}

func (d *device) EventCreate(timing bool) (cuda.Event, error) {
	const call = "cuEventCreate"
	if err := d.enter(call); err != nil {
		return 0, err
	}
	flags := cu.DisableTiming
	if timing {
		flags = cu.DefaultEvent
	}
	e, err := cu.MakeEvent(flags)
	if err != nil {
		return 0, failed(call, "", err)
	}
	d.made(handle{eventKind, from(e)}, object{})
	return cuda.Event(from(e)), nil
}

func (d *device) EventDestroy(e cuda.Event) error {
	const call = "cuEventDestroy"
	if err := d.enter(call, handle{eventKind, uintptr(e)}); err != nil {
		return err
	}
	d.ended(handle{eventKind, uintptr(e)})
	ev := as[cu.Event](uintptr(e))
	return failed(call, "", cu.DestroyEvent(&ev))
}

func (d *device) EventRecord(e cuda.Event, s cuda.Stream) error {
	const call = "cuEventRecord"
	if err := d.enter(call, handle{eventKind, uintptr(e)}, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	return failed(call, "", as[cu.Event](uintptr(e)).Record(as[cu.Stream](uintptr(s))))
}

func (d *device) EventSynchronize(e cuda.Event) error {
	const call = "cuEventSynchronize"
	if err := d.enter(call, handle{eventKind, uintptr(e)}); err != nil {
		return err
	}
	return failed(call, "", as[cu.Event](uintptr(e)).Synchronize())
}

func (d *device) EventElapsedTime(start, end cuda.Event) (float32, error) {
	const call = "cuEventElapsedTime"
	if err := d.enter(call, handle{eventKind, uintptr(start)}, handle{eventKind, uintptr(end)}); err != nil {
		return 0, err
	}
	ms, err := as[cu.Event](uintptr(start)).Elapsed(as[cu.Event](uintptr(end)))
	return float32(ms), failed(call, "", err)
}
