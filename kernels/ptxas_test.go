//go:build ptxas

package kernels

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"vith/kernels/ptx"
)

// The tests of this file need NVIDIA's assembler: ptxas of CUDA 12.4 in the PATH or in $PTXAS, nvdisasm beside it.
// .ci/cuda-tools gets them.

var updateTable = flag.Bool("update-ptxas", false, "write testdata/ptxas.txt again")

// targets are those whose code the assembler can make.
var targets = []ptx.Target{ptx.SM75, ptx.SM80, ptx.SM86, ptx.SM89, ptx.SM90}

// tool is the path of one of NVIDIA's tools.
func tool(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if p := os.Getenv("PTXAS"); p != "" {
		path, err = exec.LookPath(filepath.Join(filepath.Dir(p), name))
	}
	if err != nil {
		t.Fatalf("%v: .ci/cuda-tools gets it", err)
	}
	return path
}

// counts are the instructions of a text by class.
func counts(m *ptx.Module) string {
	var n [ptx.ClassControl + 1]int
	for _, i := range m.Kernels[0].Insts {
		n[i.Op.Class]++
	}
	var b strings.Builder
	for _, c := range []struct {
		name    string
		classes []ptx.Class
	}{
		{"int", []ptx.Class{ptx.ClassInt, ptx.ClassCompare, ptx.ClassMove, ptx.ClassConvert}},
		{"float", []ptx.Class{ptx.ClassFloat, ptx.ClassHalf}}, {"sfu", []ptx.Class{ptx.ClassSFU}},
		{"load", []ptx.Class{ptx.ClassLoad}}, {"store", []ptx.Class{ptx.ClassStore}}, {"cp.async", []ptx.Class{ptx.ClassCpAsync}},
		{"ldmatrix", []ptx.Class{ptx.ClassLdMatrix}}, {"mma", []ptx.Class{ptx.ClassMMA}}, {"warp", []ptx.Class{ptx.ClassWarp}},
		{"bar", []ptx.Class{ptx.ClassBarrier}}, {"control", []ptx.Class{ptx.ClassControl}},
	} {
		sum := 0
		for _, class := range c.classes {
			sum += n[class]
		}
		if sum > 0 {
			fmt.Fprintf(&b, " %s %d", c.name, sum)
		}
	}
	return b.String()
}

// A compiled text is what the assembler says of it.
type compiled struct {
	registers, shared int
	counts            string
	cubin             string
}

var (
	usedRegisters = regexp.MustCompile(`Used (\d+) registers`)
	usedShared    = regexp.MustCompile(`(\d+) bytes smem`)
	spilled       = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
)

// compile assembles one text. Warnings, spills among them, are errors.
func compile(ptxas, dir string, k *Kernel, s Spec) (compiled, error) {
	m, err := k.Assemble(s)
	if err != nil {
		return compiled{}, err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s_%v", k.Entry(s), s.Target))
	if err := os.WriteFile(name+".ptx", []byte(m.Text()), 0o600); err != nil {
		return compiled{}, err
	}
	c := compiled{cubin: name + ".cubin", counts: counts(m)}
	out, err := exec.Command(ptxas, "-v", "-warn-spills", "-Werror", "-arch="+s.Target.String(), "-o", c.cubin, name+".ptx").CombinedOutput()
	if err != nil {
		return c, fmt.Errorf("%w: %s", err, out)
	}
	if f := spilled.FindSubmatch(out); f == nil || string(f[1]) != "0" || string(f[2]) != "0" || string(f[3]) != "0" {
		return c, fmt.Errorf("uses local memory: %s", out)
	}
	f := usedRegisters.FindSubmatch(out)
	if f == nil {
		return c, fmt.Errorf("no register count in %q", out)
	}
	c.registers, _ = strconv.Atoi(string(f[1]))
	if f := usedShared.FindSubmatch(out); f != nil {
		c.shared, _ = strconv.Atoi(string(f[1]))
	}
	return c, nil
}

// TestPtxas compiles every text of every case, without spills, and holds the registers, the static shared memory and the
// instruction counts of the largest cases to testdata/ptxas.txt. For sm_86 and sm_89, whose texts are those of sm_80 but
// for .version and .target, it compiles the largest cases only.
func TestPtxas(t *testing.T) {
	ptxas, dir := tool(t, "ptxas"), t.TempDir()
	type job struct {
		kernel  *Kernel
		spec    Spec
		largest bool
		line    string
		err     error
	}
	var jobs []*job
	for _, k := range All() {
		for _, target := range targets {
			specs, err := k.Specs(target)
			if err != nil {
				t.Fatal(err)
			}
			largest, err := k.caseSpecs(target, k.largestCase())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range specs {
				j := &job{kernel: k, spec: s, largest: slices.Contains(largest, s)}
				if j.largest || target != ptx.SM86 && target != ptx.SM89 {
					jobs = append(jobs, j)
				}
			}
		}
	}
	var group sync.WaitGroup
	next := make(chan *job)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for j := range next {
				var c compiled
				if c, j.err = compile(ptxas, dir, j.kernel, j.spec); j.err == nil && j.largest {
					j.line = fmt.Sprintf("%-56s %-6v %3d registers %6d bytes shared %s\n", j.kernel.Entry(j.spec), j.spec.Target, c.registers, c.shared, c.counts)
				}
				os.Remove(c.cubin)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	group.Wait()

	var table strings.Builder
	for _, j := range jobs {
		if j.err != nil {
			t.Errorf("%s for %v: %v", j.kernel.Entry(j.spec), j.spec.Target, j.err)
		}
		table.WriteString(j.line)
	}
	t.Logf("%d texts", len(jobs))
	const golden = "testdata/ptxas.txt"
	if *updateTable {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("%s differs; if the change is meant, run with -update-ptxas and look at the difference", golden)
	}
}

// TestSASS disassembles the matrix kernels: on tensor cores they must use HMMA with LDSM and, where the target has it,
// LDGSTS, and in float32 none of them.
func TestSASS(t *testing.T) {
	ptxas, nvdisasm, dir := tool(t, "ptxas"), tool(t, "nvdisasm"), t.TempDir()
	for _, k := range []*Kernel{attention, gemm} {
		for _, target := range targets {
			specs, err := k.caseSpecs(target, k.largestCase())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range specs {
				c, err := compile(ptxas, dir, k, s)
				if err != nil {
					t.Fatal(err)
				}
				sass, err := exec.Command(nvdisasm, c.cubin).Output()
				if err != nil {
					t.Fatal(err)
				}
				matrix := s.Precision.Activation != FP32.Activation
				for op, want := range map[string]bool{"HMMA.": matrix, "LDSM.": matrix, "LDGSTS.": matrix && target >= ptx.SM80} {
					n := strings.Count(string(sass), op)
					if n > 0 != want {
						t.Errorf("%s for %v has %d %s", k.Entry(s), target, n, op)
					}
				}
				for _, op := range []string{"STL", "LDL"} {
					if strings.Contains(string(sass), " "+op+" ") {
						t.Errorf("%s for %v uses local memory", k.Entry(s), target)
					}
				}
			}
		}
	}
}
