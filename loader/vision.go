package loader

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A VisionPart is the vision tower of a safetensors file, as a file of its own: Header, then the bytes of Ranges.
type VisionPart struct {
	Header []byte
	Ranges [][2]int64 // [from, to) in the whole file, ascending, not adjacent
}

// HeaderSize returns the number of bytes from the start of a safetensors file to its data. first are the file's first
// eight bytes or more, name is for errors.
func HeaderSize(name string, first []byte) (int64, error) {
	if len(first) >= 8 {
		if n := binary.LittleEndian.Uint64(first); n <= maxHeader {
			return 8 + int64(n), nil
		}
	}
	_, _, err := cut(file{path: name, data: first})
	return 0, err
}

// PlanVision plans the vision tower's part of a safetensors file of size bytes, of which head is the start, as many
// bytes as HeaderSize says. The new file keeps the old one's metadata and adds origin to them.
func PlanVision(name string, head []byte, size int64, origin map[string]string) (*VisionPart, error) {
	tensors, metadata, err := parseHeader(file{path: name, data: head}, uint64(size))
	if err != nil {
		return nil, err
	}
	byName := map[string]*stored{}
	for i := range tensors {
		byName[tensors[i].name] = &tensors[i]
	}
	m, err := findTower(name, byName)
	if err != nil {
		return nil, err
	}
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []uint64 `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	all := map[string]string{}
	maps.Copy(all, metadata)
	maps.Copy(all, origin)
	header := map[string]any{"__metadata__": all}
	p := &VisionPart{}
	end := int64(0)
	for _, t := range tensors {
		if !slices.ContainsFunc(m.prefixes, func(prefix string) bool { return strings.HasPrefix(t.name, prefix) }) {
			continue
		}
		header[t.name] = entry{t.dtype.String(), append([]uint64{}, t.shape...), [2]int64{end, end + t.size}}
		end += t.size
		if last := len(p.Ranges) - 1; last >= 0 && p.Ranges[last][1] == t.offset {
			p.Ranges[last][1] += t.size
		} else if t.size > 0 {
			p.Ranges = append(p.Ranges, [2]int64{t.offset, t.offset + t.size})
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, &Error{File: name, Problem: "cannot write the header of its vision tower", Err: err}
	}
	text = fmt.Appendf(text, "%*s", (8-len(text)%8)%8, "")
	p.Header = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	return p, nil
}
