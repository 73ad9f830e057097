package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A running is a vith serve that has said that it serves.
type running struct {
	cmd  *exec.Cmd
	url  string
	dir  string // XDG_RUNTIME_DIR
	said string // its log until it served
	logs chan string
}

// serve starts a server on a free port, on the CPU. It is killed when the test ends.
func serve(t *testing.T, args ...string) *running {
	t.Helper()
	return serveIn(t, nil, append([]string{"--device", "cpu"}, args...)...)
}

func serveIn(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	s := &running{dir: t.TempDir(), logs: make(chan string, 1)}
	args = append([]string{"serve", "--model", tiny, "--addr", "127.0.0.1:0", "--log-format", "json"}, args...)
	s.cmd = command(t, append(env, "XDG_RUNTIME_DIR="+s.dir), args...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for s.url == "" {
		if !lines.Scan() {
			t.Fatalf("the server ended: %v\n%s", s.cmd.Wait(), said.String())
		}
		said.WriteString(lines.Text() + "\n")
		var line struct{ Msg, URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v in the log line %s", err, lines.Text())
		}
		s.url = line.URL
	}
	s.said = said.String()
	go func() {
		rest, _ := io.ReadAll(stderr)
		s.logs <- s.said + string(rest)
	}()
	return s
}

// wait returns the exit code and the log of a server that ends.
func (s *running) wait() (code int, logs string) {
	logs = <-s.logs
	s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), logs
}

func (s *running) port() string {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	return port
}

