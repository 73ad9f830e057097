package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"

	"vith/cmd/internal/open"
	"vith/vit"
	"vith/vit/preprocess"
)

// logFlags choose what is logged on standard error, and how.
type logFlags struct {
	level, format string
}

func (l *logFlags) flags() []cli.Flag {
	return []cli.Flag{
		newFlag(&l.level, "log-level", "info", "`LEVEL` debug, info, warn or error", oneOf("debug", "info", "warn", "error")),
		newFlag(&l.format, "log-format", "text", "`FORMAT` text or json", oneOf("text", "json")),
	}
}

func (l *logFlags) logger() *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(l.level)) // one of the above, which slog knows
	options := &slog.HandlerOptions{Level: level}
	if l.format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// pixelFlags choose what becomes of an image before the model sees it.
type pixelFlags struct {
	exif, crop string
}

func (p *pixelFlags) flags() []cli.Flag {
	return []cli.Flag{
		newFlag(&p.exif, "exif", "apply", "`RULE` EXIF orientation: apply or ignore", oneOf("apply", "ignore")),
		newFlag(&p.crop, "crop", "floor", "`RULE` odd margins: floor as transformers, round as open_clip", oneOf("floor", "round")),
	}
}

func (p *pixelFlags) options() preprocess.Options {
	return preprocess.Options{IgnoreEXIF: p.exif == "ignore", RoundCrop: p.crop == "round"}
}

// modelFlags choose a model, what runs it, and what it gives.
type modelFlags struct {
	logFlags
	pixelFlags
	model, device, precision, activation, gelu, residual string
	output, packedCache                                  string
	normalize, deterministic                             bool
	batch, threads, memory                               int
}

const modelUsage = "`MODEL` a .safetensors file, its folder, a pulled hub id, or synth:CONFIG/SEED"

func (m *modelFlags) flags() []cli.Flag {
	list := []cli.Flag{
		newFlag(&m.model, "model", "", modelUsage, text),
		newFlag(&m.device, "device", "auto", "`DEVICE` auto, cpu, cuda (all), cuda:0,2, a GPU's UUID, or emu", text),
		newFlag(&m.precision, "precision", "auto", "`PRECISION` auto, fp32, tf32, fp16 or bf16; the CPU has fp32, bf16", text),
		newFlag(&m.output, "output", string(vit.Pooled), "`OUTPUT` pooled, projected or penultimate",
			oneOf(string(vit.Pooled), string(vit.Projected), string(vit.Penultimate))),
		newSwitch(&m.normalize, "normalize", "scale vectors to unit length (L2)"),
		newFlag(&m.activation, "activation", "", "`NAME` gelu or quick_gelu, whatever the checkpoint says", oneOf("gelu", "quick_gelu")),
		newFlag(&m.gelu, "gelu", "auto", "`FORM` auto, exact or tanh; fp32 is always exact", oneOf("auto", "exact", "tanh")),
		newFlag(&m.residual, "residual", "fp32", "`TYPE` stream between layers: fp32, or in fp16 also fp16", oneOf("fp32", "fp16")),
		newFlag(&m.threads, "threads", "", "`N` default the container's CPU quota, else all cores", between(1, 4096)),
		newFlag(&m.packedCache, "packed-cache", "", "`FOLDER` keep the CPU's form of the weights there, to start sooner", text),
		newSwitch(&m.deterministic, "deterministic", "same bits whatever the load; a GPU then runs full batches only"),
	}
	return append(append(list, m.pixelFlags.flags()...), m.logFlags.flags()...)
}

// maxBatch bounds the images of one forward pass, and with them the memory that is reserved for it.
const maxBatch = 1024

func (m *modelFlags) batchFlag(name string) *cli.GenericFlag {
	return newFlag(&m.batch, name, "8", "`N` most images in one forward pass", between(1, maxBatch))
}

// check reports flags that do not go together.
func (m *modelFlags) check(c *cli.Context) error {
	if m.normalize && m.output == string(vit.Penultimate) {
		return usagef(c, "--normalize does not go with --output penultimate, which is a matrix of tokens: leave one of them out")
	}
	return nil
}

// load loads the model with the given outputs, nil for all of them, normalised or as they are. While it does, a bar
// shows on a terminal.
func (m *modelFlags) load(c *cli.Context, log *slog.Logger, outputs []vit.Output, normalize bool) (*open.Model, error) {
	if m.threads > 0 {
		runtime.GOMAXPROCS(m.threads)
	}
	bar := newBar("loading "+filepath.Base(m.model), true)
	defer bar.clear()
	model, err := open.Load(c.Context, open.Options{
		Model: m.model, Device: m.device, Precision: m.precision, Activation: m.activation, GELU: m.gelu, Residual: m.residual,
		CPU: os.Getenv("VITH_CPU"), Threads: m.threads, MaxBatch: m.batch, Memory: int64(m.memory), Deterministic: m.deterministic,
		Choices: choicesFile(), PackedCache: m.packedCache, Outputs: outputs, Normalize: normalize,
		Preprocess: m.pixelFlags.options(), Log: log, Progress: bar.set,
		Lost: func(s open.State) { log.Error("a device failed and gets no more work", "device", s.ID, "error", s.Err) },
	})
	return model, openError(c, err)
}

// choicesFile keeps the algorithms that were chosen for a GPU, or is "" where users have no folder for such things.
func choicesFile() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "vith", "cublaslt.jsonl")
}
