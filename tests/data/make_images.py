#!/usr/bin/env python3
"""Writes tests/data/images: image files of many kinds, and what Pillow and NumPy make of them.

pip install pillow==11.3.0 numpy tifffile; Pillow 13 does not always resize along the rows first, and differs by 1 of 255.

Each line of cases.txt is a sample that a file must become: file, pixels expected (a PNG), height, width, channels, how it
is resized, how far a value may be off, and what is said to have been done. Expected pixels are made as docs/data.md
says, by Pillow's own code where it has some: exif_transpose, resize with BILINEAR, convert("L"), and the rule of
torchvision's Resize and CenterCrop for what is cut out.
"""
import pathlib

import numpy as np
import tifffile
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).resolve().parent / "images"
cases = []


def picture(height, width, channels, seed):
    """Waves, an edge and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127 + 90 * np.sin((c + 2) * x / 7 + seed) * np.cos(y / (3 + c)) + 40 * (x > y) + rng.integers(-20, 20, (height, width))
        for c in range(channels)
    ]
    a = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return a[..., 0] if channels == 1 else a


def on_white(image):
    """8-bit grey or RGB without opacity."""
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA"):
        a = np.asarray(image).astype(int)
        alpha = a[..., -1:]
        colour = (a[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255
        return Image.fromarray(np.squeeze(colour, -1).astype(np.uint8) if colour.shape[-1] == 1 else colour.astype(np.uint8))
    if image.mode in ("I;16", "I;16B", "I"):
        return Image.fromarray(((np.asarray(image).astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def centre(image, height, width):
    top, left = (round((a - b) / 2.0) for a, b in ((image.height, height), (image.width, width)))
    return image.crop((left, top, left + width, top + height))


def fit(image, height, width, resize):
    if resize == "stretch":
        return image.resize((width, height), Image.BILINEAR)
    if resize == "crop":
        if height * image.width >= width * image.height:
            size = (int(height * image.width / image.height), height)
        else:
            size = (width, int(width * image.height / image.width))
        return centre(image.resize(size, Image.BILINEAR), height, width)
    return image


def case(file, height=0, width=0, channels=0, resize="none", off=0, said=""):
    image = on_white(ImageOps.exif_transpose(Image.open(HERE / file)))
    channels = channels or (1 if image.mode == "L" else 3)
    if channels == 1:
        image = image.convert("L")
    image = fit(image, height, width, resize)
    if channels == 3:
        image = image.convert("RGB")
    want = f"want_{len(cases):02d}.png"
    image.save(HERE / want, optimize=True)
    cases.append(f"{file} {want} {image.height} {image.width} {channels} {resize} {off} {said or '-'}\n")


def save(name, image, **options):
    Image.fromarray(image).save(HERE / name, **options) if isinstance(image, np.ndarray) else image.save(HERE / name, **options)
    return name


def exif(orientation):
    e = Image.Exif()
    e[0x10F] = "a camera"
    e[0x112] = orientation
    return e.tobytes()


def sizes():
    wide = save("wide.png", picture(19, 41, 3, 1))
    tall = save("tall.png", picture(50, 23, 1, 2))
    for resize in ("crop", "stretch"):
        for height, width in ((8, 8), (7, 7), (30, 44), (64, 20), (1, 1), (19, 12), (12, 41)):
            case(wide, height, width, 3, resize, said="resized")
        case(wide, 9, 9, 1, resize, said="resized,to_grey")
        case(tall, 16, 16, 3, resize, said="resized,to_colour")
        case(tall, 61, 33, 1, resize, said="resized")
    line = save("line.png", picture(1, 600, 3, 3))
    case(line, 3, 5, 3, "stretch", said="resized")
    case(line, 5, 3, 3, "crop", said="resized")


def turned():
    for k in range(1, 9):
        name = save(f"turned_{k}.png", picture(5, 9, 3 if k % 2 else 1, k), exif=exif(k))
        case(name, said="turned" if k > 1 else "")
        case(name, 4, 6, 3, "crop", said=("resized,turned" if k > 1 else "resized") + ("" if k % 2 else ",to_colour"))
    case(save("turned.jpg", picture(20, 12, 3, 4), exif=exif(6), quality=95), off=1, said="turned")
    case(save("turned.webp", picture(6, 11, 3, 5), exif=exif(8), lossless=True), said="turned")
    for k in (2, 5):
        case(save(f"turned_{k}.tiff", picture(6, 11, 3, 5), tiffinfo={0x112: k}), said="turned")


def kinds():
    rgb, grey = picture(9, 13, 3, 6), picture(9, 13, 1, 7)
    alpha = np.dstack([rgb, picture(9, 13, 1, 8)])
    case(save("rgba.png", alpha), said="blended")
    case(save("opaque.png", np.dstack([rgb, np.full((9, 13), 255, np.uint8)])))
    case(save("la.png", Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha[..., 3])])), said="blended")
    case(save("palette.png", Image.fromarray(rgb).quantize(12), transparency=3), said="blended")
    wide = np.random.default_rng(9).integers(0, 65536, (9, 13), dtype=np.uint16)
    case(save("16_bit.png", wide), said="16_bit")
    case(save("16_bit.tiff", wide), off=1, said="16_bit")
    case(save("grey.jpg", grey, quality=90), off=1)
    case(save("cmyk.jpg", Image.fromarray(np.dstack([rgb, grey])[..., :4], "CMYK"), quality=95), off=2, said="cmyk")
    case(save("rgb.webp", rgb, lossless=True))
    case(save("lossy.webp", rgb, quality=80), off=1)
    case(save("rgba.webp", alpha, lossless=True, exact=True), said="blended")
    for name, image, options in (
        ("rgb", rgb, {"compression": "tiff_lzw"}),
        ("deflate", rgb, {"compression": "tiff_adobe_deflate"}),
        ("grey", grey, {}),
        ("bits", Image.fromarray(grey).convert("1"), {"compression": "group4"}),
        ("palette", Image.fromarray(rgb).quantize(12), {}),
    ):
        case(save(f"{name}.tiff", image, **options))
    case(save("rgba.tiff", alpha), off=1, said="blended")
    opaque = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha[..., 3])])
    case(save("la.tiff", opaque), said="blended")
    case(save("cmyk.tiff", Image.fromarray(np.dstack([rgb, grey])[..., :4], "CMYK")), off=1, said="cmyk")
    case(save("pages.tiff", Image.fromarray(rgb), save_all=True, append_images=[Image.fromarray(grey)]), said="first_page")
    case(save("rgb.bmp", rgb))
    case(save("rgba.bmp", Image.fromarray(alpha)))
    case(save("grey.bmp", grey))
    case(save("palette.bmp", Image.fromarray(rgb).quantize(12)))
    case(save("bits.bmp", Image.fromarray(grey).convert("1")))


def case_of(name, values, alpha, most, said, premultiplied=False, **options):
    """A TIFF of one channel with opacity, which Pillow does not read: what it becomes is computed here, from values of
    0 to most (height, width, or with colours behind)."""
    stored = options.pop("stored")
    tifffile.imwrite(HERE / name, stored, extrasamples=["assocalpha" if premultiplied else "unassalpha"], metadata=None, **options)
    values, alpha = values.astype(np.int64), alpha.astype(np.int64)
    a = alpha if values.ndim == 2 else alpha[..., None]
    out = values + most - a if premultiplied else (values * a + most * (most - a) + most // 2) // most
    out = np.minimum(out, most)
    if most > 255:
        out = (out * 255 + 32767) // 65535
    want = f"want_{len(cases):02d}.png"
    save(want, out.astype(np.uint8))
    cases.append(f"{name} {want} {out.shape[0]} {out.shape[1]} {1 if out.ndim == 2 else 3} none 0 {said}\n")


def opacity():
    rng = np.random.default_rng(11)
    v16, a16 = (rng.integers(0, 65536, (20, 37), dtype=np.uint16) for _ in range(2))
    v8, a8 = (rng.integers(0, 256, (20, 37), dtype=np.uint8) for _ in range(2))
    a16[:4], a8[:4] = 65535, 255
    both = np.dstack([v16, a16])
    grey = {"photometric": "minisblack", "compression": "zlib"}
    case_of("la16.tiff", v16, a16, 65535, "16_bit,blended", stored=both, planarconfig="contig", byteorder=">", **grey)
    planes = np.stack([v16, a16])
    case_of(
        "la16_tiles.tiff", v16, a16, 65535, "16_bit,blended", stored=planes, planarconfig="separate", tile=(16, 16), **grey
    )
    case_of("la16_planes.tiff", v16, a16, 65535, "16_bit,blended", stored=planes, planarconfig="separate", **grey)
    case_of(
        "la16_assoc.tiff", np.minimum(v16, a16), a16, 65535, "16_bit,blended", premultiplied=True,
        stored=np.dstack([np.minimum(v16, a16), a16]), planarconfig="contig", tile=(16, 16), **grey,
    )  # fmt: skip
    case_of(
        "la_white.tiff", 255 - v8, a8, 255, "blended", stored=np.dstack([v8, a8]), planarconfig="contig", photometric="miniswhite"
    )
    colours = rng.integers(0, 65536, (3, 256), dtype=np.uint16)
    shown = ((colours.astype(np.int64) * 255 + 32767) // 65535).T[v8]
    palette = [(320, "H", 768, tuple(int(c) for c in colours.ravel()), True)]
    case_of("pa.tiff", shown, a8, 255, "blended", stored=np.dstack([v8, a8]), planarconfig="contig", extratags=palette,
            photometric="minisblack")  # fmt: skip
    with tifffile.TiffFile(HERE / "pa.tiff", mode="r+") as t:
        t.pages[0].tags["PhotometricInterpretation"].overwrite(3)


HERE.mkdir(exist_ok=True)
for old in HERE.iterdir():
    old.unlink()
sizes()
turned()
kinds()
opacity()
(HERE / "cases.txt").write_text("".join(cases))
