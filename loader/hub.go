package loader

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// HubHome is the folder of the tools of the Hugging Face hub: HF_HOME, else huggingface in XDG_CACHE_HOME or ~/.cache.
// It need not exist.
//
// Source: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables.
func HubHome() string {
	if home := os.Getenv("HF_HOME"); home != "" {
		return home
	}
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
	return filepath.Join(cache, "huggingface")
}

// HubCache is the folder where they keep repositories: HF_HUB_CACHE, else hub in HubHome. It need not exist.
func HubCache() string {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	return filepath.Join(HubHome(), "hub")
}

// A HubID names a repository of the hub and a branch, tag or commit of it.
type HubID struct {
	Org, Name, Revision string
}

// DefaultRevision is the branch of a repository when none is named.
const DefaultRevision = "main"

var hubPattern = regexp.MustCompile(`^([\w-][\w.-]*)/([\w-][\w.-]*)(?:@([\w.-][\w./-]*))?$`)

// ParseHubID splits ORG/NAME[@REVISION].
func ParseHubID(ref string) (HubID, bool) {
	m := hubPattern.FindStringSubmatch(ref)
	if m == nil || m[3] != "" && !filepath.IsLocal(m[3]) {
		return HubID{}, false
	}
	return HubID{m[1], m[2], cmp.Or(m[3], DefaultRevision)}, true
}

// String is ORG/NAME.
func (id HubID) String() string { return id.Org + "/" + id.Name }

// Folder is the name of the repository's folder in a cache. In it lie
//
//	blobs/ETAG                 contents, under the hub's name for them
//	refs/REVISION              the commit that a branch or tag stands for
//	snapshots/COMMIT/FILE      links into blobs
//	vision/COMMIT/FILE         a vision tower that was pulled without the rest of its file
//
// of which the last is our own and passed over by the hub's tools.
//
// Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
func (id HubID) Folder() string { return "models--" + id.Org + "--" + id.Name }

// cached returns the folder in the cache with the repository's weights: the snapshot, or where it has none the vision
// tower alone.
func (id HubID) cached() (string, error) {
	repository := filepath.Join(HubCache(), id.Folder())
	commit := id.Revision
	if ref, err := readSmall(filepath.Join(repository, "refs", id.Revision), 1<<10); err == nil {
		commit = strings.TrimSpace(string(ref))
	}
	if filepath.IsLocal(commit) {
		snapshot, vision := filepath.Join(repository, "snapshots", commit), filepath.Join(repository, "vision", commit)
		for _, folder := range []string{snapshot, vision} {
			if _, _, err := weightFiles(folder); err == nil {
				return folder, nil
			}
		}
		for _, folder := range []string{snapshot, vision} { // opening it says what is wrong with it
			if info, err := os.Stat(folder); err == nil && info.IsDir() {
				return folder, nil
			}
		}
	}
	pull := "vith weights pull "
	if id.Revision != DefaultRevision {
		pull += "--revision " + id.Revision + " "
	}
	return "", &Error{File: id.String(), Problem: "no such file or folder, and no revision " + id.Revision + " in the hub cache " + HubCache(),
		Remedy: "run `" + pull + id.String() + "`, or `--model synth:vit-h-14/1` for a try without weights"}
}
