#!/usr/bin/env python3
"""vith on a CPU beside PyTorch, ONNX Runtime and OpenVINO, on the same checkpoint and the same images.

    cpu.py [--vith PROGRAM] [--threads N] [--seconds S] [--rounds N] [--batches 1,8] [--precisions fp32,bf16] [--peers NAME,...]
           [--format markdown|json] CHECKPOINT IMAGE...

CHECKPOINT is a safetensors file of float32 as `vith weights synth` writes it. Every program embeds the same crops, as
`vith preprocess` makes them. The programs take turns, so many rounds; the figure of each is the median of its passes of
all rounds, of vith that of its rounds' medians. All get the same number of threads, and none may spin between its passes: threads of others that wait in a
loop would slow down whose turn it is. vith starts anew each round, loading is not counted. The vectors of each are
compared with those that transformers computes in float32.

Peers: torch (PyTorch eager, transformers' CLIPVisionModelWithProjection with scaled_dot_product_attention),
torch-compile, onnxruntime, openvino; those that are not installed are left out and named. requirements.txt pins the
versions that the committed results were made with.
"""
import argparse
import copy
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--vith", default="./vith")
arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
arguments.add_argument("--seconds", type=float, default=4, help="for each program in each round")
arguments.add_argument("--rounds", type=int, default=3)
arguments.add_argument("--batches", default="1")
arguments.add_argument("--precisions", default="fp32,bf16")
arguments.add_argument("--peers", default="torch,torch-compile,onnxruntime,openvino")
arguments.add_argument("--format", default="markdown", choices=["markdown", "json"])
arguments.add_argument("checkpoint")
arguments.add_argument("images", nargs="+")
options = arguments.parse_args()

# What the libraries read as they start: no thread spins, and memory that a pass frees stays for the next one.
settings = dict(OMP_NUM_THREADS=str(options.threads), OMP_WAIT_POLICY="passive", KMP_BLOCKTIME="0", MALLOC_TRIM_THRESHOLD_="8589934592",
                MALLOC_TOP_PAD_="268435456", MALLOC_MMAP_MAX_="0")
if any(os.environ.get(name) != value for name, value in settings.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})

try:
    import numpy as np
    import torch
    import transformers
except ImportError as error:
    print(f"absent: {error}", file=sys.stderr)
    sys.exit(69)

MEAN = np.array((0.48145466, 0.4578275, 0.40821073))
STD = np.array((0.26862954, 0.26130258, 0.27577711))

torch.set_num_threads(options.threads)
torch.set_grad_enabled(False)


def note(text):
    print(f"cpu.py: {text}", file=sys.stderr, flush=True)


def vith(*words):
    return subprocess.check_output([options.vith, *words])


def configuration():
    return json.loads(vith("weights", "inspect", "--json", options.checkpoint))["config"]


def load(folder):
    """transformers' model of the checkpoint, in float32."""
    os.symlink(os.path.abspath(options.checkpoint), f"{folder}/model.safetensors")
    with open(f"{folder}/config.json", "w") as f:
        json.dump({"model_type": "clip_vision_model", **configuration()}, f)
    model, loading = transformers.CLIPVisionModelWithProjection.from_pretrained(
        folder, attn_implementation="sdpa", output_loading_info=True, dtype=torch.float32)
    if loading["missing_keys"] or loading["unexpected_keys"]:
        sys.exit(f"transformers reads another tower: {loading}")
    return model.eval()


