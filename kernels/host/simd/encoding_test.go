//go:build amd64 && !purego

package simd

import (
	_ "embed"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:embed avx512bf16_amd64.s
var assembly string

// encodings is what a disassembler reads in the instructions that Go's assembler lacks, one a line: bytes, a tab, and
// the instruction in Intel's order of operands.
//
//go:embed testdata/encodings.txt
var encodings string

var update = flag.Bool("update", false, "write testdata/encodings.txt by binutils' objdump")

// TestEncodings holds the bytes that stand for instructions to their comments, by way of a disassembler's reading.
func TestEncodings(t *testing.T) {
	found := map[string]string{} // bytes: comment
	source := regexp.MustCompile(`// (V\w+ [ZY0-9, ]+)\n\tLONG +\$0x([0-9a-f]{8})\n\tWORD +\$0x([0-9a-f]{4})\n`)
	for _, m := range source.FindAllStringSubmatch(assembly, -1) {
		long, _ := strconv.ParseUint(m[2], 16, 32)
		word, _ := strconv.ParseUint(m[3], 16, 16)
		b := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint32(nil, uint32(long)), uint16(word))
		found[fmt.Sprintf("% x", b)] = intelOrder(m[1])
	}
	if n := strings.Count(assembly, "\tLONG "); n < 400 || n != len(source.FindAllString(assembly, -1)) {
		t.Fatalf("%d of %d raw instructions have the form that this test reads", len(source.FindAllString(assembly, -1)), n)
	}
	list := make([]string, 0, len(found))
	for b := range found {
		list = append(list, b)
	}
	slices.Sort(list)
	if *update {
		encodings = disassemble(t, list)
		if err := os.WriteFile("testdata/encodings.txt", []byte(encodings), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden := map[string]string{}
	for line := range strings.Lines(encodings) {
		b, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		golden[b] = text
	}
	for b, text := range found {
		if golden[b] != text {
			t.Errorf("%s stands under %q and is %q", b, text, golden[b])
		}
	}
	if len(golden) != len(found) {
		t.Errorf("testdata/encodings.txt has %d instructions, the assembly %d", len(golden), len(found))
	}
	if _, err := exec.LookPath("objdump"); err != nil {
		t.Log("the reading is not made again: binutils' objdump is not installed")
		return
	}
	if got := disassemble(t, list); got != encodings {
		t.Errorf("objdump does not read what testdata/encodings.txt says, but:\n%s", got)
	}
}

// intelOrder turns "VDPBF16PS Z1, Z2, Z3" into "vdpbf16ps zmm3,zmm2,zmm1".
func intelOrder(text string) string {
	name, operands, _ := strings.Cut(text, " ")
	registers := strings.Split(operands, ", ")
	slices.Reverse(registers)
	s := strings.ToLower(name + " " + strings.Join(registers, ","))
	return strings.NewReplacer("z", "zmm", "y", "ymm").Replace(s)
}

// disassemble reads instructions with binutils' objdump.
func disassemble(t *testing.T, list []string) string {
	t.Helper()
	var code []byte
	for _, line := range list {
		for b := range strings.FieldsSeq(line) {
			n, _ := strconv.ParseUint(b, 16, 8)
			code = append(code, byte(n))
		}
	}
	path := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(path, code, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", path).CombinedOutput()
	if err != nil {
		t.Fatalf("objdump: %v\n%s", err, out)
	}
	var s strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^ *[0-9a-f]+:\t((?:[0-9a-f]{2} )+) *\t(\w+) +(\S+)`).FindAllStringSubmatch(string(out), -1) {
		fmt.Fprintf(&s, "%s\t%s %s\n", strings.TrimSpace(m[1]), m[2], m[3])
	}
	return s.String()
}
