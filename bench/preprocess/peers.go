package preprocess

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Peers are the programs of others to compare with, as names or paths. An empty
// one is looked for under its usual name; None leaves it out.
type Peers struct {
	TJBench  string // of libjpeg-turbo
	Jpegtran string // of libjpeg-turbo
	Python   string // with Pillow; python3
}

// None is the name of a peer that is not wanted.
const None = "none"

func (p Peers) command(name, usual string) string {
	if name == "" {
		return usual
	}
	return name
}

//go:embed pillow.py
var pillow string

// installed are the peers that were found, with their versions; empty if not.
type installed struct {
	tjbench, turbo  string
	python, version string
}

// find looks for peers.
func (p Peers) find(ctx context.Context) (installed, error) {
	var found installed
	if path, err := exec.LookPath(p.command(p.TJBench, "tjbench")); err == nil {
		found.tjbench, found.turbo = path, turboVersion(ctx, path)
	}
	if path, err := exec.LookPath(p.command(p.Python, "python3")); err == nil {
		const ask = "import PIL; from PIL import features; print(PIL.__version__, features.version('libjpeg_turbo') or '')"
		if out, err := exec.CommandContext(ctx, path, "-c", ask).Output(); err == nil {
			found.python = path
			version, turbo, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
			if found.version = version; turbo != "" {
				found.version += " with libjpeg-turbo " + turbo
			}
		}
	}
	return found, ctx.Err()
}

// turboVersion asks the djpeg beside tjbench, which does not tell its own.
func turboVersion(ctx context.Context, tjbench string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(tjbench), "djpeg"), "-version").CombinedOutput()
	if match := regexp.MustCompile(`version (\S+)`).FindSubmatch(out); err == nil && match != nil {
		return string(match[1])
	}
	return "of unknown version"
}

// versions lists the peers for the report.
func (p installed) versions() (names []string) {
	if p.tjbench != "" {
		names = append(names, "libjpeg-turbo "+p.turbo)
	}
	if p.python != "" {
		names = append(names, "Pillow "+p.version)
	}
	return names
}

// measure returns the times of the peers.
func (p installed) measure(ctx context.Context, m Image, o Options) (times []timing, err error) {
	file, err := os.CreateTemp("", "vith-bench-*"+suffixes[m.Format])
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(m.Data); err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if p.tjbench != "" && (m.Format == formatJPEG || m.Format == formatProgressive) {
		t, err := timeTurbo(ctx, p.tjbench, file.Name(), o.Duration)
		if err != nil {
			return nil, err
		}
		times = append(times, timing{TurboDecode, t})
	}
	if p.python != "" {
		decode, crop, err := timePillow(ctx, p.python, file.Name(), o)
		if err != nil {
			return nil, err
		}
		times = append(times, timing{PillowDecode, decode}, timing{PillowCrop, crop})
	}
	return times, nil
}

// suffixes are those that tjbench tells formats by.
var suffixes = map[string]string{formatJPEG: ".jpg", formatProgressive: ".jpg"}

// timeTurbo returns the CPU time of one decode. tjbench prints frames per second
// of wall time; how many it decoded follows, and what these cost the CPU is told
// by the system.
func timeTurbo(ctx context.Context, tjbench, file string, duration time.Duration) (time.Duration, error) {
	seconds := strconv.FormatFloat(duration.Seconds(), 'f', -1, 64)
	cmd := exec.CommandContext(ctx, tjbench, file, "-rgb", "-nowrite", "-warmup", "0", "-benchtime", seconds)
	out, err := output(ctx, cmd)
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`Decompress +--> Frame rate: +([0-9.]+) fps`).FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("%s printed no frame rate: %s", tjbench, out)
	}
	rate, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil || rate <= 0 {
		return 0, fmt.Errorf("%s printed the frame rate %s", tjbench, match[1])
	}
	frames := math.Ceil(rate*duration.Seconds()) + 1 // it stops behind the time, and warms up with one
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return time.Duration(float64(cpu) / frames), nil
}

// timePillow returns the CPU time of a decode to RGB and of the whole way.
func timePillow(ctx context.Context, python, file string, o Options) (decode, crop time.Duration, err error) {
	seconds := strconv.FormatFloat(o.Duration.Seconds(), 'f', -1, 64)
	cmd := exec.CommandContext(ctx, python, "-c", pillow, strconv.Itoa(o.Size), seconds, file)
	out, err := output(ctx, cmd)
	if err != nil {
		return 0, 0, err
	}
	var times struct{ Decode, Crop float64 }
	if err := json.Unmarshal(out, &times); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", python, err)
	}
	second := float64(time.Second)
	return time.Duration(times.Decode * second), time.Duration(times.Crop * second), nil
}

// output runs a command. Its error has what the command wrote to stderr.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ended := ctx.Err(); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd.Path, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
