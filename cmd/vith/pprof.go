package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// loopback reads an address that only this machine can reach.
func loopback(s string) (string, error) {
	host, _, err := net.SplitHostPort(s)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("must be an address of this machine alone such as 127.0.0.1:6060: profiles tell what is in memory")
	}
	return s, nil
}

// serveProfiles serves the profiles of net/http/pprof until stop. addr is a loopback address.
func serveProfiles(log *slog.Logger, addr string) (stop func() error, err error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(ln) // until it is closed
	log.Info("profiles", "at", fmt.Sprintf("http://%s/debug/pprof/", ln.Addr()))
	return s.Close, nil
}
