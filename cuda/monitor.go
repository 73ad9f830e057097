package cuda

// A Monitor reads the state of the machine's GPUs, other programs' share included. Package native/nvml implements it.
// Its methods may be called concurrently.
type Monitor interface {
	// DriverVersion is the release of the driver, as "550.163.01".
	DriverVersion() (string, error)
	// Usage is the state of the GPU or MIG instance with that UUID, which is a DeviceInfo's.
	Usage(uuid string) (Usage, error)
	Close() error
}

// A Usage is a GPU's state at one moment. What the GPU or the driver does not tell is NaN.
type Usage struct {
	Total, Used, Free int64 // memory in bytes; Used includes what the driver keeps for itself
	Processes         []Process
	Utilization       float64 // part of the last sampling period in which a kernel ran, 0 to 1; NaN for a MIG instance
	Power, PowerLimit float64 // watts; of the whole GPU, also for a MIG instance
	Energy            float64 // joules since the driver was loaded; of the whole GPU, also for a MIG instance
}

// A Process computes on a GPU.
type Process struct {
	PID    int   `json:"pid"`          // as the driver's host counts, which a container may not
	Memory int64 `json:"memory_bytes"` // on the device; -1 if the driver does not tell
}
