package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"vith/server"
)

// buildVersion is what the Go command recorded about this program.
func buildVersion() server.Version {
	v := server.Version{Version: "unknown", Commit: "unknown", Go: runtime.Version(), Tags: []string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(info.Main.Version, v.Version)
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		case "-tags":
			v.Tags = strings.Split(s.Value, ",")
		}
	}
	if modified {
		v.Commit += "+modified"
	}
	return v
}

func printVersion(w io.Writer, asJSON bool) error {
	v := buildVersion()
	if asJSON {
		return json.NewEncoder(w).Encode(v)
	}
	_, err := fmt.Fprintf(w, "vith %s, commit %s, %s, tags [%s]\n", v.Version, v.Commit, v.Go, strings.Join(v.Tags, " "))
	return err
}
