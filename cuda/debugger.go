package cuda

// A Debugger is a Device that checks more than hardware can if it is told what an allocation holds. Its methods are queued
// like a launch, and captured like one.
type Debugger interface {
	// Region says that size bytes at p, a multiple of 256, are from here on a buffer of its own, of which nothing was
	// written yet. Once a region is declared in an allocation, only its regions may be touched.
	Region(p Ptr, size int64, name string, s Stream) error
	// Dead says that the region that starts at p is not used any more.
	Dead(p Ptr, s Stream) error
}

// region and dead tell a debugger, if the device is one, what an allocation holds.
func (b *Backend) region(p Ptr, size int64, name string, s Stream) error {
	if b.debugger == nil {
		return nil
	}
	return b.debugger.Region(p, size, name, s)
}

func (b *Backend) dead(p Ptr, s Stream) error {
	if b.debugger == nil {
		return nil
	}
	return b.debugger.Dead(p, s)
}
