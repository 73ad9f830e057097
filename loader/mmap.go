package loader

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile maps a regular file for reading. An empty file has no bytes and no mapping.
func mapFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe is refused below, not waited for
	if err != nil {
		return nil, &Error{File: path, Problem: "cannot open the weights", Err: cause(err), Remedy: pullOrSynth}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, &Error{File: path, Problem: "cannot open the weights", Err: cause(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: path, Problem: "is not a regular file", Remedy: "weights are mapped, so they must be in a file"}
	}
	if info.Size() == 0 {
		return nil, nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &Error{File: path, Problem: fmt.Sprintf("cannot map %d bytes", info.Size()), Err: err}
	}
	return data, nil
}

// forget lets go of the pages of some bytes of a mapped file. They stay in the page cache, but no longer count as this
// program's memory. Of other memory this would clear the pages.
func forget(mapped []byte) {
	if len(mapped) == 0 {
		return
	}
	before := int(uintptr(unsafe.Pointer(&mapped[0]))) % os.Getpagesize() // back to the start of the page
	unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&mapped[0]), -before)), before+len(mapped)), unix.MADV_DONTNEED)
}

// errFault is the cause of an Error about a page that cannot be read.
var errFault = errors.New("bus error")

// guarded runs f, which reads a mapped file, and turns the fault of touching a page that the file no longer has (it was
// truncated, or its disk failed) into an error.
func guarded(path string, f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		switch fault := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // what the runtime documents for such faults
			err = &Error{File: path, Problem: "the file was truncated while in use, or its disk fails", Err: errFault,
				Remedy: "restore the file and start again; replace weights by renaming a new file over the old"}
		default:
			panic(fault)
		}
	}()
	return f()
}
