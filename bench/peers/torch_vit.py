#!/usr/bin/env python3
"""PyTorch on a CLIP vision tower, beside vith on the same checkpoint.

    torch_vit.py eager CHECKPOINT PRECISION SECONDS BATCH...
    torch_vit.py compile CHECKPOINT PRECISION SECONDS BATCH...
    torch_vit.py parity CHECKPOINT IMAGE...

`eager` and `compile` (torch.compile, max-autotune) time the tower of plain modules with scaled_dot_product_attention.
For each batch size vith and PyTorch take turns, twice each, and the better of a program's two counts. PyTorch is given
normalised pixels that lie on the GPU; vith is given bytes in host memory and returns vectors there. In the 16-bit types
vith's gelu has the tanh form, as it has by default where that is faster; PyTorch's is exact.

`parity` compares the plain modules, and vith in every precision, with transformers' CLIPVisionModelWithProjection in fp32.

The programs kit and vith are those of the working folder. Measurements are lines of JSON, on standard output and in the
file that VITH_KIT_RESULTS names. Exits with 69 where a library is missing.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    print(f"absent: {error}")
    sys.exit(69)

DEVICE = os.environ.get("VITH_KIT_DEVICE", "cuda:0")
TORCH_DEVICE = "cpu" if DEVICE == "emu" else DEVICE
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def show(table, **row):
    line = json.dumps({"table": table, **row})
    print(line, flush=True)
    if path := os.environ.get("VITH_KIT_RESULTS"):
        with open(path, "a") as f:
            f.write(line + "\n")


def read(path):
    """The tensors of a safetensors file of float32."""
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size))
    data = np.memmap(path, np.uint8, "c", 8 + size)
    header.pop("__metadata__", None)
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        tensors[name] = torch.from_numpy(data[begin:end].view(np.float32)).reshape(t["shape"])
    return tensors


def configuration(path):
    """The tower's configuration, as vith reads it."""
    return json.loads(subprocess.check_output(["./vith", "weights", "inspect", "--json", path]))["config"]


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, eps = c["hidden_size"], c["layer_norm_eps"]
        self.heads, self.exact = c["num_attention_heads"], c["hidden_act"] == "gelu"
        self.ln1, self.ln2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, c["intermediate_size"]), nn.Linear(c["intermediate_size"], width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d))
        y = self.fc1(self.ln2(x))
        return x + self.fc2(F.gelu(y) if self.exact else y * torch.sigmoid(1.702 * y))


class Tower(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, patch = c["hidden_size"], c["patch_size"]
        tokens = (c["image_size"] // patch) ** 2 + 1
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.cls, self.positions = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(tokens, width))
        self.pre, self.post = nn.LayerNorm(width, c["layer_norm_eps"]), nn.LayerNorm(width, c["layer_norm_eps"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["num_hidden_layers"]))
        self.projection = nn.Linear(width, c["projection_dim"], bias=False)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], 1, -1), x], 1) + self.positions
        x = self.pre(x)
        for block in self.blocks:
            x = block(x)
        return self.projection(self.post(x[:, 0]))


def names(c):
    """Our names of parameters: Hugging Face's, several of which are joined."""
    v = "vision_model."
    yield "patches.weight", [v + "embeddings.patch_embedding.weight"]
    yield "cls", [v + "embeddings.class_embedding"]
    yield "positions", [v + "embeddings.position_embedding.weight"]
    yield "projection.weight", ["visual_projection.weight"]
    for kind in ("weight", "bias"):
        yield f"pre.{kind}", [f"{v}pre_layrnorm.{kind}"]
        yield f"post.{kind}", [f"{v}post_layernorm.{kind}"]
        for i in range(c["num_hidden_layers"]):
            b = f"{v}encoder.layers.{i}."
            yield f"blocks.{i}.ln1.{kind}", [f"{b}layer_norm1.{kind}"]
            yield f"blocks.{i}.ln2.{kind}", [f"{b}layer_norm2.{kind}"]
            yield f"blocks.{i}.qkv.{kind}", [f"{b}self_attn.{p}_proj.{kind}" for p in "qkv"]
            yield f"blocks.{i}.out.{kind}", [f"{b}self_attn.out_proj.{kind}"]
            yield f"blocks.{i}.fc1.{kind}", [f"{b}mlp.fc1.{kind}"]
            yield f"blocks.{i}.fc2.{kind}", [f"{b}mlp.fc2.{kind}"]


def load(path, dtype):
    weights = read(path)
    c = configuration(path)
    with torch.device("meta"):
        tower = Tower(c)
    state = {ours: torch.cat([weights[n] for n in theirs]) for ours, theirs in names(c)}
    tower.load_state_dict(state, assign=True)
    return tower.to(TORCH_DEVICE, dtype).eval(), c


def wait():
    if TORCH_DEVICE != "cpu":
        torch.cuda.synchronize()


