package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"vith/loader"
)

// A transfer writes a file that consists of a prefix and, after it, of ranges of a remote one.
type transfer struct {
	client   *Client
	id       loader.HubID
	remote   *remote
	prefix   []byte
	ranges   [][2]int64 // [from, to), ascending
	progress func(done int64)

	file      *os.File
	done      int64     // bytes that are in file
	hash      hash.Hash // of them; nil: the whole has no known sum
	validator string    // strong ETag of the storage that sent the first of them; "": none
}

// name is what messages call the file.
func (t *transfer) name() string { return t.id.String() + "/" + t.remote.name }

// whole reports whether it is the remote file.
func (t *transfer) whole() bool {
	return len(t.prefix) == 0 && len(t.ranges) == 1 && t.ranges[0] == [2]int64{0, t.remote.size}
}

// size is that of the file, in bytes.
func (t *transfer) size() int64 {
	n := int64(len(t.prefix))
	for _, r := range t.ranges {
		n += r[1] - r[0]
	}
	return n
}

// run writes the file at path, from where an earlier one left it. On success it is complete, on disk, and its sum is
// right. On failure it stays for the next time, unless it is wrong.
func (t *transfer) run(ctx context.Context, path string) (err error) {
	if t.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	defer func() {
		t.file.Close()
		if err != nil && t.done <= int64(len(t.prefix)) {
			os.Remove(path)
		}
	}()
	t.hash = nil
	if t.remote.sum() != "" && t.whole() {
		t.hash = sha256.New()
	}
	if err := t.resume(); err != nil {
		return err
	}
	for {
		from, to := t.next()
		if from == to {
			break
		}
		err := t.client.retry(ctx, t.name(), func(ctx context.Context, alive func()) (bool, error) {
			before := t.done
			from, to := t.next()
			err := t.fetch(ctx, from, to, alive)
			return t.done > before, err
		})
		if err != nil {
			return err
		}
	}
	if t.hash != nil {
		if got, want := fmt.Sprintf("%x", t.hash.Sum(nil)), t.remote.sum(); got != want {
			t.done = 0 // removes it
			return &loader.Error{File: t.name(), Problem: "the download has sha256 " + got + ", the hub says " + want + ": it is removed", Remedy: "run the command again; if it repeats, something on the way alters the file"}
		}
	}
	return t.file.Sync()
}

// resume takes over what lies in the file, if it can be trusted: content with a sum is checked at the end, a part starts
// with a header that names the content, and anything else begins anew.
func (t *transfer) resume() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	have := info.Size()
	switch {
	case have > t.size() || t.hash == nil && len(t.prefix) == 0:
		return t.restart()
	case t.hash != nil:
		_, err = io.Copy(t.hash, t.file)
	default:
		start := make([]byte, len(t.prefix))
		if _, err := io.ReadFull(t.file, start); err != nil || !bytes.Equal(start, t.prefix) {
			return t.restart()
		}
		_, err = t.file.Seek(0, io.SeekEnd)
	}
	t.done = have
	t.progress(t.done)
	return err
}

// restart begins anew with what the server now has.
func (t *transfer) restart() error {
	t.done = 0
	if t.whole() {
		t.validator = ""
	}
	if t.hash != nil {
		t.hash.Reset()
	}
	if err := t.file.Truncate(0); err != nil {
		return err
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.write(t.prefix)
}

func (t *transfer) write(b []byte) error {
	n, err := t.file.Write(b)
	t.done += int64(n)
	if t.hash != nil {
		t.hash.Write(b[:n])
	}
	t.progress(t.done)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &loader.Error{File: t.name(), Problem: fmt.Sprintf("the disk of %s is full, %s are missing", t.client.Cache, Size(t.size()-t.done)), Remedy: moreSpace}
	}
	return err
}

// next returns the range of the remote file that is to be fetched next; an empty one at the end.
func (t *transfer) next() (from, to int64) {
	at := t.done - int64(len(t.prefix))
	for _, r := range t.ranges {
		if n := r[1] - r[0]; at >= n {
			at -= n
			continue
		}
		return r[0] + at, r[1]
	}
	return 0, 0
}

// fetch asks for bytes [from, to) of the remote file and appends what comes.
func (t *transfer) fetch(ctx context.Context, from, to int64, alive func()) error {
	resp, err := t.request(ctx, from, to)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	host := resp.Request.URL.Host
	success := resp.StatusCode/100 == 2
	if etag := resp.Header.Get("ETag"); success && t.validator != "" && etag != "" && etag != t.validator {
		if err := t.restart(); err != nil {
			return err
		}
		if !t.whole() { // the ranges may be others now
			return &loader.Error{File: t.name(), Problem: host + " changed the file while it was pulled", Remedy: "run the command again"}
		}
		return transientf("%s changed the file between two requests", host)
	}
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		if err := t.restart(); err != nil {
			return err
		}
		return transientf("%s has no bytes from %d on", host, from)
	case !success:
		return t.client.refusal(t.id, t.remote.name, resp)
	case isPage(resp.Header):
		return pageError(t.name(), host)
	case resp.StatusCode == http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", from, to-1, t.remote.size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return transientf("%s sends %q, asked for %q", host, got, want)
		}
	case !t.whole():
		return &loader.Error{File: t.name(), Problem: host + " does not send parts of files", Remedy: "leave out --vision-only to pull the whole file"}
	case from > 0: // the whole file, where the rest was asked for
		if err := t.restart(); err != nil {
			return err
		}
		from = 0
	}
	if n := resp.ContentLength; n >= 0 && n != to-from {
		return transientf("%s sends %d bytes, the hub says %d", host, n, to-from)
	}
	if etag := resp.Header.Get("ETag"); t.validator == "" && strings.HasPrefix(etag, `"`) {
		t.validator = etag
	}
	return t.copy(resp.Body, to-from, host, alive)
}

// request asks for bytes [from, to) of the remote file. A server on which the file is not what it was sends all of it.
func (t *transfer) request(ctx context.Context, from, to int64) (*http.Response, error) {
	header := http.Header{}
	if from > 0 || to < t.remote.size {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
		if t.validator != "" {
			header.Set("If-Range", t.validator)
		}
	}
	return t.client.send(ctx, http.MethodGet, t.remote.url, header, nil)
}

// copy appends the n bytes of a body.
func (t *transfer) copy(body io.Reader, n int64, host string, alive func()) error {
	buf := make([]byte, 256<<10)
	for left := n; ; {
		k, err := body.Read(buf)
		alive()
		if int64(k) > left {
			if err := t.restart(); err != nil {
				return err
			}
			return transientf("%s sends more than the %d bytes that it should", host, n)
		}
		if t.done == 0 && looksLikePage(buf[:k]) {
			return pageError(t.name(), host)
		}
		if err := t.write(buf[:k]); err != nil {
			return err
		}
		left -= int64(k)
		switch {
		case err == io.EOF && left == 0:
			return nil
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return transientf("%s cut the connection, %s are missing", host, Size(t.size()-t.done))
		case err != nil:
			return networkError(host, err)
		}
	}
}

// looksLikePage reports whether content starts like a web page, whatever its type is said to be.
func looksLikePage(start []byte) bool {
	start = bytes.ToLower(bytes.TrimLeft(start[:min(len(start), 64)], " \t\r\n\ufeff"))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// moreSpace is the remedy for a full disk.
const moreSpace = "free some, or set HF_HUB_CACHE to a folder on another disk"