func (s *running) post(t *testing.T, path string, header http.Header, body []byte) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequest("POST", s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// HTTP and command line give the same bits and say the same about them.
func TestServeEqualsEmbed(t *testing.T) {
	s := serve(t)
	for _, name := range []string{"chelsea_451x300.png", "coffee_400x267_cmyk.jpg", "retina_1411x1411_420.jpg"} {
		image := readFile(t, photos+name)
		for _, args := range [][]string{nil, {"--normalize"}, {"--output", "projected"}, {"--output", "projected", "--normalize"}, {"--output", "penultimate"}} {
			query := url.Values{}
			for i, arg := range args {
				switch arg {
				case "--normalize":
					query.Set("normalize", "true")
				case "--output":
					query.Set("output", args[i+1])
				}
			}
			status, body := s.post(t, "/api/embed?"+query.Encode(), nil, image)
			if status != http.StatusOK {
				t.Fatalf("%s %q: %d %s", name, args, status, body)
			}
			got, want := parse(t, string(body)), vectors(t, append(args, photos+name)...)
			if !same(got.Data[0].Embedding, want.Data[0].Embedding) {
				t.Errorf("%s %q: the vectors differ", name, args)
			}
			got.Data, want.Data = nil, nil
			if a, b := fmt.Sprint(got), fmt.Sprint(want); a != b {
				t.Errorf("%s %q: HTTP says\n%s\nthe command line\n%s", name, args, a, b)
			}
		}
	}
}

func TestServeInfo(t *testing.T) {
	s := serve(t, "--served-model-name", "cats", "--output", "projected", "--normalize", "--max-batch", "3", "--threads", "2", "--max-client-batch-size", "5")
	get := func(path string) string {
		res, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d %v %s", path, res.StatusCode, err, body)
		}
		return string(body)
	}
	for _, want := range []string{`"model":"cats"`, `"max_batch":3`, `"projected":[96]`, `"penultimate":[17,160]`, `"synthetic":true`, `"image_size":56`, `"commit":`} {
		if body := get("/api/info"); !strings.Contains(body, want) {
			t.Errorf("/api/info does not say %s: %s", want, body)
		}
	}
	for _, want := range []string{`"output":"projected"`, `"normalize":true`, `"max_client_batch_size":5`, `"max_body_size":67108864`} {
		if body := get("/api"); !strings.Contains(body, want) {
			t.Errorf("/api does not say %s: %s", want, body)
		}
	}
	get("/health/ready")
	var devices struct {
		Devices []struct {
			ID     string
			Load   float64
			Memory struct{ Total, Free, Weights, Arena int64 }
		}
	}
	if err := json.Unmarshal([]byte(get("/api/devices")), &devices); err != nil {
		t.Fatal(err)
	}
	if d := devices.Devices; len(d) != 1 || d[0].ID != "cpu" || d[0].Load <= 0 || d[0].Load > 1 || d[0].Memory.Weights < 2926080 || d[0].Memory.Arena == 0 || d[0].Memory.Total < d[0].Memory.Free {
		t.Errorf("%+v", devices)
	}
	s.cmd.Process.Signal(os.Interrupt)
	code, logs := s.wait()
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"model loaded", `"digest":"sha256:`, `"threads":2`, `"level":"WARN","msg":"the model is synthetic`, `"stopped"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("the log does not say %s:\n%s", want, logs)
		}
	}
}

// half opens a request and leaves its body unfinished. The rest, once sent, gives the answer.
func (s *running) half(t *testing.T, image []byte) (finish func() (*http.Response, error)) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /api/embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(image))
	answer := bufio.NewReader(conn)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v; want 100 Continue", line, err)
	}
	answer.ReadString('\n')
	conn.Write(image[:len(image)/2])
	s.post(t, "/api/embed", nil, image) // a whole request later the half one is surely under way
	return func() (*http.Response, error) {
		conn.Write(image[len(image)/2:])
		return http.ReadResponse(answer, nil)
	}
}

// draining waits until the server refuses new work.
func (s *running) draining(t *testing.T) {
	t.Helper()
	for {
		res, err := http.Get(s.url + "/health/ready")
		if err != nil {
			t.Fatalf("the server does not answer while it drains: %v", err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return
		}
	}
}

func TestServeDrains(t *testing.T) {
	s := serve(t)
	finish := s.half(t, readFile(t, photos+"chelsea_451x300.png"))
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.draining(t)
	if status, body := s.post(t, "/api/embed", nil, []byte("x")); status != http.StatusServiceUnavailable {
		t.Errorf("a new request gets %d %s", status, body)
	}
	res, err := finish()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the request under way gets %v, %v", res, err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || len(parse(t, string(body)).Data) != 1 {
		t.Errorf("%v in %.200s", err, body)
	}
	if code, logs := s.wait(); code != 0 {
		t.Errorf("exit %d\n%s", code, logs)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestServeSecondSignal(t *testing.T) {
	s := serve(t)
	s.half(t, readFile(t, photos+"chelsea_451x300.png"))
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.draining(t)
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.wait()
	if status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want SIGTERM", s.cmd.ProcessState)
	}
}

func TestServeExitTimeout(t *testing.T) {
	s := serve(t, "--exit-timeout", "10ms")
	s.half(t, readFile(t, photos+"chelsea_451x300.png"))
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code, logs := s.wait(); code != 1 || !strings.Contains(logs, "unfinished") {
		t.Errorf("exit %d\n%s", code, logs)
	}
}

func TestServePortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String()
	r := vith(t, "serve", "--model", tiny, "--addr", addr)
	if r.code != 3 || !strings.Contains(r.stderr, addr+" is in use") || !strings.Contains(r.stderr, "another port") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if r := vith(t, "serve", "--model", tiny, "--addr", "nonsense"); r.code != 3 || !strings.Contains(r.stderr, "nonsense") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

func TestServeAPIKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	create(t, file, []byte("# keys\n\nkey three\n"))
	s := serve(t, "--api-key", "key-one,key-two", "--api-key", file, "--log-level", "debug")
	image := readFile(t, photos+"coffee_120x80.bmp")
	for key, want := range map[string]int{"key-one": 200, "key-two": 200, "key three": 200, "": 401, "# keys": 401, file: 401} {
		header := http.Header{"Authorization": {"Bearer " + key}}
		if status, body := s.post(t, "/api/embed", header, image); status != want {
			t.Errorf("key %q gets %d %s, want %d", key, status, body, want)
		}
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	_, logs := s.wait()
	for _, key := range []string{"key-one", "key-two", "key three"} {
		if strings.Contains(logs, key) {
			t.Errorf("the key %s is in the log:\n%s", key, logs)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	create(t, empty, []byte("# none\n"))
	if r := vith(t, "serve", "--model", tiny, "--api-key", empty); r.code != 2 || !strings.Contains(r.stderr, empty) {
		t.Errorf("a file without keys: exit %d, %s", r.code, r.stderr)
	}
}

func TestStop(t *testing.T) {
	s := serve(t)
	stop := func(args ...string) result {
		return finish(t, command(t, []string{"XDG_RUNTIME_DIR=" + s.dir}, append([]string{"stop"}, args...)...))
	}
	path := filepath.Join(s.dir, "vith-"+s.port()+".pid")
	if pid := strings.TrimSpace(string(readFile(t, path))); pid != fmt.Sprint(s.cmd.Process.Pid) {
		t.Errorf("the pid file says %s, want %d", pid, s.cmd.Process.Pid)
	}
	if r := stop("--addr", ":1"); r.code != 3 || !strings.Contains(r.stderr, "no server to stop") {
		t.Errorf("another port: exit %d, %s", r.code, r.stderr)
	}
	if r := stop("--addr", ":"+s.port()); r.code != 0 {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if code, logs := s.wait(); code != 0 {
		t.Errorf("the server: exit %d\n%s", code, logs)
	}

	// A file that a killed server left behind names a process that is none of ours.
	create(t, path, []byte(fmt.Sprint(os.Getpid())))
	if r := stop("--addr", ":"+s.port()); r.code != 3 || !strings.Contains(r.stderr, "left behind") {
		t.Errorf("a stale file: exit %d, %s", r.code, r.stderr)
	}
}

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "here.pid")
	s := serve(t, "--pid-file", path)
	if r := vith(t, "serve", "--model", tiny, "--addr", "127.0.0.1:0", "--pid-file", path); r.code != 3 || !strings.Contains(r.stderr, path) {
		t.Errorf("a second server on the file: exit %d, %s", r.code, r.stderr)
	}
	if r := vith(t, "stop", "--pid-file", path); r.code != 0 {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	s.wait()
	if _, err := os.Stat(path); err == nil {
		t.Error("the pid file is still there")
	}
}
