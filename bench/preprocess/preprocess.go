// Package preprocess measures how fast encoded images become the pixels that a
// vision tower sees, beside what others take for the same: the standard library,
// libjpeg-turbo and Pillow, the last two where they are installed.
//
// # What is timed
//
// Time is that of one thread on its CPU, where the operating system tells it:
// other work on the machine makes such a figure a little worse, through caches
// and clock rates, but does not count. The figure of a path is the median of its
// repetitions; the paths of one image take turns, and these and the peers do so
// a few times, so that what changes with time changes for all. Garbage collection on other threads is not counted, which
// favours paths that allocate much.
//
// libjpeg-turbo is timed by its own tjbench, which decodes in a loop inside one
// process, and Pillow by a Python program that does the same; neither is charged
// for starting, reading files or an interpreter.
package preprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"vith/bench/machine"
	"vith/vit/preprocess"
	"vith/vit/preprocess/simd"
)

// Options are what to measure.
type Options struct {
	Size     int           // side of the crop, pixels; 0 is 224
	Duration time.Duration // CPU time for each path of an image; 0 is one second
	Images   []Image       // nil is those of Photographs
	Peers    Peers
}

// Run measures. It takes a few seconds an image. A peer that is not installed is
// left out; one that fails, or tiers that do not agree on a crop, are an error.
// Of an image that is refused the report has how long that takes. When ctx ends
// Run returns its error.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Size == 0 {
		o.Size = 224
	}
	if o.Duration == 0 {
		o.Duration = time.Second
	}
	if o.Images == nil {
		var err error
		if o.Images, err = Photographs(ctx, o.Peers); err != nil {
			return Report{}, err
		}
	}
	r := Report{Date: time.Now().UTC(), Size: o.Size, Machine: machine.This(), Clock: clockName}
	peers, err := o.Peers.find(ctx)
	if err != nil {
		return Report{}, err
	}
	r.Peers = peers.versions()
	for _, m := range o.Images {
		c, err := measure(ctx, m, o, peers)
		if err != nil {
			return Report{}, fmt.Errorf("bench: %s: %w", m.Name, err)
		}
		r.Cases = append(r.Cases, c)
	}
	return r, nil
}

// A path is one way to do the work.
type path struct {
	name string
	run  func() error
}

// rounds is how often this module and the peers take turns at an image. More
// would charge libjpeg-turbo for tjbench's start, which is within its time.
const rounds = 3

// measure times all paths of an image.
func measure(ctx context.Context, m Image, o Options, peers installed) (Case, error) {
	whole, err := preprocess.Decode(ctx, m.Data, 0)
	if fault := new(preprocess.Error); errors.As(err, &fault) {
		return measureRefusal(ctx, m, o, fault)
	}
	if err != nil {
		return Case{}, err
	}
	c := Case{
		Image: m.Name, Format: m.Format, Width: whole.Width, Height: whole.Height, Bytes: len(m.Data),
		BitsPerPixel: 8 * float64(len(m.Data)) / float64(whole.Width*whole.Height),
	}
	paths, err := ours(ctx, m, o.Size)
	if err != nil {
		return Case{}, err
	}
	if standard := standardLibrary(m, o.Size); standard != nil {
		paths = append(paths, path{StandardLibrary, standard})
	}
	o.Duration /= rounds
	times := make(map[string][]time.Duration) // by path
	var order []string
	for range rounds {
		all, err := takeTurns(ctx, paths, o.Duration)
		if err != nil {
			return Case{}, err
		}
		theirs, err := peers.measure(ctx, m, o)
		if err != nil {
			return Case{}, err
		}
		for _, p := range append(all, theirs...) {
			if times[p.path] == nil {
				order = append(order, p.path)
			}
			times[p.path] = append(times[p.path], p.time)
		}
	}
	for _, path := range order {
		c.add(path, median(times[path]))
	}
	return c, nil
}

// measureRefusal times how long it takes to find the fault of an image.
func measureRefusal(ctx context.Context, m Image, o Options, fault *preprocess.Error) (Case, error) {
	dst := make([]byte, o.Size*o.Size*3)
	refuse := func() error {
		err := preprocess.Crop(ctx, dst, m.Data, preprocess.Options{Size: o.Size})
		if got := new(preprocess.Error); !errors.As(err, &got) || got.Code != fault.Code {
			return fmt.Errorf("decoded whole it is refused with %q, cropped with %v", fault, err)
		}
		return nil
	}
	times, err := takeTurns(ctx, []path{{crop(simd.Best().Name), refuse}}, o.Duration)
	if err != nil {
		return Case{}, err
	}
	c := Case{Image: m.Name, Format: m.Format, Bytes: len(m.Data), Refused: fault.Error()}
	c.add(times[0].path, times[0].time)
	return c, nil
}

// ours returns the paths of this module, having checked that they agree.
func ours(ctx context.Context, m Image, size int) (paths []path, err error) {
	var first []byte
	for _, tier := range simd.Tiers() {
		dst := make([]byte, size*size*3)
		run := func() error {
			return preprocess.Crop(ctx, dst, m.Data, preprocess.Options{Size: size, Tier: tier})
		}
		if err := run(); err != nil {
			return nil, err
		}
		if first == nil {
			first = bytes.Clone(dst)
		}
		if !bytes.Equal(dst, first) {
			return nil, errors.New("the crop of tier " + tier.Name + " differs")
		}
		paths = append(paths, path{crop(tier.Name), run})
		if m.Format == formatJPEG || m.Format == formatProgressive {
			paths = append(paths, path{decode(tier.Name), decodeJPEG(ctx, m.Data, tier)})
		}
	}
	return paths, nil
}

// A timing is how long a path takes.
type timing struct {
	path string
	time time.Duration
}

// takeTurns runs each path for about duration and returns the median times.
func takeTurns(ctx context.Context, paths []path, duration time.Duration) ([]timing, error) {
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	times := make([][]time.Duration, len(paths))
	spent := make([]time.Duration, len(paths))
	for done := false; !done; {
		done = true
		for i, p := range paths {
			if spent[i] >= duration {
				continue
			}
			done = false
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := now()
			if err := p.run(); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			t := now() - start
			times[i] = append(times[i], t)
			spent[i] += max(t, time.Microsecond)
		}
	}
	var medians []timing
	for i, p := range paths {
		medians = append(medians, timing{p.name, median(times[i])})
	}
	return medians, nil
}

// median sorts the times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// An Image is one to measure with.
type Image struct {
	Name   string
	Format string // "JPEG", "progressive JPEG", "PNG", "GIF", "BMP", "WebP"
	Data   []byte
}

const (
	formatJPEG        = "JPEG"
	formatProgressive = "progressive JPEG"
	formatPNG         = "PNG"
	formatGIF         = "GIF"
	formatBMP         = "BMP"
)
