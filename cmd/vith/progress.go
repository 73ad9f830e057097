package main

import (
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A bar shows on standard error how far long work has got, if that is a terminal; else it does nothing. Its methods may
// be called concurrently.
type bar struct {
	what  string
	bytes bool // are counted
	show  bool

	mu   sync.Mutex
	bar  *progressbar.ProgressBar // nil: not shown
	done int64
}

func newBar(what string, bytes bool) *bar {
	return &bar{what: what, bytes: bytes, show: onTerminal(os.Stderr)}
}

// set says that done of total is reached. Calls may come out of order: the bar never goes back.
func (b *bar) set(done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.show || done <= b.done {
		return
	}
	b.done = done
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionSetDescription(b.what),
			progressbar.OptionShowBytes(b.bytes),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(24),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
		b.bar.RenderBlank()
	}
	b.bar.Set64(done)
}

// clear removes the bar from its line, for other text or for good. The next set brings it back.
func (b *bar) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		b.bar.Clear()
	}
}

func onTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
