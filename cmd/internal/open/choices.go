package open

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"vith/cuda"
)

// readChoices reads the file of algorithms. One that is damaged counts as empty.
func (o Options) readChoices() *cuda.Choices {
	if o.Choices == "" {
		return nil
	}
	choices, err := readChoices(o.Choices)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			o.Log.Warn("the algorithms chosen before cannot be read and are chosen anew", "reason", err)
		}
		return &cuda.Choices{}
	}
	return choices
}

func readChoices(path string) (*cuda.Choices, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	choices, err := cuda.ReadChoices(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return choices, nil
}

// saveChoices adds what was chosen to the file. If it cannot, the next start chooses again.
func (o Options) saveChoices() {
	if o.choices == nil || !o.choices.Changed() {
		return
	}
	if err := addChoices(o.Choices, o.choices); err != nil {
		o.Log.Warn("the algorithms that were chosen cannot be kept for the next start", "reason", err)
	}
}

// addChoices replaces the file by one that has its choices and these. Readers see the one or the other.
func addChoices(path string, choices *cuda.Choices) error {
	all, err := readChoices(path) // again: another process may have written it
	if err != nil {
		all = &cuda.Choices{}
	}
	all.Add(choices)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it was renamed
	if err := errors.Join(all.Write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
