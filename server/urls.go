package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"vith/server/answer"
	"vith/server/fetch"
)

// Images that are fetched at once: for one request, and for all.
const (
	fetchesOfRequest = 8
	fetchesOfServer  = 64
)

// fetchAll gets the images of a request that are given by URL. One that cannot
// be had gets an error of its own.
func (s *Server) fetchAll(ctx context.Context, r *request, in []input) error {
	if !slices.ContainsFunc(in, func(i input) bool { return i.url != "" }) {
		return nil
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // of r.held and first
		first error
		turn  = make(chan struct{}, fetchesOfRequest)
	)
	hold := func(n int) error {
		mu.Lock()
		defer mu.Unlock()
		return s.holdBytes(r, n)
	}
	for i := range in {
		if in[i].url == "" {
			continue
		}
		if s.fetcher == nil {
			in[i].err = &answer.Error{Code: "url_fetch_off", Message: "this server does not fetch URLs (--url-fetch); send the image itself"}
			continue
		}
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			if err := s.fetch(ctx, &in[i], hold); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	wg.Wait()
	return first
}

// fetch gets one image. It returns what is not the URL's fault.
func (s *Server) fetch(ctx context.Context, in *input, hold func(n int) error) error {
	select {
	case s.fetches <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.fetches }()
	data, err := s.fetcher.Get(ctx, in.url, s.config.MaxBodySize, hold)
	if err == nil {
		in.data = data
		return nil
	}
	if e, ok := errors.AsType[*fetch.Refused](err); ok {
		in.err = &answer.Error{Code: "url_refused", Message: e.Error()}
		return nil
	}
	if _, ok := errors.AsType[*apiError](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.log.Debug("a URL could not be fetched", "error", err) // which may tell of this network what clients must not know
	in.err = &answer.Error{Code: "url_failed", Message: "the URL could not be fetched"}
	return nil
}
