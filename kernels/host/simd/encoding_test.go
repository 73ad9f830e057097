//go:build amd64 && !purego

package simd

import (
	"encoding/hex"
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

var update = flag.Bool("update", false, "write testdata/encodings_*.txt by binutils' objdump")

// An encoded is a file of assembly with instructions that Go's assembler lacks.
type encoded struct {
	assembly string                   // its path
	golden   string                   // path of what a disassembler reads, one instruction a line: bytes, a tab, text
	source   *regexp.Regexp           // an instruction in the assembly: its comment as text, its bytes as hex
	word     string                   // what stands once in every instruction
	text     func(text string) string // the comment as the disassembler has it
	objdump  []string                 // the disassembler, and its options
}

// longs reads the instructions of x86 that are written as a LONG and what is left.
var longs = regexp.MustCompile(`// (?P<text>[A-Z].*)\n(?P<hex>\tLONG +\$0x.*\n(?:\t(?:WORD|BYTE) +\$0x.*\n)*)`)

// TestEncodings holds the words that stand for instructions to their comments, by way of a disassembler's reading.
func TestEncodings(t *testing.T) {
	for _, e := range []encoded{
		{
			"avx512bf16_amd64.s", "testdata/encodings_amd64.txt", longs,
			"\tLONG ", intelOrder, []string{"objdump", "-m", "i386:x86-64", "-M", "intel"},
		},
		{
			"amx_amd64.s", "testdata/encodings_amx_amd64.txt", longs,
			"\tLONG ", intelOrder, []string{"objdump", "-m", "i386:x86-64", "-M", "intel"},
		},
		{
			"neon_arm64.s", "testdata/encodings_arm64.txt",
			regexp.MustCompile(`(?P<hex>\tWORD \$0x[0-9a-f]{8}) // (?P<text>V\w+ [][VS0-9., ]+)\n`),
			"\tWORD ", armOrder, []string{"aarch64-linux-gnu-objdump", "-m", "aarch64"},
		},
	} {
		t.Run(e.assembly, e.test)
	}
}

func (e *encoded) test(t *testing.T) {
	found := map[string]string{} // bytes: comment
	assembly, err := os.ReadFile(e.assembly)
	if err != nil {
		t.Fatal(err)
	}
	instructions := e.source.FindAllStringSubmatch(string(assembly), -1)
	for _, m := range instructions {
		var b []byte
		for _, word := range regexp.MustCompile(`\$0x([0-9a-f]+)`).FindAllStringSubmatch(m[e.source.SubexpIndex("hex")], -1) {
			bigEndian, err := hex.DecodeString(word[1])
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(bigEndian)
			b = append(b, bigEndian...)
		}
		found[fmt.Sprintf("% x", b)] = e.text(m[e.source.SubexpIndex("text")])
	}
	if n := strings.Count(string(assembly), e.word); n == 0 || n != len(instructions) {
		t.Fatalf("%d of %d raw instructions have the form that this test reads", len(instructions), n)
	}
	list := make([]string, 0, len(found))
	for b := range found {
		list = append(list, b)
	}
	slices.Sort(list)
	if *update {
		if err := os.WriteFile(e.golden, []byte(e.disassemble(t, list)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	encodings, err := os.ReadFile(e.golden)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]string{}
	for line := range strings.Lines(string(encodings)) {
		b, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		golden[b] = text
	}
	for b, text := range found {
		if golden[b] != text {
			t.Errorf("%s stands under %q and is %q", b, text, golden[b])
		}
	}
	if len(golden) != len(found) {
		t.Errorf("%s has %d instructions, the assembly %d", e.golden, len(golden), len(found))
	}
	if _, err := exec.LookPath(e.objdump[0]); err != nil {
		t.Logf("the reading is not made again: binutils' %s is not installed", e.objdump[0])
		return
	}
	if got := e.disassemble(t, list); got != string(encodings) {
		t.Errorf("%s does not read what %s says, but:\n%s", e.objdump[0], e.golden, got)
	}
}

// intelOrder turns "VDPBF16PS Z1, Z2, Z3" into "vdpbf16ps zmm3,zmm2,zmm1", and "TILELOADD 64(DI)(R11*1), TMM7" into
// "tileloadd tmm7,[rdi+r11*1+0x40]".
func intelOrder(text string) string {
	text = regexp.MustCompile(`\b[ZY](\d)`).ReplaceAllStringFunc(text, func(v string) string { return v[:1] + "mm" + v[1:] })
	text = regexp.MustCompile(`\b[A-Z]{2}\b`).ReplaceAllString(text, "R$0")
	text = regexp.MustCompile(`(\d*)\((\w+)\)(\((\w+\*\d)\))?`).ReplaceAllStringFunc(text, func(address string) string {
		disp, registers, _ := strings.Cut(strings.TrimSuffix(address, ")"), "(")
		if n, err := strconv.Atoi(disp); err == nil {
			registers += fmt.Sprintf("+0x%x", n)
		}
		return "[" + strings.ReplaceAll(registers, ")(", "+") + "]"
	})
	return reverse(text)
}

// armOrder turns "VFMLA V1.S[0], V2.S4, V3.S4" into "fmla v3.4s,v2.4s,v1.s[0]".
func armOrder(text string) string {
	return strings.ReplaceAll(reverse(strings.TrimPrefix(text, "V")), ".s4", ".4s")
}

// reverse puts the destination of an instruction first, in small letters and without spaces.
func reverse(text string) string {
	name, operands, ok := strings.Cut(text, " ")
	if !ok {
		return strings.ToLower(name)
	}
	registers := strings.Split(operands, ", ")
	slices.Reverse(registers)
	return strings.ToLower(name + " " + strings.Join(registers, ","))
}

// disassemble reads instructions with binutils' objdump.
func (e *encoded) disassemble(t *testing.T, list []string) string {
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
	out, err := exec.Command(e.objdump[0], append(e.objdump[1:], "-D", "-b", "binary", path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", e.objdump[0], err, out)
	}
	lines := regexp.MustCompile(`(?m)^ *[0-9a-f]+:\t((?:[0-9a-f]{2} ?)+) *\t(\w+)[ \t]*(.*)$`).FindAllStringSubmatch(string(out), -1)
	if len(lines) != len(list) {
		t.Fatalf("%s reads %d instructions, want %d:\n%s", e.objdump[0], len(lines), len(list), out)
	}
	var s strings.Builder
	for i, m := range lines {
		text := strings.TrimSpace(m[2] + " " + strings.ReplaceAll(m[3], ", ", ","))
		fmt.Fprintf(&s, "%s\t%s\n", list[i], text)
	}
	return s.String()
}
