package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"vith/server/answer"
	"vith/vit/preprocess"
)

// stdin is the name of the image on standard input.
const stdin = "-"

// maxFile bounds an encoded image, in bytes. No image within the limit on pixels is as large.
const maxFile = 1 << 30

// readImage returns the bytes of an image file, or of standard input.
func readImage(name string) ([]byte, error) {
	f := os.Stdin
	if name != stdin {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &preprocess.Error{Code: preprocess.ImageTooLarge, Err: fmt.Errorf("the file is larger than %d bytes", maxFile)}
	}
	return data, err
}

// imageError is what an answer says about an image that cannot be read or decoded.
func imageError(err error) *answer.Error {
	e := &answer.Error{Code: "file_unreadable", Message: err.Error()}
	if wrong, ok := errors.AsType[*preprocess.Error](err); ok {
		e.Code = string(wrong.Code)
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		e.Message = "cannot " + file.Op + " the file: " + file.Err.Error() // the answer names the file already
		if errors.Is(err, fs.ErrNotExist) {
			e.Code = "file_not_found"
		}
	}
	return e
}
