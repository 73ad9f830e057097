package loader

import "bytes"

// foreigners are what people hand over, or a download leaves, in place of a safetensors file.
var foreigners = []struct {
	start  string // lower case
	what   string
	remedy string
}{
	{"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "run `git lfs pull` in its repository, or `vith weights pull`"},
	{"<!doctype", "a web page", savedPage},
	{"<html", "a web page", savedPage},
	{"<?xml", "an XML document", savedPage},
	{"pk\x03\x04", "a zip archive, as PyTorch's .bin and .pt files are", convert},
	{"\x80\x02", "a Python pickle, as PyTorch's old files are", convert},
	{"\x80\x04", "a Python pickle", convert},
	{"\x80\x05", "a Python pickle", convert},
	{"\x1f\x8b", "compressed with gzip", "unpack it with `gunzip`"},
	{"gguf", "a GGUF file", "use the safetensors file that it was made from"},
	{"{", "JSON text", "name the .safetensors file or the folder that holds it"},
}

const (
	savedPage = "a login or an error was saved in place of the file: download the file itself, or `vith weights pull`"
	convert   = "use the repository's safetensors file, or convert it with transformers' save_pretrained"
)

// foreignOr returns an error that says what f is, if it starts like one of the foreigners, else damage. It is asked
// only once f is known not to be safetensors: the length that a header starts with may look like anything.
func foreignOr(f file, damage *Error) error {
	start := bytes.TrimLeft(f.data[:min(len(f.data), 64)], " \t\r\n\ufeff")
	for _, x := range foreigners {
		if hasPrefixFold(start, x.start) {
			return &Error{File: f.path, Problem: "this is " + x.what + ", not safetensors", Remedy: x.remedy}
		}
	}
	return damage
}

// hasPrefixFold reports whether b begins with prefix, which is in lower case, whatever the case of b's ASCII letters.
func hasPrefixFold(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
