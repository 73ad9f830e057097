//go:build amd64 && !purego

package simd

import "golang.org/x/sys/unix"

// requestTiles asks Linux to let this process use AMX, whose registers are large enough that it saves them only for those who
// ask: since 5.16. It refuses if the CPU has none, or a thread's signal stack is too small for them; those of Go are not.
// Once it was granted, all threads may use them.
//
// Source: Linux, Documentation/arch/x86/xstate.rst.
func requestTiles() bool {
	const (
		archRequestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData              = 18     // XFEATURE_XTILE_DATA
	)
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, archRequestPermission, tileData, 0)
	return errno == 0
}
