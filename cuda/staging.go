package cuda

import (
	"errors"
)

// stagingSize is the most that a buffer of a staging holds, in bytes, unless one row needs more.
const stagingSize = 2 << 20

// A staging is two page-locked buffers through which a Load copies: while one is copied, the host fills the other.
type staging struct {
	backend *Backend
	buffers [2][]byte
	free    [2]Event // recorded behind the buffer's last copy
	next    int
}

// newStaging returns a staging for total bytes in rows of up to row bytes.
func (b *Backend) newStaging(row, total int) (*staging, error) {
	s := &staging{backend: b}
	for i := range s.buffers {
		var err error
		if s.buffers[i], err = b.device.MemHostAlloc(max(row, min(total, stagingSize))); err == nil {
			s.free[i], err = b.device.EventCreate(false)
		}
		if err != nil {
			return nil, join(err, s.close())
		}
	}
	return s, nil
}

// take returns a buffer that no copy reads any more.
func (s *staging) take() ([]byte, error) {
	return s.buffers[s.next], s.backend.device.EventSynchronize(s.free[s.next])
}

// upload copies the first n bytes of the buffer that take returned, and turns to the other one.
func (s *staging) upload(dst Ptr, n int, stream Stream) error {
	if err := s.backend.device.MemcpyHtoDAsync(dst, s.buffers[s.next][:n], stream); err != nil {
		return err
	}
	err := s.backend.device.EventRecord(s.free[s.next], stream)
	s.next = 1 - s.next
	return err
}

// download copies n bytes to a buffer, which is valid until the next take, and waits for them.
func (s *staging) download(src Ptr, n int, stream Stream) ([]byte, error) {
	b, err := s.take()
	if err != nil {
		return nil, err
	}
	if err := s.backend.device.MemcpyDtoHAsync(b[:n], src, stream); err != nil {
		return nil, err
	}
	return b[:n], s.backend.device.StreamSynchronize(stream)
}

// close frees the buffers. Copies of them must be done.
func (s *staging) close() error {
	var errs []error
	for i, b := range s.buffers {
		if b != nil {
			errs = append(errs, s.backend.device.MemFreeHost(b))
		}
		if s.free[i] != 0 {
			errs = append(errs, s.backend.device.EventDestroy(s.free[i]))
		}
	}
	return errors.Join(errs...)
}
