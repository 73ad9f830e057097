package host

import (
	"sync"
	"sync/atomic"
)

// A pool runs the tasks of one step at a time on a fixed number of threads: the caller, as worker 0, and the workers it
// keeps. Workers sleep between steps, so that an idle engine costs nothing and busy neighbours are not fought. Each
// that wakes wakes two more: to wake all takes the time of a few wakings, however many they are.
type pool struct {
	threads int
	wake    []chan struct{} // one a worker, worker i+1 listens to wake[i]
	awake   int             // workers that the step has tasks for
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
				p.rouse(i + 1)
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
	p.awake = min(p.threads, s.tasks)
	p.working.Add(p.awake - 1)
	p.rouse(0)
	p.work(0)
	p.working.Wait()
}

// rouse wakes the workers below one in a binary tree.
func (p *pool) rouse(worker int) {
	for i := 2*worker + 1; i <= 2*worker+2 && i < p.awake; i++ {
		p.wake[i-1] <- struct{}{}
	}
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

// balance is the share of the threads' time that equal tasks fill.
func (p *pool) balance(tasks int) float64 {
	rounds := (tasks + p.threads - 1) / p.threads
	return float64(tasks) / float64(rounds*p.threads)
}

// enough is a balance that smaller tasks are not worth bettering.
const enough = 0.9

// close ends the workers.
func (p *pool) close() {
	for _, c := range p.wake {
		close(c)
	}
}
