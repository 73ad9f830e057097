"""Writes what Pillow makes of the images below a folder, as JSON.

usage: pillow.py FOLDER > MANIFEST

For each file that begins like a format vith reads: the hash of its bytes, and either the size and the hashes of the
pixels and of the crop of 224 x 224 as transformers' CLIPImageProcessor takes it, or the error. Files of equal bytes are
listed once, by the first name.
"""
import hashlib
import io
import json
import os
import resource
import sys
import warnings

from PIL import Image, ImageOps, features

SIZE = 224
MAGICS = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF87a", b"GIF89a", b"BM")
MAX_LONG = 20_000  # Pillow scales the whole image: 1 x 10,000 would take gigabytes

# Some of the files are made to exhaust memory.
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
warnings.simplefilter("ignore")
warnings.simplefilter("error", Image.DecompressionBombWarning)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def crop(image):
    width, height = image.size
    short = min(width, height)
    if max(width, height) * SIZE > MAX_LONG * short:
        return None
    image = image.resize((SIZE * width // short, SIZE * height // short), Image.Resampling.BICUBIC)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return image.crop((left, top, left + SIZE, top + SIZE))


def describe(data):
    try:
        image = Image.open(io.BytesIO(data))
        entry = {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
        entry["decoded_rgb_sha256"] = digest(image.convert("RGB").tobytes())
        cropped = crop(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        if cropped:
            entry["hf_crop_sha256"] = digest(cropped.tobytes())
        return entry
    except Exception as e:  # Pillow raises all kinds
        return {"error": f"{type(e).__name__}: {e}".replace(repr(data), "")[:200]}


def main(folder):
    images, seen = {}, set()
    for path in sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names):
        if os.path.islink(path):
            continue
        with open(path, "rb") as f:
            data = f.read()
        key = digest(data)
        if key in seen or not data.startswith(MAGICS):
            continue
        seen.add(key)
        images[os.path.relpath(path, folder)] = {"sha256": key, **describe(data)}
    libraries = {name: features.version(name) for name in ("libjpeg_turbo", "webp", "zlib")}
    json.dump({"pillow": Image.__version__, "libraries": libraries, "images": images}, sys.stdout, indent=1, sort_keys=True)
    print()


main(sys.argv[1])
