package loader

import (
	"strconv"
	"strings"
)

// An Error is a checkpoint that cannot be used. It reads as one line.
type Error struct {
	File    string // path, or the reference as given
	Tensor  string // as the file spells it; "" where no single tensor is at fault
	Problem string // what is wrong, with the values
	Remedy  string // what to do; may be ""
	Err     error  // the cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	b.WriteString(": ")
	if e.Tensor != "" {
		b.WriteString("tensor " + strconv.Quote(e.Tensor) + ": ")
	}
	b.WriteString(e.Problem)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Remedies that several problems share.
const (
	downloadAgain = "the file is damaged or incomplete: download it again"
	compareSum    = "compare the file's sha256 with its publisher's and download it again; if they agree, the training or a conversion failed"
	pullOrSynth   = "name a .safetensors file or a folder with one, pull one with `vith weights pull`, or try `--model synth:vit-h-14/1`"
)
