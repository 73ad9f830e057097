package cuda

import "vith/kernels"

// memory is an allocation on the device.
type memory struct {
	at   Ptr
	size int64
}

func (b *Backend) alloc(size int64) (memory, error) {
	if size == 0 {
		return memory{}, nil
	}
	at, err := b.device.MemAlloc(size)
	if err != nil {
		return memory{}, err
	}
	return memory{at, size}, nil
}

func (b *Backend) free(m memory) error {
	if m.size == 0 {
		return nil
	}
	return b.device.MemFree(m.at)
}

// held is what the backend has allocated on the device, in bytes.
func (b *Backend) held() int64 {
	n := b.reserved().total() + b.workspace.size
	for _, w := range b.blocks {
		n += w.size
	}
	return n
}

// fits refuses a Load that needs more than is free.
func (b *Backend) fits(weights int64, r reservation) error {
	free, total, err := b.device.MemGetInfo()
	if err != nil {
		return err
	}
	if limit := b.options.Memory; limit > 0 {
		free, total = min(free, limit-b.held()), min(total, limit)
	}
	if arena := r.total() - b.reserved().total(); weights+arena > free {
		return &MemoryError{Device: b.info.Name, Weights: weights, Arena: arena, Free: free, Total: total}
	}
	return nil
}

// align rounds a size up to kernels.Align.
func align(n int) int { return (n + kernels.Align - 1) / kernels.Align * kernels.Align }
