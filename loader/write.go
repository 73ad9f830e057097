package loader

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
)

// SaveSynthetic writes the file of WriteSynthetic, overwriting. The file appears under its name only when it is
// complete. A cancelled save returns the context's cause and leaves nothing behind.
func SaveSynthetic(ctx context.Context, path, config string, seed uint64, progress func(done, total int64)) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return &Error{File: path, Problem: "is there and is not a regular file", Remedy: "name a file to write"}
	}
	f, err := os.OpenFile(fmt.Sprintf("%s.%d.part", path, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return &Error{File: path, Problem: "cannot create the file", Err: cause(err)}
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := WriteSynthetic(ctx, f, config, seed, progress); err != nil {
		return err
	}
	if err := cmp.Or(f.Sync(), f.Close()); err != nil {
		return &Error{File: path, Problem: "cannot write the file", Err: cause(err)}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return &Error{File: path, Problem: "cannot move the finished file into place", Err: err}
	}
	return nil
}

// writeBlock is the number of values generated at a time: one megabyte of them.
const writeBlock = 1 << 18

// WriteSynthetic writes the safetensors file of a synthetic checkpoint: the same bytes for the same config and seed,
// always. Values are generated on all cores and written in order. progress, if not nil, is called from the calling
// goroutine with the bytes written so far and the size of the file. When ctx ends, its cause is returned.
func WriteSynthetic(ctx context.Context, w io.Writer, config string, seed uint64, progress func(done, total int64)) error {
	s, err := newSynthetic(config, seed)
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(done, total int64) {}
	}
	done, total := int64(0), int64(len(s.header))
	for _, t := range s.tensors {
		total += 4 * int64(t.count)
	}
	write := func(b []byte) error {
		n, err := w.Write(b)
		done += int64(n)
		if err != nil {
			return &Error{File: "synth:" + s.ref, Problem: fmt.Sprintf("cannot write after %d of %d bytes", done, total), Err: err, Remedy: "check the space left on the disk"}
		}
		progress(done, total)
		return nil
	}
	if err := write(s.header); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan []byte, 2*runtime.GOMAXPROCS(0))
	for range cap(free) {
		free <- make([]byte, 4*writeBlock)
	}
	for b := range s.generate(ctx, free) {
		block := <-b
		if err := write(block); err != nil {
			return err
		}
		free <- block[:cap(block)]
	}
	return context.Cause(ctx)
}

// generate returns the blocks of the file after its header, in order, as they become ready. Each is a buffer from free.
func (s *synthetic) generate(ctx context.Context, free <-chan []byte) <-chan chan []byte {
	blocks := make(chan chan []byte, cap(free))
	go func() {
		defer close(blocks)
		for _, t := range s.tensors {
			for i := 0; i < t.count; i += writeBlock {
				var buf []byte
				select {
				case buf = <-free:
				case <-ctx.Done():
					return
				}
				block := make(chan []byte, 1)
				blocks <- block
				go func() { block <- t.read(buf, i, min(writeBlock, t.count-i)) }()
			}
		}
	}()
	return blocks
}
