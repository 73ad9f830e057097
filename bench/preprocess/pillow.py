"""Times Pillow: decoding to RGB, and that with the resize and the crop.

usage: pillow.py SIZE SECONDS FILE

Prints medians of CPU time in seconds as JSON.
"""
import io
import json
import statistics
import sys
import time

from PIL import Image

size, seconds = int(sys.argv[1]), float(sys.argv[2])
with open(sys.argv[3], "rb") as f:
    data = f.read()


def decode():
    return Image.open(io.BytesIO(data)).convert("RGB")


def crop():
    image = decode()
    width, height = image.size
    short = min(width, height)
    image = image.resize((size * width // short, size * height // short), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size)).load()


def median(work):
    times, spent = [], 0.0
    while spent < seconds:
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
        spent += times[-1]
    return statistics.median(times)


print(json.dumps({"decode": median(decode), "crop": median(crop)}))