class Tower(torch.nn.Module):
    """Pixels in, vectors out: what the others are given of transformers' model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).image_embeds


def pixels(folder, batch):
    """Normalised crops of the images, repeated up to the batch: [batch, 3, S, S] float32."""
    crops = []
    for i, image in enumerate(options.images):
        path = f"{folder}/crop{i}.npy"
        if not os.path.exists(path):
            vith("preprocess", "--model", options.checkpoint, image, path)
        crops.append(np.load(path))
    x = (np.stack([crops[i % len(crops)] for i in range(batch)]) / 255.0 - MEAN) / STD
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32)


def measure(run, seconds):
    """Milliseconds of passes, for about that long."""
    run()
    times, start = [], time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - began))
    return times


class Torch:
    def __init__(self, tower, precision, batch, x, compile):
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.run = tower if precision == "fp32" else copy.deepcopy(tower).to(self.dtype)
        if compile:
            torch._dynamo.reset()
            self.run = torch.compile(self.run, dynamic=False)
        self.x = torch.from_numpy(x).to(self.dtype)

    def vectors(self):
        return self.run(self.x).float().numpy()

    def times(self, seconds):
        return measure(lambda: self.run(self.x), seconds)


def export(tower, folder, x):
    """The tower as an ONNX file of any batch."""
    path = f"{folder}/tower.onnx"
    if not os.path.exists(path):
        note("exporting to ONNX")
        torch.onnx.export(tower, (torch.from_numpy(x[:1]),), path, input_names=["pixels"], output_names=["vectors"], dynamo=False,
                          dynamic_axes={"pixels": {0: "batch"}, "vectors": {0: "batch"}}, opset_version=17)
    return path


class ONNXRuntime:
    def __init__(self, path, x):
        import onnxruntime
        o = onnxruntime.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads = options.threads, 1
        o.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
        self.x = x

    def vectors(self):
        return self.session.run(None, {"pixels": self.x})[0]

    def times(self, seconds):
        return measure(self.vectors, seconds)


class OpenVINO:
    def __init__(self, path, precision, x):
        import openvino
        hint = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}[precision]
        core = openvino.Core()
        self.model = core.compile_model(path, "CPU", {
            "INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"})
        self.request, self.x = self.model.create_infer_request(), x

    def vectors(self):
        return self.request.infer({0: self.x})[self.model.output(0)]

    def times(self, seconds):
        return measure(self.vectors, seconds)


class Vith:
    def __init__(self, precision, batch):
        self.precision, self.batch = precision, batch

    def vectors(self):
        npy = vith("embed", "--model", options.checkpoint, "--device", "cpu", "--precision", self.precision, "--output", "projected",
                   "--threads", str(options.threads), "--format", "npy", *options.images)
        x = np.load(io.BytesIO(npy))
        return x[[i % len(x) for i in range(self.batch)]]

    def times(self, seconds):
        report = json.loads(vith("bench", "model", "--model", options.checkpoint, "--device", "cpu", "--threads", str(options.threads),
                                 "--output", "projected", "--precisions", self.precision, "--batches", str(self.batch),
                                 "--time", f"{3 * seconds}s", "--format", "json", "--log-level", "warn"))
        self.machine = report["machine"]
        return [report["runs"][0]["ms"]]  # the median of passes alone, for a third of that time


def versions():
    found = {"vith": json.loads(vith("--version", "--json"))["version"], "torch": torch.__version__, "transformers": transformers.__version__}
    for name in ("onnxruntime", "openvino"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            found[name] = None
    return found


def contestants(peers, tower, precision, batch, folder, x):
    """Those that can compute in the precision, by name."""
    yield "vith", lambda: Vith(precision, batch)
    if "torch" in peers:
        yield "PyTorch eager", lambda: Torch(tower, precision, batch, x, False)
    if "torch-compile" in peers:
        yield "PyTorch compile", lambda: Torch(tower, precision, batch, x, True)
    if "onnxruntime" in peers and precision == "fp32":
        yield "ONNX Runtime", lambda: ONNXRuntime(export(tower.float(), folder, x), x)
    if "openvino" in peers:
        yield "OpenVINO", lambda: OpenVINO(export(tower.float(), folder, x), precision, x)


def deviation(got, want):
    """The worst 1 - cosine of a vector."""
    got, want = got.astype(np.float64), want.astype(np.float64)
    return float((1 - (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)).max())


def main():
    found = versions()
    peers = [p for p in options.peers.split(",") if p.startswith("torch") or found.get(p)]
    for absent in set(options.peers.split(",")) - set(peers):
        note(f"{absent} is not installed and left out")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for batch in map(int, options.batches.split(",")):
            x = pixels(folder, batch)
            for precision in options.precisions.split(","):
                with tempfile.TemporaryDirectory() as fresh:
                    tower = Tower(load(fresh))
                want = tower(torch.from_numpy(x)).numpy()
                running, errors, times = {}, {}, {}
                for name, make in contestants(peers, tower, precision, batch, folder, x):
                    note(f"{precision}, batch {batch}: {name}")
                    try:
                        running[name] = make()
                        errors[name] = deviation(running[name].vectors(), want)
                    except Exception as error:  # a peer that cannot do it is named, and left out
                        note(f"{name} cannot: {type(error).__name__}: {str(error)[:200]}")
                        running.pop(name, None)
                for _ in range(options.rounds):
                    for name, program in running.items():
                        times.setdefault(name, []).extend(program.times(options.seconds))
                best = min((statistics.median(t) for name, t in times.items() if name != "vith"), default=None)
                for name, t in times.items():
                    ms = statistics.median(t)
                    rows.append({"precision": precision, "batch": batch, "program": name, "ms_per_image": ms / batch,
                                 "ms_per_image_best": min(t) / batch, "of_best_peer": ms / best if best else None,
                                 "one_minus_cosine": errors[name]})
                machine = running["vith"].machine
    result = {"machine": machine, "threads": options.threads, "rounds": options.rounds, "seconds": options.seconds, "versions": found,
              "model": os.path.basename(options.checkpoint), "rows": rows}
    if options.format == "json":
        json.dump(result, sys.stdout, indent=2)
        return
    m = machine
    print(f"{m['cpu']}, {m['cores']} logical CPUs, {options.threads} threads, load before {m.get('load', '')}. "
          + ", ".join(f"{name} {version}" for name, version in found.items() if version) + ".\n")
    print("| precision | batch | program | ms an image | best | of the best peer's time | 1 - cosine to float32 |\n|---|--:|---|--:|--:|--:|--:|")
    for r in rows:
        share = f"{r['of_best_peer']:.2f}" if r["of_best_peer"] else ""
        print(f"| {r['precision']} | {r['batch']} | {r['program']} | {r['ms_per_image']:.4g} | {r['ms_per_image_best']:.4g} | {share} | "
              f"{r['one_minus_cosine']:.1e} |")


if __name__ == "__main__":
    main()
