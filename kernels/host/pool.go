package host

import (
	"sync"
	"sync/atomic"
)

// A pool runs the tasks of one step at a time on a fixed number of threads: the caller and the workers it keeps.
// Workers sleep between steps, so that an idle engine costs nothing and busy neighbours are not fought.
type pool struct {
	threads int
	wake    []chan struct{} // one a worker, worker i+1 listens to wake[i]
	step    *step
	next    atomic.Int64 // the next task to hand out
	working sync.WaitGroup
}

func newPool(threads int) *pool {
	p := &pool{threads: threads}
	for i := range threads - 1 {
		c := make(chan struct{}, 1)
		p.wake = append(p.wake, c)
		go func() {
			for range c {
				p.work(i + 1)
				p.working.Done()
			}
		}()
	}
	return p
}

// run runs every task of s and returns when all are done. It is not safe for concurrent use.
func (p *pool) run(s *step) {
	p.step = s
	p.next.Store(0)
	helpers := min(len(p.wake), s.tasks-1)
	p.working.Add(helpers)
	for _, c := range p.wake[:helpers] {
		c <- struct{}{}
	}
	p.work(0)
	p.working.Wait()
}

func (p *pool) work(worker int) {
	s := p.step
	for {
		task := int(p.next.Add(1)) - 1
		if task >= s.tasks {
			return
		}
		s.run(task, worker)
	}
}

// close ends the workers.
func (p *pool) close() {
	for _, c := range p.wake {
		close(c)
	}
}