def measure(run, batch, seconds):
    """Milliseconds of a pass alone, the median, and images a second with passes queued."""
    for _ in range(3):
        run()
    wait()
    alone, start = [], time.perf_counter()
    while len(alone) < 3 or time.perf_counter() - start < seconds / 3:
        began = time.perf_counter()
        run()
        wait()
        alone.append(time.perf_counter() - began)
    ms = 1e3 * sorted(alone)[len(alone) // 2]
    passes = max(3, int(seconds * 2 / 3 * 1e3 / ms))
    began = time.perf_counter()
    for _ in range(passes):
        run()
    wait()
    return ms, passes * batch / (time.perf_counter() - began)


class Vith:
    """vith's own measurements, on demand."""

    def __init__(self, path, precision, batch):
        command = ["./kit", "answer", path, precision, str(batch)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("kit answer did not start")

    def measure(self, batch, seconds):
        self.process.stdin.write(f"{batch} {seconds}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["ms"], answer["images_per_second"]

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit("kit answer failed")


def compare(way, path, precision, seconds, batches):
    tower, c = load(path, DTYPES[precision])
    vith = Vith(path, precision if precision == "fp32" else precision + "-tanh", max(batches))
    with torch.inference_mode():
        for batch in batches:
            pixels = torch.randn(batch, 3, c["image_size"], c["image_size"], device=TORCH_DEVICE, dtype=DTYPES[precision])
            began, run = time.perf_counter(), tower
            if way == "compile":
                torch._dynamo.reset()
                run = torch.compile(tower, mode="max-autotune", dynamic=False)
            run(pixels)
            wait()
            prepared = time.perf_counter() - began
            ours, theirs = [], []
            for _ in range(2):
                ours.append(vith.measure(batch, seconds))
                theirs.append(measure(lambda: run(pixels), batch, seconds))
            (our_ms, our_rate), (ms, rate) = ([f(v) for f, v in zip((min, max), zip(*m))] for m in (ours, theirs))
            show("peers", peer=f"PyTorch {torch.__version__} {way}", precision=precision, batch=batch, ms=ms,
                 images_per_second=rate, prepared_seconds=prepared, vith_ms=our_ms, vith_images_per_second=our_rate,
                 vith_times_faster=our_rate / rate)
    vith.close()


def parity(path, images):
    try:
        import transformers
    except ImportError as error:
        print(f"absent: {error}")
        sys.exit(69)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.abspath(path), f"{folder}/model.safetensors")
        with open(f"{folder}/config.json", "w") as f:
            json.dump({"model_type": "clip_vision_model", **configuration(path)}, f)
        model, loading = transformers.CLIPVisionModelWithProjection.from_pretrained(folder, output_loading_info=True)
        if loading["missing_keys"] or loading["unexpected_keys"]:
            sys.exit(f"transformers reads another tower: {loading}")
        model = model.to(TORCH_DEVICE, torch.float32).eval()
        crops = []
        for i, image in enumerate(images):
            crop = f"{folder}/{i}.npy"
            subprocess.check_call(["./vith", "preprocess", "--model", path, image, crop])
            crops.append(np.load(crop))
        pixels = (np.stack(crops) / 255.0 - MEAN) / STD
        with torch.inference_mode():
            inputs = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)).to(TORCH_DEVICE)
            want = model(pixel_values=inputs).image_embeds.double().cpu().numpy()
            plain = load(path, torch.float32)[0](inputs).double().cpu().numpy()
        deviate("plain modules", "fp32", plain, want, transformers.__version__)
        for precision in ("fp32", "tf32", "fp16", "bf16"):
            vectors = f"{folder}/{precision}.npy"
            with open(vectors, "wb") as f:
                subprocess.check_call(["./vith", "embed", "--model", path, "--device", DEVICE, "--precision", precision,
                                       "--output", "projected", "--format", "npy", *images], stdout=f)
            deviate("vith", precision, np.load(vectors).astype(np.float64), want, transformers.__version__)


# The worst 1 - cosine of a vector in each precision.
BOUNDS = {"fp32": 1e-8, "tf32": 1e-5, "fp16": 1e-5, "bf16": 2e-3}


def deviate(program, precision, got, want, version):
    """Records how far vectors are from those of transformers, and fails beyond the bound."""
    cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    relative = np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1)
    show("transformers", version=version, program=program, precision=precision, images=len(want),
         one_minus_cosine=float(1 - cosine.min()), relative_l2=float(relative.max()))
    if not 1 - cosine.min() <= BOUNDS[precision]:
        sys.exit(f"{program} in {precision} gives other vectors than transformers")


def main(arguments):
    match arguments:
        case ["eager" | "compile" as way, path, precision, seconds, *batches] if precision in DTYPES and batches:
            compare(way, path, precision, float(seconds), [int(b) for b in batches])
        case ["parity", path, *images] if images:
            parity(path, images)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
