//go:build ignore

// Command init is the first process of the emulated machine. It runs the test programs that /tests names with their
// arguments, one a line, says whether all passed, and turns the machine off.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func main() {
	for _, m := range []struct{ folder, kind string }{{"/proc", "proc"}, {"/dev", "devtmpfs"}, {"/tmp", "tmpfs"}} {
		os.MkdirAll(m.folder, 0o755)
		if err := syscall.Mount(m.kind, m.folder, m.kind, 0, ""); err != nil {
			log.Print(m.folder, ": ", err)
		}
	}
	verdict := "VERDICT: pass"
	tests, err := os.ReadFile("/tests")
	if err != nil {
		log.Print(err)
		verdict = "VERDICT: fail"
	}
	for line := range strings.Lines(string(tests)) {
		words := strings.Fields(line)
		c := exec.Command(words[0], words[1:]...)
		c.Env = []string{"VITH_KIT_DATA=/testdata"}
		c.Stdout, c.Stderr = os.Stdout, os.Stdout
		if err := c.Run(); err != nil {
			fmt.Printf("%s: %v\n", words[0], err)
			verdict = "VERDICT: fail"
		}
	}
	fmt.Println(verdict)
	const drain, yes = 0x5409, 1 // TCSBRK: waits until the console has it all
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, os.Stdout.Fd(), drain, yes); errno != 0 {
		log.Print(errno)
	}
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		log.Print(err)
	}
}
