package emu_test

import (
	"runtime"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels/ptx"
)

func TestWrongThread(t *testing.T) {
	b := on(t, emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM90}})
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		_, _, err := b.MemGetInfo()
		done <- err
	}()
	b.fails(<-done, cuda.ErrInvalidContext, "cuMemGetInfo", "device 0")
	other, err := b.driver.Open(1)
	b.must(err)
	b.must(other.SetCurrent())
	_, _, err = b.MemGetInfo()
	b.fails(err, cuda.ErrInvalidContext)
}
