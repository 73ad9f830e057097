package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// listenError says why addr cannot be listened on, and what to do.
func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return unusablef("--addr %s is in use: stop what listens there (if it is a vith, `vith stop --addr %s`), or choose another port", addr, addr)
	case errors.Is(err, syscall.EACCES):
		return unusablef("--addr %s is not allowed: choose a port above 1023", addr)
	}
	return unusablef("--addr %s: %w", addr, err)
}

// browseURL is where a browser on this machine finds what listens on addr.
func browseURL(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// apiKeys replaces the names of files by the keys in them: one a line, without blank lines and those that start with #.
func apiKeys(list []string) ([]string, error) {
	var keys []string
	for _, entry := range list {
		if entry == "" {
			continue
		}
		if _, err := os.Stat(entry); err != nil {
			keys = append(keys, entry) // no file: the key itself
			continue
		}
		data, err := os.ReadFile(entry)
		if err != nil {
			return nil, fmt.Errorf("--api-key: %w", err)
		}
		before := len(keys)
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				keys = append(keys, line)
			}
		}
		if len(keys) == before {
			return nil, fmt.Errorf("--api-key: there is no key in the file %s", entry)
		}
	}
	return keys, nil
}
