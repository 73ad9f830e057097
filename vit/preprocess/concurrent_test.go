package preprocess

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// endingContext ends at the n-th question whether it has.
type endingContext struct {
	context.Context
	mu sync.Mutex
	n  int
}

func (c *endingContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestConcurrentCrops(t *testing.T) {
	names := []string{
		"coffee_300x203_420.jpg", "chelsea_360x240_exif6.jpg", "coffee_180x120_interlaced.png",
		"coffee_301x201_lossy_odd.webp", "coffee_240x160.gif", "coffee_120x80.bmp",
	}
	refs := references(t, "manifest.json", 38)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range names {
				name := names[(i+j)%len(names)]
				dst := make([]byte, 224*224*3)
				if err := Crop(context.Background(), dst, read(t, "photos/"+name), Options{Size: 224}); err != nil {
					t.Errorf("%s: %v", name, err)
				} else if got := digest(dst); got != refs[name].HF {
					t.Errorf("%s: crop %s, want %s", name, got, refs[name].HF)
				}
			}
		}()
	}
	wg.Wait()
}

// Decoding stops wherever the context ends, and returns its error.
func TestContextEnds(t *testing.T) {
	for name, least := range map[string]int{ // rows of MCUs or pixels
		"seeding_640x480_420.jpg":                      480 / 16,
		"chelsea_451x300_gray.jpg":                     300 / 8,
		"coffee_400x267_cmyk.jpg":                      267 / 16,
		"../small/sampling_progressive_13_221x238.jpg": (6 + 1) * 30, // scans and output
		"chelsea_451x300.png":                          300,
		"coffee_600x400_lossy.webp":                    400,
		"coffee_300x200_lossless.webp":                 20 + 200, // 4096 bytes each, and rows
		"coffee_240x160.gif":                           2 * 160,
		"coffee_120x80.bmp":                            80,
	} {
		data := read(t, "photos/"+name)
		for _, n := range []int{0, 1, 2, 3, 5, least / 2, least - 1} {
			ctx := &endingContext{Context: context.Background(), n: n}
			if _, err := Decode(ctx, data, 0); err != context.Canceled {
				t.Errorf("%s, context ended at question %d: %v", name, n, err)
			}
		}
		ctx := &endingContext{Context: context.Background(), n: 1 << 30}
		if _, err := Decode(ctx, data, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if asked := 1<<30 - ctx.n; asked < least {
			t.Errorf("%s: %d questions, want %d", name, asked, least)
		}
	}
}

func TestContextEndedBefore(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	if err := Crop(ctx, make([]byte, 3), read(t, "photos/coffee_120x80.bmp"), Options{Size: 1}); err != context.DeadlineExceeded {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
}

// Images wait for memory, and for the context: the large ones for each other, the
// small ones for each other.
func TestMemoryIsReserved(t *testing.T) {
	take := func(n int64) (release func()) {
		t.Helper()
		release, err := reserve(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	waits := func(n int64) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error)
		go func() {
			release, err := reserve(ctx, n)
			if err == nil {
				release()
			}
			result <- err
		}()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("%d bytes: %v, want %v", n, err, context.Canceled)
		}
	}
	all := take(4 * largeImages) // more than there is: alone
	waits(smallImage + 1)
	var some []func()
	for range smallImages / smallImage {
		some = append(some, take(smallImage)) // does not wait for the large one
	}
	waits(1)
	waits(smallImage)
	some[0]()
	some[0] = take(smallImage)
	all()
	take(largeImages)() // does not wait for the small ones
	for _, release := range some {
		release()
	}
	take(smallImage)()
}

// Waiting images go on when memory is released, in the order in which they came.
func TestMemoryIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, err := reserve(t.Context(), largeImages)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var mu sync.Mutex
		for i := range 3 {
			go func() {
				release, err := reserve(t.Context(), largeImages)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				release()
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Errorf("images %d did not wait", order)
		}
		first()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("order %d", order)
		}
	})
}

// Neither the input nor anything beyond the destination is written.
func TestCropWritesOnlyTheDestination(t *testing.T) {
	for _, name := range samples {
		data := read(t, name)
		before := bytes.Clone(data)
		const n = 20 * 20 * 3
		dst := bytes.Repeat([]byte{0xa5}, n+64)
		if err := Crop(context.Background(), dst[:n:n+64], data, Options{Size: 20}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst[n:], bytes.Repeat([]byte{0xa5}, 64)) {
			t.Errorf("%s: wrote beyond the destination", name)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%s: changed the input", name)
		}
	}
}
