// Command vith turns images into CLIP ViT embeddings, over HTTP and on the command line.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newApp().RunContext(ctx, os.Args)
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, cause) || errors.Is(err, ctx.Err())) {
		err = &exitError{exitInterrupted, cause}
	}
	os.Exit(report(os.Stderr, err))
}
