package open

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"vith/cuda"
	"vith/kernels"
)

// GPUs are a driver with what belongs to it.
type GPUs struct {
	Driver  cuda.Driver
	Blas    func(cuda.Device) (cuda.Blas, error) // opens cublasLt
	Monitor cuda.Monitor                         // tells how they are used; nil: nothing does

	NoMonitor error // why there is no monitor
}

// Machine finds the machine's GPUs. Its error says what is missing and what to do. Tests put emulated ones in its place.
var Machine = openGPUs

// A gpu is an open GPU.
type gpu struct {
	*GPUs
	info   cuda.DeviceInfo
	driver string // release of the driver; "": not known
	log    *slog.Logger

	before  int64 // bytes in use on it before it was opened
	context int64 // bytes that the driver took for this process since, if nobody else came or went

	mu     sync.Mutex
	usage  cuda.Usage // the last that the monitor told
	told   bool       // it ever did
	silent bool       // it did not the last time
}

// gpus opens the GPUs that o names. Where o leaves the choice, those that cannot be used are left out.
func (o Options) gpus() ([]*device, error) {
	machine, err := Machine()
	if err != nil {
		return nil, fmt.Errorf("%w; --device cpu does without", err)
	}
	infos, err := machine.Driver.Devices()
	if err != nil {
		return nil, err
	}
	if infos, err = o.pick(infos); err != nil {
		return nil, err
	}
	for _, info := range infos {
		if o.Deterministic && info.Name != infos[0].Name {
			return nil, fmt.Errorf("--deterministic: %s and %s give an image different bits: name GPUs of one kind", describe(infos[0]), describe(info))
		}
	}
	if machine.Monitor == nil {
		o.Log.Warn("how the GPUs are used, by others too, is not known", "reason", machine.NoMonitor)
	}
	found := make([]attempt, len(infos))
	var opening sync.WaitGroup
	for i, info := range infos {
		opening.Go(func() {
			found[i].name = describe(info)
			found[i].device, found[i].err = o.gpu(machine, info)
		})
	}
	opening.Wait()
	return o.usable(found)
}

// gpu opens a GPU, if it can do what o asks of it.
func (o Options) gpu(machine *GPUs, info cuda.DeviceInfo) (*device, error) {
	precision, err := o.choose(describe(info), "fp16", gpuPrecisions(info.Capability))
	if err != nil {
		return nil, err
	}
	g := &gpu{GPUs: machine, info: info, log: o.Log}
	options := o.cuda(precision)
	options.Choices = o.choices
	d, err := g.open("", precision, options)
	if err == nil {
		d.timed = true
	}
	return d, err
}

// open starts the backend, on no more memory than is free.
func (g *gpu) open(name, precision string, o cuda.Options) (*device, error) {
	if u, ok := g.read(); ok {
		g.before = u.Used
		if o.Memory == 0 || u.Free < o.Memory {
			o.Memory = u.Free
		}
		g.driver, _ = g.Monitor.DriverVersion() // what it does not tell is not known
	}
	o.Name, o.Blas = name, g.Blas
	backend, err := cuda.Open(g.Driver, g.info.Ordinal, o)
	if noBlas(err) && !o.TF32 {
		g.log.Warn("cublasLt is not found; products run on vith's own kernels, which are slower", "reason", err)
		o.Blas = nil
		backend, err = cuda.Open(g.Driver, g.info.Ordinal, o)
	}
	if err != nil {
		return nil, err
	}
	g.info = backend.Info()
	return &device{Backend: backend, precision: precision, gpu: g}, nil
}

// An attempt is a device, or why it cannot be used.
type attempt struct {
	name   string
	device *device // may be there with an error
	err    error
}

// usable are the devices without an error; the others are closed. If o names one that has an error, or if all have, that
// is returned.
func (o Options) usable(found []attempt) (good []*device, err error) {
	for _, a := range found {
		if a.err == nil {
			good = append(good, a.device)
		} else if err == nil {
			err = a.err
		}
	}
	fatal := err != nil && (o.named() || len(good) == 0)
	for _, a := range found {
		if a.device != nil && (fatal || a.err != nil) {
			a.device.Close()
		}
		if a.err != nil && !fatal {
			o.Log.Warn("a GPU is left out", "gpu", a.name, "reason", a.err)
		}
	}
	if fatal {
		return nil, err
	}
	return good, nil
}

// named reports whether o names single GPUs, which then are all needed.
func (o Options) named() bool { return o.Device != "auto" && o.Device != "cuda" }

func describe(d cuda.DeviceInfo) string { return fmt.Sprintf("cuda:%d (%s)", d.Ordinal, d.Name) }

// pick finds the GPUs that o names among those that there are.
func (o Options) pick(list []cuda.DeviceInfo) (chosen []cuda.DeviceInfo, err error) {
	if len(list) == 0 {
		return nil, errors.New("the driver shows no GPU; --device cpu does without")
	}
	if !o.named() {
		return list, nil
	}
	names := []string{o.Device}
	if numbers, ok := strings.CutPrefix(o.Device, "cuda:"); ok {
		names = strings.Split(numbers, ",")
	}
	for _, name := range names {
		i := slices.IndexFunc(list, func(d cuda.DeviceInfo) bool { return name == d.UUID || name == fmt.Sprint(d.Ordinal) })
		if i < 0 {
			var there []string
			for _, d := range list {
				there = append(there, fmt.Sprintf("cuda:%d %s %s", d.Ordinal, d.Name, d.UUID))
			}
			return nil, fmt.Errorf("there is no such GPU as %s; there are: %s", name, strings.Join(there, "; "))
		}
		chosen = append(chosen, list[i])
	}
	return chosen, nil
}

// read asks the monitor how the GPU is used. If it does not tell, what it told last counts on; ok is false if it never did.
func (g *gpu) read() (u cuda.Usage, ok bool) {
	if g.Monitor == nil {
		return cuda.Usage{}, false
	}
	u, err := g.Monitor.Usage(g.info.UUID)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.usage, g.told = u, true
	} else if !g.silent {
		g.log.Warn("the driver does not tell how a GPU is used; what it told before counts on", "gpu", g.info.UUID, "reason", err)
	}
	g.silent = err != nil
	return g.usage, g.told
}

// noteContext takes what the GPU has in use since it was opened, beyond what the backend holds, for the driver's.
func (g *gpu) noteContext(held int64) {
	if u, ok := g.read(); ok {
		g.context = max(0, u.Used-g.before-held)
	}
}

// held is what a backend has allocated.
func held(m kernels.Memory) int64 { return m.Weights + m.Arena + m.Workspace }

// mine is the memory of this process among those that use a GPU. In a container the driver may count processes as its
// host does, so that none is this one; then it is what the backend holds and what the driver took when it was loaded.
func (g *gpu) mine(u cuda.Usage, held int64) int64 {
	for _, p := range u.Processes {
		if p.PID == os.Getpid() && p.Memory >= held {
			return p.Memory
		}
	}
	return held + g.context
}
