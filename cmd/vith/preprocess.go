package main

import (
	"bufio"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"vith/loader"
	"vith/server/answer"
	"vith/vit/preprocess"
)

// defaultImageSize is the side in pixels of what most towers see.
const defaultImageSize = 224

func preprocessCommand() *cli.Command {
	var pixels pixelFlags
	var model string
	return &cli.Command{
		Name:      "preprocess",
		Usage:     "the crop the model sees, as PNG or .npy",
		ArgsUsage: "IMAGE OUT.png|OUT.npy",
		Description: `Decodes, turns, scales and crops an image exactly as embed and serve do, and writes the
pixels that the model is given: S x S in RGB, 8 bits a sample. S is the model's image size,
224 when no --model is given; none is needed. .npy is an array of shape [S, S, 3].

Examples:
  vith preprocess cat.jpg cat-224.png
  vith preprocess --exif ignore --crop round cat.jpg cat-openclip.npy`,
		Flags: append([]cli.Flag{newFlag(&model, "model", "", modelUsage, text)}, pixels.flags()...),
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 2, 2)
			if err != nil {
				return err
			}
			name, path := args[0], args[1]
			encode, ok := map[string]func(io.Writer, []byte, int) error{".png": encodePNG, ".npy": encodeNPY}[filepath.Ext(path)]
			if !ok {
				return usagef(c, "%s must end in .png or .npy", path)
			}
			o := pixels.options()
			if o.Size, err = imageSize(model); err != nil {
				return unusablef("%w", err)
			}
			encoded, err := readImage(name)
			rgb := make([]byte, 3*o.Size*o.Size)
			if err == nil {
				err = preprocess.Crop(c.Context, rgb, encoded, o)
			}
			if c.Context.Err() != nil {
				return c.Context.Err()
			}
			if err != nil {
				return &exitError{exitFailed, fmt.Errorf("%s: %s", name, imageError(err).Message)}
			}
			return writeFile(path, func(w io.Writer) error { return encode(w, rgb, o.Size) })
		},
	}
}

// imageSize is the side in pixels of what a model sees.
func imageSize(model string) (int, error) {
	if model == "" {
		return defaultImageSize, nil
	}
	checkpoint, err := loader.OpenModel(model)
	if err != nil {
		return 0, err
	}
	defer checkpoint.Close()
	config, _ := checkpoint.Config()
	return config.Image, nil
}

func encodePNG(w io.Writer, rgb []byte, size int) error {
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range size * size {
		copy(m.Pix[4*i:], rgb[3*i:3*i+3])
		m.Pix[4*i+3] = 0xff
	}
	return png.Encode(w, m) // opaque: without an alpha channel
}

func encodeNPY(w io.Writer, rgb []byte, size int) error {
	_, err := w.Write(append(answer.AppendNPYHeader(nil, "|u1", []int{size, size, 3}), rgb...))
	return err
}

// writeFile writes a file that appears under its name only when it is complete.
func writeFile(path string, write func(io.Writer) error) (err error) {
	partial := fmt.Sprintf("%s.%d.partial", path, os.Getpid())
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(partial)
		}
	}()
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
