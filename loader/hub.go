package loader

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// HubCache is the folder where the tools of the Hugging Face hub keep repositories: HF_HUB_CACHE, else hub in HF_HOME,
// else huggingface/hub in XDG_CACHE_HOME or ~/.cache. It need not exist.
//
// Source: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables.
func HubCache() string {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	if home := os.Getenv("HF_HOME"); home != "" {
		return filepath.Join(home, "hub")
	}
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
	return filepath.Join(cache, "huggingface", "hub")
}

// A hubID names a repository of the hub and a branch, tag or commit of it.
type hubID struct {
	org, name, revision string
}

var hubPattern = regexp.MustCompile(`^([\w-][\w.-]*)/([\w-][\w.-]*)(?:@([\w.-][\w./-]*))?$`)

func parseHubID(ref string) (hubID, bool) {
	m := hubPattern.FindStringSubmatch(ref)
	if m == nil || m[3] != "" && !filepath.IsLocal(m[3]) {
		return hubID{}, false
	}
	return hubID{m[1], m[2], cmp.Or(m[3], "main")}, true
}

// folder returns the snapshot of the repository in the cache: models--ORG--NAME/snapshots/COMMIT, where
// refs/REVISION holds the COMMIT of a branch or tag.
//
// Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
func (id hubID) folder() (string, error) {
	repository := filepath.Join(HubCache(), "models--"+id.org+"--"+id.name)
	commit := id.revision
	if ref, err := readSmall(filepath.Join(repository, "refs", id.revision), 1<<10); err == nil {
		commit = strings.TrimSpace(string(ref))
	}
	folder := filepath.Join(repository, "snapshots", commit)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() || !filepath.IsLocal(commit) {
		pull := "vith weights pull "
		if id.revision != "main" {
			pull += "--revision " + id.revision + " "
		}
		return "", &Error{File: id.org + "/" + id.name, Problem: "no such file or folder, and no revision " + id.revision + " in the hub cache " + HubCache(),
			Remedy: "run `" + pull + id.org + "/" + id.name + "`, or `--model synth:vit-h-14/1` for a try without weights"}
	}
	return folder, nil
}
