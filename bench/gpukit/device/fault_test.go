package device

import (
	"errors"
	"testing"

	"vith/cuda"
	"vith/kernels"
	"vith/kernels/tensor"
)

// A saboteur is a driver whose devices launch kernels with a pointer to nowhere, once armed.
type saboteur struct {
	cuda.Driver
	armed bool
}

func (s *saboteur) Open(ordinal int) (cuda.Device, error) {
	d, err := s.Driver.Open(ordinal)
	if err != nil {
		return nil, err
	}
	return &sabotaged{d, s}, nil
}

type sabotaged struct {
	cuda.Device
	saboteur *saboteur
}

func (d *sabotaged) LaunchKernel(f cuda.Function, grid, block [3]int, shared int, s cuda.Stream, params []uint64) error {
	if d.saboteur.armed {
		params = append([]uint64{16}, params[1:]...)
	}
	return d.Device.LaunchKernel(f, grid, block, shared, s, params)
}

// A recovery is what follows an illegal address.
type recovery struct {
	Pass   string `json:"pass"` // the error of the pass with the fault
	Next   string `json:"next"` // of the pass after it
	Close  string `json:"close"`
	Reopen string `json:"reopen"` // in the same process
}

// An illegal address in a pass ends the device: the pass and all later ones fail as such. Whether the process can open
// it again is recorded; the emulator's process can.
func TestFault(t *testing.T) {
	d := find(t)
	s := &saboteur{Driver: d.Driver}
	b, r, err := d.adder(s)
	if err == nil {
		err = sum(r)
	}
	if err != nil {
		t.Fatalf("before the fault: %v", err)
	}
	s.armed = true
	var seen recovery
	defer func() { record(t, "recovery", seen) }()
	err = sum(r)
	if seen.Pass = text(err); !errors.Is(err, cuda.ErrDown) {
		t.Errorf("the pass with the fault: %v", err)
	}
	s.armed = false
	err = sum(r)
	if seen.Next = text(err); !errors.Is(err, cuda.ErrDown) || !errors.Is(b.Down(), cuda.ErrDown) {
		t.Errorf("the pass after the fault: %v; down: %v", err, b.Down())
	}
	err = b.Close()
	if seen.Close = text(err); err != nil {
		t.Error(err)
	}
	b, r, err = d.adder(s)
	if err == nil {
		err = errors.Join(sum(r), b.Close())
	}
	if seen.Reopen = text(err); err != nil && d.Name == "emu" {
		t.Errorf("opened again: %v", err)
	}
}

func text(err error) string {
	if err == nil {
		return "works"
	}
	return err.Error()
}

const terms = 1000

// adder opens a backend on a driver, and loads a sum.
func (d Device) adder(driver cuda.Driver) (*cuda.Backend, kernels.Runner, error) {
	b, err := cuda.Open(driver, d.Ordinal, cuda.Options{Name: d.Name, NoGraphs: true})
	if err != nil {
		return nil, nil, err
	}
	p := kernels.NewProgram()
	p.Output(p.Add(p.Input("x", tensor.F32, 1, terms), p.Input("y", tensor.F32, 1, terms)))
	var r kernels.Runner
	if p, err = kernels.Lower(p, b.Caps()); err == nil {
		r, err = b.Load(p)
	}
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, r, nil
}

// sum runs 1 + 2 through an adder.
func sum(r kernels.Runner) error {
	x, y, z := make([]float32, terms), make([]float32, terms), make([]float32, terms)
	for i := range x {
		x[i], y[i] = 1, 2
	}
	wait, err := r.Start([][]byte{tensor.Bytes(x), tensor.Bytes(y)}, [][]byte{tensor.Bytes(z)})
	if err == nil {
		err = wait()
	}
	if err == nil && (z[0] != 3 || z[terms-1] != 3) {
		err = errors.New("1 + 2 is not 3")
	}
	return err
}
