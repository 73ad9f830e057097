// Package machine tells on what a benchmark was run.
package machine

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
)

// A Machine is where a report was made.
type Machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"` // logical CPUs
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Go    string `json:"go"`
	Load  string `json:"load,omitempty"` // of the last 1, 5 and 15 minutes before; Linux only
}

// String returns what figures depend on, in a line: the load is not of the machine.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d logical CPUs, %s/%s, %s", m.CPU, m.Cores, m.OS, m.Arch, m.Go)
}

// This returns the machine that the program runs on, as it is now.
func This() Machine {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
	// Where these files are missing there is nothing to say.
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if match := regexp.MustCompile(`model name\s*: (.+)`).FindSubmatch(info); match != nil {
			m.CPU = string(match[1])
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := strings.Fields(string(load))
		m.Load = strings.Join(fields[:min(3, len(fields))], " ")
	}
	return m
}
