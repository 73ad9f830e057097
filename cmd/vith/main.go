// Command vith turns images into CLIP ViT embeddings, over HTTP and on the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newApp().RunContext(ctx, os.Args)
	if err != nil && ctx.Err() != nil {
		err = &exitError{exitInterrupted, context.Cause(ctx)}
	}
	os.Exit(report(os.Stderr, err))
}
