package cuda

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// A thread is an OS thread that runs jobs one after the other.
type thread struct {
	jobs chan *job
}

// A job is work for a thread. It can be submitted again once it was waited for; that allocates nothing.
type job struct {
	run      func() error
	done     chan struct{} // of capacity 1
	err      error
	panicked any
}

func newJob(run func() error) *job { return &job{run: run, done: make(chan struct{}, 1)} }

// startThread starts a thread that can have n jobs waiting.
func startThread(n int) *thread {
	t := &thread{jobs: make(chan *job, n)}
	go func() {
		runtime.LockOSThread() // for good: the thread, to which a context was bound, ends with the goroutine
		for j := range t.jobs {
			j.do()
		}
	}()
	return t
}

// submit queues a job.
func (t *thread) submit(j *job) { t.jobs <- j }

// do runs f on the thread and returns what it returns.
func (t *thread) do(f func() error) error {
	j := newJob(f)
	t.submit(j)
	return j.wait()
}

// stop ends the thread after the jobs that are queued.
func (t *thread) stop() { close(t.jobs) }

func (j *job) do() {
	defer func() {
		if j.panicked = recover(); j.panicked != nil {
			j.panicked = fmt.Sprintf("%v\n\non the device's thread:\n%s", j.panicked, debug.Stack())
		}
		j.done <- struct{}{}
	}()
	j.err = j.run()
}

// wait returns the job's error once it is done. A panic of the job goes on here.
func (j *job) wait() error {
	<-j.done
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}
